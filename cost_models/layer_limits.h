// SPDX-License-Identifier: Apache-2.0
// Limits of layers that are read from files: wide enough for any network, and narrow enough that counts are whole
// numbers in binary64, too.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/workload.h"

namespace bitcycle {

inline constexpr std::int64_t kMostLayerSize = 1000000000;
inline constexpr std::int64_t kMostLayerStride = 256;  // a strided error pass is up to stride * stride products
inline constexpr std::int64_t kMostLayerCount = std::int64_t{1} << 53;
inline constexpr std::size_t kMostLayers = 100000;
inline constexpr std::size_t kMostLayerName = 256;

/// What of a layer is more than 2^53, as the end of a sentence: "more than 2^53 weights; sizes this large cannot be
/// counted". Empty where nothing is.
std::string too_large(const OperationShape& shape);
/// What is wrong with a layer's name: control characters, marks of direction, bytes that are no UTF-8, more than 256
/// bytes, or nothing at all. Empty where it is fine.
std::string bad_layer_name(const std::string& name);

/// Appends a sentence with the first four of these names, where there are any.
void tell_names(std::vector<std::string>& sentences, const std::string& before, const std::vector<std::string>& names,
                const std::string& after);

/// Names of layers, each given once.
class LayerNames {
 public:
  /// The name, or, where it is taken, name#2, name#3, ...
  std::string unique(const std::string& name);

 private:
  std::set<std::string> taken_;
  std::map<std::string, int> last_;
};

}  // namespace bitcycle
