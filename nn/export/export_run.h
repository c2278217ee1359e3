// SPDX-License-Identifier: Apache-2.0
// Exporting a run: its checkpoint's weights as integer codes (safetensors), the network as plain ONNX, a few test
// images with the logits that they must give, and a README that says how to read them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "sim/device/device.h"

namespace bitcycle {

struct ExportOptions {
  std::filesystem::path out;
  std::string checkpoint = "newest";  // newest, best, a step, a path
  std::optional<BitWidth> width;      // of every layer; default: each layer's largest width of the run
  bool onnx = true;
  std::int64_t samples = 16;  // test images to write with their logits; 0: the data set is not needed
  std::string version;        // of the program, for the files
};

struct ExportResult {
  std::int64_t step = 0;
  std::string digest;                   // of the exported state
  std::string widths;                   // "8", or "4 (conv1: 8)"
  std::optional<double> test_accuracy;  // percent, of the whole test set at these widths; none without samples
  std::int64_t images = 0;
  std::vector<std::string> files;  // relative to `out`
  std::vector<std::string> warnings;
};

/// Files are written whole or not at all, README.md last; those of an earlier export that this one does not write are
/// removed. Throws what reading the run and the data set throws, and
/// std::runtime_error where ONNX cannot hold a layer's width.
ExportResult export_run(const std::filesystem::path& run, Device& device, const ExportOptions& options,
                        const std::vector<ConfigOverride>& overrides = {});

}  // namespace bitcycle
