// SPDX-License-Identifier: Apache-2.0
#include "cost_models/layer_limits.h"

#include <algorithm>
#include <initializer_list>

#include "cost_models/csv.h"

namespace bitcycle {
namespace {

bool exceeds(std::initializer_list<std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result) || result > kMostLayerCount) return true;
  }
  return false;
}

}  // namespace

std::string too_large(const OperationShape& s) {
  const char* what = exceeds({s.n, s.h, s.w, s.c})                                            ? "inputs"
                     : exceeds({s.n, s.out_h(), s.out_w(), s.o})                              ? "results"
                     : exceeds({s.o, s.kh, s.kw, s.c_per_group()})                            ? "weights"
                     : exceeds({s.n, s.out_h(), s.out_w(), s.o, s.kh, s.kw, s.c_per_group()}) ? "multiply-accumulates"
                                                                                              : nullptr;
  return what == nullptr ? "" : std::string("more than 2^53 ") + what + "; sizes this large cannot be counted";
}

std::string bad_layer_name(const std::string& name) {
  if (name.empty()) return "the layer has no name";
  if (name.size() > kMostLayerName) {
    return "the layer's name has more than " + std::to_string(kMostLayerName) + " bytes";
  }
  if (!is_printable(name)) return "the layer's name holds control characters or is not UTF-8";
  return "";
}

void tell_names(std::vector<std::string>& sentences, const std::string& before, const std::vector<std::string>& names,
                const std::string& after) {
  if (names.empty()) return;
  std::string text = before;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 4); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > 4) text += " and " + std::to_string(names.size() - 4) + " more";
  sentences.push_back(text + after);
}

std::string LayerNames::unique(const std::string& name) {
  std::string result = name;
  while (!taken_.insert(result).second) {
    int& last = last_.emplace(name, 1).first->second;
    result = name + "#" + std::to_string(++last);
  }
  return result;
}

}  // namespace bitcycle
