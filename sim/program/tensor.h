// SPDX-License-Identifier: Apache-2.0
// Tensor: a handle to one of a program's tensors; TensorSpec: what the program knows of it. A spec names no memory: a
// device decides where a tensor lies, and whether it is made at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

/// Index into a program's tensors; without one, an operand that is not there.
struct Tensor {
  std::int32_t id = -1;
  explicit operator bool() const { return id >= 0; }
  bool operator==(const Tensor&) const = default;
};

/// What one element is. Codes are stored in the container of the width at hand (docs/numerics.md, 1.2); the element
/// type says which container has to fit. Bits are packed, element e is bit e mod 32 of word e / 32.
enum class Element : std::uint8_t {
  kFloat32,
  kFloat64,
  kInt32,
  kInt64,
  kInt128,
  kUint32,
  kUint8,
  kBit,
  kCodes8,
  kCodes16,
  kCodes32,
  kBitWidth,          // BitWidth
  kRange,             // Range
  kGrid,              // Affine
  kStatistics,        // ChannelStatistics
  kNorm,              // NormChannel
  kNormGradient,      // NormGradientChannel
  kNormGradientSums,  // NormGradientSums
  kLoss,              // LossRecord
  kImageIndex,        // ImageIndex
};

std::string element_name(Element element);
std::size_t bytes_of(Element element, std::int64_t count);
bool is_codes(Element element);

/// How long a tensor lives.
enum class Lifetime : std::uint8_t {
  kStep,    // from the node that writes it to the last one that reads it; memory is shared
  kState,   // from step to step, and between the programs of a run: parameters, momenta, running statistics
  kInput,   // written by the host before each step: images, labels, widths, learning rate, step number
  kReport,  // written by the step and handed to the host after it, all in one copy
};

std::string lifetime_name(Lifetime lifetime);

struct TensorSpec {
  std::string name;
  Element element = Element::kFloat32;
  std::vector<std::int64_t> shape;  // at the program's whole batch
  Lifetime lifetime = Lifetime::kStep;
  /// The axis whose extent is a multiple of the batch: a step of fewer samples uses the front of it. -1: none.
  int sample_axis = -1;

  /// Elements at the whole batch.
  std::int64_t size() const;
  std::size_t bytes() const { return bytes_of(element, size()); }
  /// "float32 (128, 32, 32, 16)"
  std::string text() const;
};

/// "(128, 32, 32, 16)", "()" for a single element.
std::string shape_text(const std::vector<std::int64_t>& shape);

/// How an operation touches a tensor. kUpdate reads and writes.
enum class Access : std::uint8_t { kRead, kWrite, kUpdate };

}  // namespace bitcycle
