// SPDX-License-Identifier: Apache-2.0
#include "sim/program/tensor.h"

#include "sim/number/bit_width.h"
#include "sim/ops/accumulator.h"
#include "sim/ops/augmentation.h"
#include "sim/ops/loss_record.h"
#include "sim/ops/norm.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {

std::string element_name(Element element) {
  switch (element) {
    case Element::kFloat32: return "float32";
    case Element::kFloat64: return "float64";
    case Element::kInt32: return "int32";
    case Element::kInt64: return "int64";
    case Element::kInt128: return "int128";
    case Element::kUint32: return "uint32";
    case Element::kUint8: return "uint8";
    case Element::kBit: return "bit";
    case Element::kCodes8: return "codes8";
    case Element::kCodes16: return "codes16";
    case Element::kCodes32: return "codes32";
    case Element::kBitWidth: return "width";
    case Element::kRange: return "range";
    case Element::kGrid: return "grid";
    case Element::kStatistics: return "statistics";
    case Element::kNorm: return "norm";
    case Element::kNormGradient: return "norm gradient";
    case Element::kNormGradientSums: return "norm gradient sums";
    case Element::kLoss: return "loss";
    case Element::kImageIndex: return "image index";
  }
  return "";
}

std::size_t bytes_of(Element element, std::int64_t count) {
  const auto n = static_cast<std::size_t>(count);
  switch (element) {
    case Element::kFloat32:
    case Element::kInt32:
    case Element::kUint32:
    case Element::kCodes32: return 4 * n;
    case Element::kFloat64:
    case Element::kInt64: return 8 * n;
    case Element::kInt128: return 16 * n;
    case Element::kBit: return (n + 31) / 32 * 4;
    case Element::kUint8:
    case Element::kCodes8: return n;
    case Element::kCodes16: return 2 * n;
    case Element::kBitWidth: return sizeof(BitWidth) * n;
    case Element::kRange: return sizeof(Range) * n;
    case Element::kGrid: return sizeof(Affine) * n;
    case Element::kStatistics: return sizeof(ChannelStatistics) * n;
    case Element::kNorm: return sizeof(NormChannel) * n;
    case Element::kNormGradient: return sizeof(NormGradientChannel) * n;
    case Element::kNormGradientSums: return sizeof(NormGradientSums) * n;
    case Element::kLoss: return sizeof(LossRecord) * n;
    case Element::kImageIndex: return sizeof(ImageIndex) * n;
  }
  return 0;
}

bool is_codes(Element element) {
  return element == Element::kCodes8 || element == Element::kCodes16 || element == Element::kCodes32;
}

std::string lifetime_name(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kStep: return "step";
    case Lifetime::kState: return "state";
    case Lifetime::kInput: return "input";
    case Lifetime::kReport: return "report";
  }
  return "";
}

std::int64_t TensorSpec::size() const {
  std::int64_t n = 1;
  for (const auto extent : shape) n *= extent;
  return n;
}

std::string TensorSpec::text() const { return element_name(element) + " " + shape_text(shape); }

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace bitcycle
