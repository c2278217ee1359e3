// SPDX-License-Identifier: Apache-2.0
// Any bytes as an ONNX model: they are read, or refused with std::invalid_argument; nothing else may happen.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cost_models/onnx/onnx_layers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const bitcycle::OnnxSizes& sizes : {bitcycle::OnnxSizes{}, bitcycle::OnnxSizes{{"sequence", 6}}}) {
    try {
      bitcycle::parse_onnx(std::string_view(reinterpret_cast<const char*>(data), size), "input", sizes);
    } catch (const std::invalid_argument&) {
    }
  }
  return 0;
}
