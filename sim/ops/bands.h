// SPDX-License-Identifier: Apache-2.0
// What a vocabulary in bands needs, an adaptive input and softmax (docs/numerics.md, 6.16). A word w of words
// 0 .. cutoffs.back() - 1 belongs to band i where cutoffs[i-1] <= w < cutoffs[i]:
//   band_rows    y(r) = row w(r) - first of a table where w(r) is one of its words, else +0
//   band_rows_gradient  dtable(v) = the sum of dy(r) over the rows of word first + v, as gather_gradient
//   mask_rows    y(r) = x(r) where w(r) is one of the words first .. first + count - 1, else +0
//   band_labels  head: w below `head`, and head + i - 1 of a word of band i; tail i: w - first, -1 of other bands'
//   words add_losses   loss = the sum of losses in binary64, in their order; correct = that of the first
#pragma once

#include <vector>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct BandRows {
  static constexpr const char* kName = "band_rows";
  Tensor table;   // float32 (count, ..., c)
  Tensor tokens;  // int32 (rows)
  std::int64_t first = 0;
  Tensor y;  // float32 (rows, ..., c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("table", self.table, Access::kRead);
    visit("tokens", self.tokens, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct BandRowsGradient {
  static constexpr const char* kName = "band_rows_gradient";
  Tensor tokens;  // int32 (rows)
  Tensor dy;      // float32 (rows, ..., c)
  std::int64_t first = 0;
  Tensor dtable;  // float32 (count, ..., c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("tokens", self.tokens, Access::kRead);
    visit("dy", self.dy, Access::kRead);
    visit("dtable", self.dtable, Access::kWrite);
  }
};

struct MaskRows {
  static constexpr const char* kName = "mask_rows";
  Tensor x;       // float32 (rows, ..., c)
  Tensor tokens;  // int32 (rows)
  std::int64_t first = 0, count = 0;
  Tensor y;  // float32 as x

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("tokens", self.tokens, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

struct BandLabels {
  static constexpr const char* kName = "band_labels";
  Tensor tokens;                      // int32 (rows)
  std::vector<std::int64_t> cutoffs;  // the words of the head, then the end of every band
  std::vector<Tensor> labels;         // int32 (rows): of the head, then of every band

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("tokens", self.tokens, Access::kRead);
    for (auto& tensor : self.labels) visit("labels", tensor, Access::kWrite);
  }
};

struct AddLosses {
  static constexpr const char* kName = "add_losses";
  std::vector<Tensor> losses;  // loss ()
  Tensor loss;                 // loss ()

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    for (auto& tensor : self.losses) visit("losses", tensor, Access::kRead);
    visit("loss", self.loss, Access::kWrite);
  }
};

void check(const BandRows& op, const Operands& operands);
void run(const BandRows& op, const StepMemory& memory);
void check(const BandRowsGradient& op, const Operands& operands);
void run(const BandRowsGradient& op, const StepMemory& memory);
void check(const MaskRows& op, const Operands& operands);
void run(const MaskRows& op, const StepMemory& memory);
void check(const BandLabels& op, const Operands& operands);
void run(const BandLabels& op, const StepMemory& memory);
void check(const AddLosses& op, const Operands& operands);
void run(const AddLosses& op, const StepMemory& memory);

}  // namespace bitcycle::ops
