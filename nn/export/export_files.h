// SPDX-License-Identifier: Apache-2.0
// The bytes of an export's files, each a pure function of the exported model.
#pragma once

#include <map>
#include <string>

#include "nn/data/dataset.h"
#include "nn/export/exported_model.h"

namespace bitcycle {

/// Opset 13 of the default domain: Sub, Div, Clip, Round, Cast, ConvInteger (unsigned bytes), Gather, Mul, Add, Relu,
/// GlobalAveragePool, Flatten, Gemm. Input `pixels`, uint8 (N, 3, h, w); output `logits`, float32 (N, classes).
/// Codes and integer sums are exactly those of an evaluation; what follows is computed in binary64 where
/// docs/numerics.md says so, with a multiplication and an addition for each fma. Throws std::runtime_error naming the
/// layer where a width is above 8 bits or float32, or where a sum could leave 32 bits.
std::string onnx_bytes(const ExportedModel& model, const PixelScale& pixels, const std::string& producer_version,
                       const std::map<std::string, std::string>& metadata);

/// Tensors: of a quantised convolution LAYER.weight.codes (U8, U16 or U32; OIHW), LAYER.weight.scale and
/// LAYER.weight.offset (o), LAYER.input.scale and LAYER.input.offset (1), value = offset + scale * code, F32 up to 16
/// bits, F64 above; of one that is not quantised LAYER.weight (F32); of a batch norm NORM.mean, NORM.factor and
/// NORM.offset, z = fma(y - mean, factor, offset); of the classifier weight and bias.
std::string codes_safetensors(const ExportedModel& model, const std::map<std::string, std::string>& metadata);

}  // namespace bitcycle
