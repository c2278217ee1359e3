// SPDX-License-Identifier: Apache-2.0
// The README beside exported files.
#pragma once

#include <string>

#include "nn/export/export_run.h"

namespace bitcycle {

/// `run`: as the reader knows it; `model`: the network's name.
std::string export_readme(const std::string& run, const std::string& model, const ExportResult& result);

}  // namespace bitcycle
