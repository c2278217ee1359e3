// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/contraction.h"

namespace bitcycle::ops {

using Extents = std::vector<std::int64_t>;

std::vector<std::int64_t> Contraction::lhs_shape() const {
  const ConvShape& s = shape;
  return pass == Pass::kError ? Extents{s.n, s.out_h(), s.out_w(), s.o} : Extents{s.n, s.h, s.w, s.c};
}

std::vector<std::int64_t> Contraction::rhs_shape() const {
  const ConvShape& s = shape;
  return pass == Pass::kWeightGradient ? Extents{s.n, s.out_h(), s.out_w(), s.o}
                                       : Extents{s.o, s.kh, s.kw, s.c_per_group()};
}

std::vector<std::int64_t> Contraction::out_shape() const {
  const ConvShape& s = shape;
  switch (pass) {
    case Pass::kForward: return {s.n, s.out_h(), s.out_w(), s.o};
    case Pass::kError: return {s.n, s.h, s.w, s.c};
    case Pass::kWeightGradient: return {s.o, s.kh, s.kw, s.c_per_group()};
  }
  return {};
}

std::vector<std::int64_t> Contraction::lhs_sums_shape() const {
  const ConvShape& s = shape;
  switch (pass) {
    case Pass::kForward: return {s.n, s.out_h(), s.out_w(), s.groups};
    case Pass::kError: return {s.n, s.h, s.w, s.groups};
    case Pass::kWeightGradient: return {s.kh, s.kw, s.c};
  }
  return {};
}

std::vector<std::int64_t> Contraction::rhs_sums_shape() const {
  const ConvShape& s = shape;
  switch (pass) {
    case Pass::kForward: return {s.out_h(), s.out_w(), s.o};
    case Pass::kError: return {s.h, s.w, s.c};
    case Pass::kWeightGradient: return {s.o, s.kh, s.kw};
  }
  return {};
}

std::int64_t Contraction::depth() const {
  switch (pass) {
    case Pass::kForward: return shape.forward_depth();
    case Pass::kError: return shape.error_depth();
    case Pass::kWeightGradient: return shape.weight_gradient_depth();
  }
  return 0;
}

std::string Contraction::text() const { return pass_text(pass) + " " + shape.text(); }

std::int64_t lhs_sum_index(const Contraction& over, const OutElement& out) {
  const ConvShape& s = over.shape;
  const auto& [a, b, c, d] = out.at;
  switch (over.pass) {
    case Pass::kForward: return ((a * s.out_h() + b) * s.out_w() + c) * s.groups + d / s.o_per_group();
    case Pass::kError: return ((a * s.h + b) * s.w + c) * s.groups + d / s.c_per_group();
    case Pass::kWeightGradient: return (b * s.kw + c) * s.c + a / s.o_per_group() * s.c_per_group() + d;
  }
  return 0;
}

std::int64_t rhs_sum_index(const Contraction& over, const OutElement& out) {
  const ConvShape& s = over.shape;
  const auto& [a, b, c, d] = out.at;
  switch (over.pass) {
    case Pass::kForward: return (b * s.out_w() + c) * s.o + d;
    case Pass::kError: return (b * s.w + c) * s.c + d;
    case Pass::kWeightGradient: return (a * s.kh + b) * s.kw + c;
  }
  return 0;
}

std::int64_t terms_of(const Contraction& over, const OutElement& out) {
  std::int64_t terms = 0;
  for_each_run(over, out,
               [&](std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t count) {
                 terms += count;
               });
  return terms;
}

}  // namespace bitcycle::ops
