// SPDX-License-Identifier: Apache-2.0
// Checks of convolution shapes, and which output positions a tap reaches.
#include "sim/ops/conv_shape.h"

#include <algorithm>
#include <stdexcept>

namespace bitcycle {
namespace {

void require_at_least(std::int64_t value, std::int64_t least, const char* field, const ConvShape& shape) {
  if (value >= least) return;
  throw std::invalid_argument("convolution " + shape.text() + ": " + field + " is " + std::to_string(value) +
                              ", it must be at least " + std::to_string(least));
}

}  // namespace

std::string ConvShape::text() const {
  std::string text = "(n " + std::to_string(n) + ", h " + std::to_string(h) + ", w " + std::to_string(w) + ", c " +
                     std::to_string(c) + ") * (o " + std::to_string(o) + ", kh " + std::to_string(kh) + ", kw " +
                     std::to_string(kw) + ") stride " + std::to_string(stride) + " padding " + std::to_string(padding);
  if (groups != 1) text += " groups " + std::to_string(groups);
  return text;
}

void check_shape(const ConvShape& shape) {
  require_at_least(shape.n, 0, "n", shape);
  require_at_least(shape.h, 1, "h", shape);
  require_at_least(shape.w, 1, "w", shape);
  require_at_least(shape.c, 1, "c", shape);
  require_at_least(shape.o, 1, "o", shape);
  require_at_least(shape.kh, 1, "kh", shape);
  require_at_least(shape.kw, 1, "kw", shape);
  require_at_least(shape.stride, 1, "stride", shape);
  require_at_least(shape.padding, 0, "padding", shape);
  require_at_least(shape.groups, 1, "groups", shape);
  if (shape.c % shape.groups != 0 || shape.o % shape.groups != 0) {
    throw std::invalid_argument("convolution " + shape.text() + ": groups must divide c and o");
  }
  if (shape.kh > shape.h + 2 * shape.padding || shape.kw > shape.w + 2 * shape.padding) {
    throw std::invalid_argument("convolution " + shape.text() + ": the kernel is larger than the padded input of " +
                                std::to_string(shape.h + 2 * shape.padding) + " x " +
                                std::to_string(shape.w + 2 * shape.padding));
  }
}

namespace {

/// Output positions p with 0 <= p * stride - padding + tap < size, within 0..count.
void valid_span(std::int64_t tap, std::int64_t size, std::int64_t count, const ConvShape& shape, std::int64_t& begin,
                std::int64_t& end) {
  const std::int64_t first = shape.padding - tap;            // p * stride >= first
  const std::int64_t last = size - 1 + shape.padding - tap;  // p * stride <= last
  begin = first <= 0 ? 0 : (first + shape.stride - 1) / shape.stride;
  end = last < 0 ? 0 : std::min(count, last / shape.stride + 1);
  begin = std::min(begin, count);
  end = std::max(end, begin);
}

}  // namespace

TapRectangle valid_outputs(const ConvShape& shape, std::int64_t kh, std::int64_t kw) {
  TapRectangle r{};
  valid_span(kh, shape.h, shape.out_h(), shape, r.oh_begin, r.oh_end);
  valid_span(kw, shape.w, shape.out_w(), shape, r.ow_begin, r.ow_end);
  return r;
}

}  // namespace bitcycle
