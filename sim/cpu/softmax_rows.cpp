// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/softmax_rows.h"

#include <algorithm>

#include "sim/number/ordered_key.h"
#include "sim/number/range.h"
#include "sim/ops/softmax.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kClassesAtOnce = kSoftmaxScratch / kSummedRows;  // of a row: they stay in the cache

struct RowMaximum {
  float value = 0.0F;
  bool is_label = false;  // and no class before it has it
};

RowMaximum row_maximum(const KernelTable& kernels, const float* z, std::int64_t classes, std::int64_t label) {
  KeyRange keys;
  kernels.range(z, classes, &keys.lo, &keys.hi);
  const Range range = range_of_keys(keys);
  RowMaximum found;
  if (is_finite_bits(range.lo) && is_finite_bits(range.hi)) {
    found.value = range.hi;
    found.is_label = z[label] == range.hi && std::find(z, z + label, range.hi) == z + label;
    return found;
  }
  std::int64_t largest = 0;  // numbers that are not finite: exactly the written comparisons
  for (std::int64_t j = 1; j < classes; ++j) {
    if (z[j] > z[largest]) largest = j;
  }
  return {z[largest], largest == label};
}

}  // namespace

std::int64_t softmax_rows(const KernelTable& kernels, const SoftmaxRows& of, std::int64_t begin, std::int64_t end,
                          float* scratch) {
  const std::int64_t classes = of.classes;
  std::int64_t rows[kSummedRows], count = 0, correct = 0;
  for (std::int64_t r = begin; r < end; ++r) {
    if (!of.partial || of.labels[r] >= 0) {
      rows[count++] = r;
      continue;
    }
    of.losses[r] = 0.0F;
    if (of.dlogits != nullptr) std::fill_n(of.dlogits + r * classes, classes, 0.0F);
  }
  if (count == 0) return 0;
  RowMaximum maximum[kSummedRows];
  float of_label[kSummedRows], sums[kSummedRows] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    const float* z = of.logits + rows[i] * classes;
    maximum[i] = row_maximum(kernels, z, classes, of.labels[rows[i]]);
    of_label[i] = z[of.labels[rows[i]]];  // before dlogits, which may be the same memory
  }
  for (std::int64_t first = 0; first < classes; first += kClassesAtOnce) {
    const std::int64_t some = std::min(kClassesAtOnce, classes - first);
    const float* made[kSummedRows];
    for (std::int64_t i = 0; i < count; ++i) {
      float* e = of.dlogits != nullptr ? of.dlogits + rows[i] * classes + first : scratch + i * kClassesAtOnce;
      kernels.exponentials(of.logits + rows[i] * classes + first, maximum[i].value, some, e, exp_f32);
      made[i] = e;
    }
    std::fill(made + count, made + kSummedRows, made[0]);  // summed again, and not looked at
    kernels.language.ordered_sums(made, some, sums);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t r = rows[i];
    if (of.dlogits != nullptr) {
      float* e = of.dlogits + r * classes;
      const std::int64_t label = of.labels[r];
      const float at_label = softmax_gradient(e[label], sums[i], true, of.inverse_n);
      kernels.softmax_gradients(e, classes, sums[i], of.inverse_n);
      e[label] = at_label;
    }
    of.losses[r] = softmax_loss(sums[i], of_label[i], maximum[i].value);
    correct += maximum[i].is_label ? 1 : 0;
  }
  return correct;
}

}  // namespace bitcycle::cpu
