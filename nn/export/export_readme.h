// SPDX-License-Identifier: Apache-2.0
// The README beside exported files.
#pragma once

#include <string>

#include "nn/export/export_run.h"

namespace bitcycle {

/// What stands there while files are written: with the words by which `export` knows a folder of its own.
std::string export_unfinished();
/// At most ten lines. `run`: the name of its folder; `model`: the network's name.
std::string export_readme(const std::string& run, const std::string& model, const ExportResult& result);

}  // namespace bitcycle
