// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/quantised.h"

namespace bitcycle::ops {

void check(const Quantised& operand, const char* role, const std::vector<std::int64_t>& shape,
           const Operands& operands) {
  const TensorSpec& codes = operands.of(operand.codes, role);
  const bool is_signed = codes.element == Element::kInt32;
  if (!is_signed && !is_codes(codes.element)) {
    operands.fail(std::string(role) + " '" + codes.name + "' is " + codes.text() + "; an operand of a product of " +
                  "integers is codes, or int32 on the grid of the error pass");
  }
  operands.require(operand.codes, role, codes.element, shape);
  operands.require(operand.grid, role, Element::kGrid, operand.groups.count(shape));
  if (is_signed != !operand.width) {
    operands.fail(std::string(role) + " '" + codes.name + "': codes have a width, signed ones have none");
  }
  operands.allow(operand.width, role, Element::kBitWidth, 1);
}

std::vector<std::int64_t> load_codes(const Quantised& operand, const StepMemory& memory) {
  const std::int64_t size = memory.size(operand.codes);
  std::vector<std::int64_t> out;
  const auto copy = [&](const auto* codes) { out.assign(codes, codes + size); };
  if (!operand.width) {
    copy(memory.data<const std::int32_t>(operand.codes));
    return out;
  }
  switch (memory.value<BitWidth>(operand.width).container()) {
    case Container::kUint8: copy(memory.data<const std::uint8_t>(operand.codes)); break;
    case Container::kUint16: copy(memory.data<const std::uint16_t>(operand.codes)); break;
    case Container::kUint32: copy(memory.data<const std::uint32_t>(operand.codes)); break;
    case Container::kFloat32: throw std::logic_error("a float32 operand has no codes");
  }
  return out;
}

}  // namespace bitcycle::ops
