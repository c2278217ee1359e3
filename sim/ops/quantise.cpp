// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/quantise.h"

#include <cmath>

#include "sim/number/philox.h"
#include "sim/quantisers/affine.h"

namespace bitcycle::ops {

void check(const Quantise& op, const Operands& operands) {
  const TensorSpec& x = operands.of(op.x, "x");
  operands.require(op.x, "x", Element::kFloat32, x.shape);
  if (!op.width) operands.fail("width is missing");
  check(op.result(), "codes", x.shape, operands);
  using Rounding = Quantise::Rounding;
  if (op.rounding == Rounding::kStochastic) operands.require(op.step, "step", Element::kUint32, 1);
  if (op.rounding == Rounding::kGivenNoise) operands.require(op.noise, "noise", Element::kFloat32, x.shape);
  if (op.noise && op.rounding != Rounding::kGivenNoise) operands.fail("noise is given, and not asked for");
}

void run(const Quantise& op, const StepMemory& memory) {
  using Rounding = Quantise::Rounding;
  const std::int64_t size = memory.size(op.x);
  const auto& shape = memory.spec(op.x).shape;
  const auto* x = memory.data<float>(op.x);
  const auto* grid = memory.data<Affine>(op.grid);
  const auto width = memory.value<BitWidth>(op.width);
  PhiloxStream stream;
  if (op.rounding == Rounding::kStochastic) {
    stream =
        philox_stream(op.seed, memory.value<std::uint32_t>(op.step), RandomPurpose::kGradientRounding, op.tensor_id);
  }
  const auto code = [&](std::int64_t e) {
    float u = 0.0F;
    if (op.rounding == Rounding::kStochastic) u = rounding_noise(philox_word(stream, static_cast<std::uint64_t>(e)));
    if (op.rounding == Rounding::kGivenNoise) u = memory.data<float>(op.noise)[e];
    return quantise(x[e], grid[op.groups.of(e, size, shape)], width, u);
  };
  const auto store = [&](auto* codes) {
    using Code = std::remove_pointer_t<decltype(codes)>;
    for (std::int64_t e = 0; e < size; ++e) codes[e] = static_cast<Code>(code(e));
  };
  switch (width.container()) {
    case Container::kUint8: store(memory.data<std::uint8_t>(op.codes)); break;
    case Container::kUint16: store(memory.data<std::uint16_t>(op.codes)); break;
    case Container::kUint32: store(memory.data<std::uint32_t>(op.codes)); break;
    case Container::kFloat32: throw std::logic_error("quantise: the width is float32");
  }
}

void check(const Dequantise& op, const Operands& operands) {
  const auto& shape = operands.of(op.x.codes, "codes").shape;
  check(op.x, "codes", shape, operands);
  operands.require(op.values, "values", Element::kFloat32, shape);
}

void run(const Dequantise& op, const StepMemory& memory) {
  const std::vector<std::int64_t> codes = load_codes(op.x, memory);
  const auto size = static_cast<std::int64_t>(codes.size());
  const auto& shape = memory.spec(op.x.codes).shape;
  const auto* grid = memory.data<Affine>(op.x.grid);
  auto* values = memory.data<float>(op.values);
  for (std::int64_t e = 0; e < size; ++e) {
    const Affine& of = grid[op.x.groups.of(e, size, shape)];
    values[e] = static_cast<float>(std::fma(of.step, static_cast<double>(codes[static_cast<std::size_t>(e)]), of.lo));
  }
}

}  // namespace bitcycle::ops
