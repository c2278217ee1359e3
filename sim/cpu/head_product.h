// SPDX-License-Identifier: Apache-2.0
// HeadProduct: one head of one sample of a product of two activations (docs/numerics.md, 6.11): where its elements lie,
// and the matrix product that it is: `rows` streamed rows of `depth` terms each, `lanes` results a row.
#pragma once

#include <cstdint>

#include "sim/ops/pair_shape.h"

namespace bitcycle::cpu {

constexpr std::int64_t kStreamRows = 64;  // results that are made together

struct HeadProduct {
  ops::PairForm form = ops::PairForm::kPairs;
  const ops::PairShape* shape = nullptr;
  std::int64_t pairs = 0, rows_at = 0, columns_at = 0;  // elements
  std::int64_t step = 0;                                // from a row to the next
  std::int64_t rows = 0, depth = 0, lanes = 0;

  HeadProduct(const ops::PairContraction& over, std::int64_t head) : form(over.form), shape(&over.shape) {
    const ops::PairShape& s = over.shape;
    const std::int64_t b = head / s.heads, h = head % s.heads;
    pairs = head * s.m * s.n;
    rows_at = (b * s.m * s.heads + h) * s.d;
    columns_at = (b * s.n * s.heads + h) * s.d;
    step = s.heads * s.d;
    rows = form == ops::PairForm::kColumns ? s.n : s.m;
    depth = over.depth();
    lanes = form == ops::PairForm::kPairs ? s.n : s.d;
  }
  /// The operand that is not streamed.
  std::int64_t other_at() const { return form == ops::PairForm::kColumns ? rows_at : columns_at; }
  std::int64_t out_at() const {
    return form == ops::PairForm::kPairs ? pairs : (form == ops::PairForm::kRows ? rows_at : columns_at);
  }
  std::int64_t out_step() const { return form == ops::PairForm::kPairs ? shape->n : step; }
  /// Terms of streamed row r: first .. first + count - 1 of its codes.
  std::int64_t first(std::int64_t r) const { return form == ops::PairForm::kColumns ? shape->first_row_of(r) : 0; }
  std::int64_t count(std::int64_t r) const {
    if (form == ops::PairForm::kPairs) return depth;
    return form == ops::PairForm::kRows ? shape->columns_of(r) : shape->m - first(r);
  }
  /// Results of streamed row r.
  std::int64_t results(std::int64_t r) const { return form == ops::PairForm::kPairs ? shape->columns_of(r) : lanes; }
};

}  // namespace bitcycle::cpu
