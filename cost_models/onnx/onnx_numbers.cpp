// SPDX-License-Identifier: Apache-2.0
// Rules of elementwise operators and of constants; shapes that a graph computes as whole numbers are followed.
#include <algorithm>
#include <limits>

#include "cost_models/onnx/onnx_shapes.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kMostNumbers = 8192;
using Numbers = std::vector<std::int64_t>;

/// One element; nothing where the operator is not followed, or has no result.
std::optional<std::int64_t> result_of(const std::string& op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (op == "Add") return __builtin_add_overflow(a, b, &result) ? std::nullopt : std::optional(result);
  if (op == "Sub") return __builtin_sub_overflow(a, b, &result) ? std::nullopt : std::optional(result);
  if (op == "Mul") return __builtin_mul_overflow(a, b, &result) ? std::nullopt : std::optional(result);
  const bool divides = b != 0 && !(a == std::numeric_limits<std::int64_t>::min() && b == -1);
  if (op == "Div") return divides ? std::optional(a / b) : std::nullopt;
  if (op == "Mod") return divides ? std::optional((a % b + b) % b) : std::nullopt;
  if (op == "Min") return std::min(a, b);
  if (op == "Max") return std::max(a, b);
  if (op == "Equal") return a == b ? 1 : 0;
  if (op == "Greater") return a > b ? 1 : 0;
  if (op == "Less") return a < b ? 1 : 0;
  return std::nullopt;
}

/// The element of a scalar or a list.
std::int64_t element(const Numbers& numbers, std::size_t i) { return numbers.size() == 1 ? numbers[0] : numbers[i]; }

void follow(ShapeTask& task, const OnnxShape& shape) {
  const std::string& op = task.node.op;
  const std::int64_t count = elements_of(shape);
  if (shape.size() > 1 || count > kMostNumbers || task.inputs() != (op == "Where" ? 3U : 2U)) return;
  std::vector<const Numbers*> of;
  for (std::size_t i = 0; i < task.inputs(); ++i) {
    of.push_back(task.maybe_numbers(i));
    if (of.back() == nullptr) return;
    if (of.back()->size() != 1 && static_cast<std::int64_t>(of.back()->size()) != count) return;
  }
  Numbers numbers;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const std::int64_t a = element(*of[0], i), b = element(*of[1], i);
    const auto result = op == "Where" ? std::optional(a != 0 ? b : element(*of[2], i)) : result_of(op, a, b);
    if (!result) return;
    numbers.push_back(*result);
  }
  task.put_numbers(std::move(numbers));
}

}  // namespace

void unary_rule(ShapeTask& task) {
  task.put(0, task.shape(0));
  if (task.node.op == "Dropout") task.put(1, task.shape(0));
  const auto* numbers = task.maybe_numbers(0);
  if (numbers == nullptr) return;
  const std::string& op = task.node.op;
  // A cast to a type that is no whole number keeps the value, too: sizes are far below 2^24.
  if (op == "Identity" || op == "Cast" || op == "Floor" || op == "Ceil" || op == "Round") task.put_numbers(*numbers);
  if (op != "Neg") return;
  Numbers negated;
  for (const std::int64_t number : *numbers) {
    if (number == std::numeric_limits<std::int64_t>::min()) return;
    negated.push_back(-number);
  }
  task.put_numbers(std::move(negated));
}

void broadcast_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  for (std::size_t i = 1; i < task.inputs(); ++i) {
    if (!task.has(i)) continue;
    try {
      shape = broadcast(shape, task.shape(i));
    } catch (const std::invalid_argument& error) {
      task.fail(error.what());
    }
  }
  task.put(0, shape);
  follow(task, shape);
}

void shape_of_rule(ShapeTask& task) {
  const OnnxShape& shape = task.shape(0);
  const auto axes = static_cast<std::int64_t>(shape.size());
  const auto position = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + axes : at, 0, axes); };
  const std::int64_t begin = position(task.node.integer("start", 0)), end = position(task.node.integer("end", axes));
  const Numbers numbers(shape.begin() + begin, shape.begin() + std::max(begin, end));
  task.put(0, {static_cast<std::int64_t>(numbers.size())});
  task.put_numbers(numbers);
}

void size_of_rule(ShapeTask& task) {
  task.put(0, {});
  task.put_numbers({elements_of(task.shape(0))});
}

void constant_rule(ShapeTask& task) {
  const OnnxNode& node = task.node;
  if (const auto tensor = node.tensors.find("value"); tensor != node.tensors.end()) {
    task.put(0, tensor->second.shape);
    if (auto numbers = tensor->second.whole_numbers()) task.put_numbers(std::move(*numbers));
  } else if (node.integers.count("value_int") != 0) {
    task.put(0, {});
    task.put_numbers({node.integer("value_int", 0)});
  } else if (const auto* list = node.list("value_ints")) {
    task.put(0, {static_cast<std::int64_t>(list->size())});
    task.put_numbers(*list);
  } else {
    task.put(0, {});  // a text or a real number, which no shape is made of
  }
}

void constant_of_shape_rule(ShapeTask& task) {
  OnnxShape shape = task.numbers(0);
  if (shape.size() > 64) task.fail("a shape of more than 64 axes");
  const std::int64_t count = elements_of(shape);
  task.put(0, std::move(shape));
  std::optional<Numbers> value = Numbers{0};
  if (const auto tensor = task.node.tensors.find("value"); tensor != task.node.tensors.end()) {
    value = tensor->second.whole_numbers();
  }
  if (value && value->size() == 1 && count <= kMostNumbers) {
    task.put_numbers(Numbers(static_cast<std::size_t>(count), value->front()));
  }
}

void range_rule(ShapeTask& task) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (task.numbers(i).size() != 1) task.fail("its limits are not single numbers");
  }
  const std::int64_t start = task.numbers(0)[0], limit = task.numbers(1)[0], step = task.numbers(2)[0];
  std::int64_t stretch = 0;
  if (step == 0 || step == std::numeric_limits<std::int64_t>::min() ||
      __builtin_sub_overflow(step > 0 ? limit : start, step > 0 ? start : limit, &stretch)) {
    task.fail("a range from " + std::to_string(start) + " to " + std::to_string(limit) + " by " + std::to_string(step));
  }
  const std::int64_t stride = step > 0 ? step : -step;
  const std::int64_t count = stretch > 0 ? (stretch - 1) / stride + 1 : 0;
  task.put(0, {count});
  if (count > kMostNumbers) return;
  Numbers numbers;
  for (std::int64_t i = 0; i < count; ++i) numbers.push_back(start + i * step);
  task.put_numbers(std::move(numbers));
}

}  // namespace bitcycle
