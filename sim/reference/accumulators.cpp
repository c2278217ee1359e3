// SPDX-License-Identifier: Apache-2.0
// The exact integers of one product, always in 128 bits (docs/numerics.md, section 3).
#include <stdexcept>

#include "sim/reference/integer_products.h"
#include "sim/reference/operations.h"

namespace bitcycle::reference {
namespace {

void require_integer(BitWidth width, const char* operand) {
  if (width.is_integer()) return;
  throw std::invalid_argument(std::string("accumulators: ") + operand +
                              " is float32, which has no integer sums; give it a width of 2..32 bits");
}

void forward(const ConvAccumulators& args) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> x = load_codes(args.x, s.input_size());
  const auto* w = args.weights->codes.as<std::uint32_t>();
  Int128* out = args.sums;
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t oh = 0; oh < s.out_h(); ++oh) {
      for (std::int64_t ow = 0; ow < s.out_w(); ++ow) {
        for (std::int64_t o = 0; o < s.o; ++o) *out++ = forward_sums<Int128>(s, x.data(), w, n, oh, ow, o).product;
      }
    }
  }
}

template <typename Weight>
void error(const ConvAccumulators& args) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> g = load_codes(args.g, s.output_size());
  const auto* w = args.weights->error_codes.as<Weight>();
  Int128* out = args.sums;
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t h = 0; h < s.h; ++h) {
      for (std::int64_t x = 0; x < s.w; ++x) {
        for (std::int64_t i = 0; i < s.c; ++i) *out++ = error_sums<Int128>(s, g.data(), w, n, h, x, i).product;
      }
    }
  }
}

void weight_gradient(const ConvAccumulators& args) {
  const ConvShape& s = args.shape;
  const std::vector<std::uint32_t> x = load_codes(args.x, s.input_size());
  const std::vector<std::uint32_t> g = load_codes(args.g, s.output_size());
  Int128* out = args.sums;
  for (std::int64_t o = 0; o < s.o; ++o) {
    for (std::int64_t kh = 0; kh < s.kh; ++kh) {
      for (std::int64_t kw = 0; kw < s.kw; ++kw) {
        for (const Int128 sum : weight_gradient_sums<Int128>(s, x.data(), g.data(), o, kh, kw).product) *out++ = sum;
      }
    }
  }
}

}  // namespace

void conv_accumulators(const ConvAccumulators& args) {
  if (args.pass != Pass::kError) require_integer(args.x.width, "x");
  if (args.pass != Pass::kForward) require_integer(args.g.width, "g");
  if (args.pass != Pass::kWeightGradient) require_integer(args.weights->width, "w");
  if (args.pass == Pass::kForward) {
    forward(args);
  } else if (args.pass == Pass::kWeightGradient) {
    weight_gradient(args);
  } else if (args.weights->error_weights == ErrorWeights::kShared) {
    error<std::int32_t>(args);
  } else {
    error<std::uint32_t>(args);
  }
}

}  // namespace bitcycle::reference
