// SPDX-License-Identifier: Apache-2.0
// PairShape: products of two activations, as attention has them (docs/numerics.md, 6.11): for every sample and head, m
// rows meet n columns in a matrix of pairs, each row and each column having d features. Three products connect them:
//   pairs    out (i, j) = sum over d of lhs row (i, d) * rhs column (j, d)      scores; the gradient at probabilities
//   rows     out (i, d) = sum over j of lhs pair (i, j) * rhs column (j, d)     attended values; the gradient at rows
//   columns  out (j, d) = sum over i of lhs pair (i, j) * rhs row (i, d)        the gradient at columns
// causal: pair (i, j) exists where j <= i + n - m. A pair that does not exist is no term of any sum, and as a result it
// is +0.
// Rows and columns lie as (sample, i, head, d), which is what a fully connected layer writes; pairs as (sample, head,
// i, j).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/number/host_device.h"

namespace bitcycle::ops {

struct PairShape {
  std::int64_t samples = 1, heads = 1;
  std::int64_t m = 1, n = 1, d = 1;
  bool causal = false;

  /// Pairs of row i exist for columns 0 .. columns_of(i) - 1.
  BITCYCLE_HD std::int64_t columns_of(std::int64_t i) const { return causal ? i + n - m + 1 : n; }
  /// Pairs of column j exist for rows first_row_of(j) .. m - 1.
  BITCYCLE_HD std::int64_t first_row_of(std::int64_t j) const { return causal && j > n - m ? j - (n - m) : 0; }
  /// Pairs that exist, of one head of one sample.
  std::int64_t pairs() const { return causal ? m * (n - m) + m * (m + 1) / 2 : m * n; }
  /// Multiplications of any of the three products.
  std::int64_t macs() const { return samples * heads * pairs() * d; }
  std::int64_t pair_elements() const { return samples * heads * m * n; }
  std::int64_t row_elements() const { return samples * m * heads * d; }
  std::int64_t column_elements() const { return samples * n * heads * d; }
  std::string text() const {
    return std::to_string(samples) + " x " + std::to_string(heads) + " heads, " + std::to_string(m) + " x " +
           std::to_string(n) + (causal ? " causal pairs of " : " pairs of ") + std::to_string(d) + " features";
  }
  bool operator==(const PairShape&) const = default;
};

enum class PairForm : std::uint8_t { kPairs, kRows, kColumns };

struct PairContraction {
  PairForm form = PairForm::kPairs;
  PairShape shape;  // samples: the whole batch

  std::int64_t lhs_size() const { return form == PairForm::kPairs ? shape.row_elements() : shape.pair_elements(); }
  std::int64_t rhs_size() const { return form == PairForm::kColumns ? shape.row_elements() : shape.column_elements(); }
  std::int64_t out_size() const {
    return form == PairForm::kPairs ? shape.pair_elements()
                                    : (form == PairForm::kRows ? shape.row_elements() : shape.column_elements());
  }
  /// Longest reduction.
  std::int64_t depth() const {
    return form == PairForm::kPairs ? shape.d : (form == PairForm::kRows ? shape.n : shape.m);
  }
  /// The same with the samples that a number of rows of the first axis is.
  PairContraction at(std::int64_t samples) const {
    PairContraction other = *this;
    other.shape.samples = samples;
    return other;
  }
  std::string text() const {
    const char* names[] = {"pairs", "rows", "columns"};
    return std::string(names[static_cast<int>(form)]) + " of " + shape.text();
  }
};

/// The elements that meet in one result: lhs + k * lhs_step and rhs + k * rhs_step, k below `terms`.
struct PairTerms {
  std::int64_t out = 0;
  std::int64_t lhs = 0, lhs_step = 0, rhs = 0, rhs_step = 0, terms = 0;
};

/// visit(terms) for every element of the result, in the order of memory; terms is 0 for a pair that does not exist.
template <typename Visit>
void for_each_pair_result(const PairContraction& over, Visit visit) {
  const PairShape& s = over.shape;
  const std::int64_t row = s.heads * s.d;  // from a row or column of a head to the next
  for (std::int64_t b = 0; b < s.samples; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t pairs = (b * s.heads + h) * s.m * s.n;
      const std::int64_t rows = (b * s.m * s.heads + h) * s.d, columns = (b * s.n * s.heads + h) * s.d;
      if (over.form == PairForm::kPairs) {
        for (std::int64_t i = 0; i < s.m; ++i) {
          for (std::int64_t j = 0; j < s.n; ++j) {
            visit(
                PairTerms{pairs + i * s.n + j, rows + i * row, 1, columns + j * row, 1, j < s.columns_of(i) ? s.d : 0});
          }
        }
      } else if (over.form == PairForm::kRows) {
        for (std::int64_t i = 0; i < s.m; ++i) {
          for (std::int64_t k = 0; k < s.d; ++k) {
            visit(PairTerms{rows + i * row + k, pairs + i * s.n, 1, columns + k, row, s.columns_of(i)});
          }
        }
      } else {
        for (std::int64_t j = 0; j < s.n; ++j) {
          const std::int64_t first = s.first_row_of(j);
          for (std::int64_t k = 0; k < s.d; ++k) {
            visit(PairTerms{columns + j * row + k, pairs + first * s.n + j, s.n, rows + first * row + k, row,
                            s.m - first});
          }
        }
      }
    }
  }
}

}  // namespace bitcycle::ops
