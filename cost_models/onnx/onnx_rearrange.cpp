// SPDX-License-Identifier: Apache-2.0
// Rules of operators that rearrange, cut, join or repeat a tensor, or take extremes and sums over its axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cost_models/onnx/onnx_shapes.h"

namespace bitcycle {
namespace {

constexpr std::size_t kMostNumbers = 8192;

std::size_t rank(const OnnxShape& shape) { return shape.size(); }

/// Numbers pass through where the elements stay in their order.
void pass_numbers(ShapeTask& task) {
  if (const auto* numbers = task.maybe_numbers(0)) task.put_numbers(*numbers);
}

std::vector<bool> marked(const ShapeTask& task, const std::vector<std::int64_t>& axes, std::size_t axes_in_all) {
  std::vector<bool> marks(axes_in_all, false);
  for (const std::int64_t axis : axes) marks[task.axis(axis, axes_in_all)] = true;
  return marks;
}

}  // namespace

void reshape_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const auto* attribute = task.node.list("shape");  // opset 1
  OnnxShape shape = attribute != nullptr ? *attribute : task.numbers(1);
  if (shape.size() > 64) task.fail("a shape of more than 64 axes");
  const bool zero_is_copy = task.node.integer("allowzero", 0) == 0;
  std::size_t open = shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && zero_is_copy) {
      if (i >= input.size()) task.fail("axis " + std::to_string(i) + " is copied from an input that does not have it");
      shape[i] = input[i];
    }
    if (shape[i] == -1) {
      if (open != shape.size()) task.fail("two sizes are open (-1)");
      open = i;
      shape[i] = 1;
    }
    if (shape[i] < 0) task.fail("a size of " + std::to_string(shape[i]));
  }
  const std::int64_t all = elements_of(input), rest = elements_of(shape);
  if (open != shape.size()) {
    if (rest > 0 && all % rest == 0) shape[open] = all / rest;
  }
  if (elements_of(shape) != all) {
    task.fail("an input of the shape " + shape_text(input) + " cannot become " + shape_text(shape) +
              "; where the file was written for one size of an open axis, give it: --dim NAME=SIZE");
  }
  task.put(0, std::move(shape));
  pass_numbers(task);
}

void flatten_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const std::int64_t given = task.node.integer("axis", 1);
  const std::size_t axis =
      given == static_cast<std::int64_t>(rank(input)) ? rank(input) : task.axis(given, rank(input));
  const auto middle = input.begin() + static_cast<std::ptrdiff_t>(axis);
  task.put(0, {elements_of({input.begin(), middle}), elements_of({middle, input.end()})});
}

void transpose_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  OnnxShape shape(input.rbegin(), input.rend());
  if (const auto* order = task.node.list("perm")) {
    if (order->size() != input.size()) task.fail("'perm' has another number of axes than its input");
    for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = input[task.axis((*order)[i], rank(input))];
  }
  task.put(0, std::move(shape));
}

void squeeze_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const auto axes = task.axes(1);
  std::vector<bool> gone(input.size());
  if (axes) {
    gone = marked(task, *axes, input.size());
  } else {
    for (std::size_t i = 0; i < input.size(); ++i) gone[i] = input[i] == 1;
  }
  OnnxShape shape;
  for (std::size_t i = 0; i < input.size(); ++i) {
    if (!gone[i]) shape.push_back(input[i]);
    if (gone[i] && input[i] != 1) task.fail("an axis of " + std::to_string(input[i]) + " elements cannot be left out");
  }
  task.put(0, std::move(shape));
  pass_numbers(task);
}

void unsqueeze_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const auto axes = task.axes(1);
  if (!axes || axes->size() > 64) task.fail("'axes' are missing");
  const std::vector<bool> added = marked(task, *axes, input.size() + axes->size());
  OnnxShape shape;
  std::size_t next = 0;
  for (const bool is_new : added) {
    if (!is_new && next == input.size()) task.fail("'axes' names an axis twice");
    shape.push_back(is_new ? 1 : input[next++]);
  }
  task.put(0, std::move(shape));
  pass_numbers(task);
}

void concat_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  const std::size_t axis = task.axis(task.node.integer("axis", 1), rank(shape));
  std::optional<std::vector<std::int64_t>> numbers(std::in_place);
  for (std::size_t i = 0; i < task.inputs(); ++i) {
    const OnnxShape& part = task.shape(i);
    if (part.size() != shape.size()) task.fail("its inputs have different numbers of axes");
    for (std::size_t a = 0; a < shape.size(); ++a) {
      if (a != axis && part[a] != shape[a]) {
        task.fail("its inputs have the shapes " + shape_text(task.shape(0)) + " and " + shape_text(part));
      }
    }
    if (i > 0) shape[axis] += part[axis];
    const auto* more = task.maybe_numbers(i);
    if (more == nullptr || shape.size() != 1 || (numbers && numbers->size() + more->size() > kMostNumbers)) {
      numbers.reset();
    } else if (numbers) {
      numbers->insert(numbers->end(), more->begin(), more->end());
    }
  }
  task.put(0, std::move(shape));
  if (numbers) task.put_numbers(std::move(*numbers));
}

void split_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const std::size_t axis = task.axis(task.node.integer("axis", 0), rank(input));
  std::vector<std::int64_t> sizes;
  if (const auto* list = task.node.list("split")) {
    sizes = *list;
  } else if (task.has(1)) {
    sizes = task.numbers(1);
  } else {
    if (task.outputs() == 0) return;
    const auto parts = static_cast<std::int64_t>(task.outputs());
    const std::int64_t size = (input[axis] + parts - 1) / parts;
    for (std::int64_t i = 0; i < parts; ++i) {
      sizes.push_back(std::max<std::int64_t>(0, std::min(size, input[axis] - i * size)));
    }
  }
  if (sizes.size() != task.outputs()) task.fail("'split' has another number of parts than there are outputs");
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    OnnxShape shape = input;
    shape[axis] = sizes[i];
    task.put(i, std::move(shape));
  }
}

void slice_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  const bool attributes = task.node.list("starts") != nullptr;  // before opset 10
  const std::vector<std::int64_t> starts = attributes ? *task.node.list("starts") : task.numbers(1);
  const auto* end_list = task.node.list("ends");
  if (attributes && end_list == nullptr) task.fail("'ends' is missing");
  const std::vector<std::int64_t> ends = attributes ? *end_list : task.numbers(2);
  std::vector<std::int64_t> axes, steps(starts.size(), 1);
  if (const auto given = task.axes(3)) {
    axes = *given;
  } else {
    for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  if (!attributes && task.has(4)) steps = task.numbers(4);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size()) {
    task.fail("starts, ends, axes and steps have different lengths");
  }
  std::optional<std::vector<std::int64_t>> numbers;
  if (const auto* all = task.maybe_numbers(0); all != nullptr && shape.size() == 1 && starts.size() == 1)
    numbers = *all;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t axis = task.axis(axes[i], rank(shape));
    const std::int64_t size = shape[axis], step = steps[i];
    if (step == 0 || step == std::numeric_limits<std::int64_t>::min()) task.fail("a step of " + std::to_string(step));
    const auto position = [&](std::int64_t at) {
      if (at < 0) at = at < -size ? -1 : at + size;  // -1: before the first, as a falling slice may end there
      return std::clamp<std::int64_t>(at, step > 0 ? 0 : -1, step > 0 ? size : size - 1);
    };
    const std::int64_t first = position(starts[i]), last = position(ends[i]);
    const std::int64_t stretch = step > 0 ? last - first : first - last, stride = step > 0 ? step : -step;
    shape[axis] = stretch > 0 ? (stretch - 1) / stride + 1 : 0;
    if (numbers) {
      std::vector<std::int64_t> chosen;
      for (std::int64_t k = 0; k < shape[axis]; ++k) {
        chosen.push_back(numbers->at(static_cast<std::size_t>(first + k * step)));
      }
      numbers = std::move(chosen);
    }
  }
  task.put(0, std::move(shape));
  if (numbers) task.put_numbers(std::move(*numbers));
}

void gather_rule(ShapeTask& task) {
  const OnnxShape &data = task.shape(0), &indices = task.shape(1);
  const std::size_t axis = task.axis(task.node.integer("axis", 0), rank(data));
  OnnxShape shape(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), data.begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.end());
  task.put(0, std::move(shape));
  const auto *numbers = task.maybe_numbers(0), *positions = task.maybe_numbers(1);
  if (numbers == nullptr || positions == nullptr || data.size() != 1) return;
  std::vector<std::int64_t> chosen;
  for (const std::int64_t position : *positions) {
    const auto size = static_cast<std::int64_t>(numbers->size());
    const std::int64_t at = position < 0 ? position + size : position;
    if (at < 0 || at >= size) task.fail("position " + std::to_string(position) + " of " + std::to_string(size));
    chosen.push_back((*numbers)[static_cast<std::size_t>(at)]);
  }
  task.put_numbers(std::move(chosen));
}

void gather_nd_rule(ShapeTask& task) {
  const OnnxShape &data = task.shape(0), &indices = task.shape(1);
  const std::int64_t batch = task.node.integer("batch_dims", 0);
  if (indices.empty() || batch < 0 || batch > 64) task.fail("its indices have no axis");
  const std::int64_t used = batch + indices.back();
  if (used > static_cast<std::int64_t>(data.size())) task.fail("its indices have more parts than its input has axes");
  OnnxShape shape(indices.begin(), indices.end() - 1);
  shape.insert(shape.end(), data.begin() + static_cast<std::ptrdiff_t>(used), data.end());
  task.put(0, std::move(shape));
}

void expand_rule(ShapeTask& task) {
  const OnnxShape& to = task.numbers(1);
  if (to.size() > 64) task.fail("a shape of more than 64 axes");
  OnnxShape shape = broadcast(task.shape(0), to);
  const std::int64_t count = elements_of(shape);
  task.put(0, std::move(shape));
  const auto* numbers = task.maybe_numbers(0);
  if (numbers != nullptr && numbers->size() == 1 && count <= static_cast<std::int64_t>(kMostNumbers)) {
    task.put_numbers(std::vector<std::int64_t>(static_cast<std::size_t>(count), numbers->front()));
  }
}

void tile_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  const auto& times = task.numbers(1);
  if (times.size() != shape.size()) task.fail("the number of repeats is not that of its input's axes");
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = elements_of({shape[i], times[i]});
  task.put(0, std::move(shape));
}

void pad_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  const auto* list = task.node.list("pads");
  if (list == nullptr) list = task.node.list("paddings");  // opset 1
  const std::vector<std::int64_t> pads = list != nullptr ? *list : task.numbers(1);
  std::vector<std::int64_t> axes;
  if (task.has(3)) {
    axes = task.numbers(3);
  } else {
    for (std::size_t i = 0; i < shape.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  if (pads.size() != 2 * axes.size()) task.fail("'pads' has another length than twice its input's axes");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    std::int64_t& size = shape[task.axis(axes[i], rank(shape))];
    if (__builtin_add_overflow(size, pads[i], &size) || __builtin_add_overflow(size, pads[i + axes.size()], &size)) {
      task.fail("a padding of " + std::to_string(pads[i]));
    }
  }
  task.put(0, std::move(shape));
}

void depth_to_space_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const std::int64_t block = task.node.integer("blocksize", 0);
  if (input.size() != 4 || block < 1 || block > 4096 || input[1] % (block * block) != 0) {
    task.fail("its input has the shape " + shape_text(input));
  }
  task.put(0, {input[0], input[1] / (block * block), elements_of({input[2], block}), elements_of({input[3], block})});
}

void space_to_depth_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const std::int64_t block = task.node.integer("blocksize", 0);
  if (input.size() != 4 || block < 1 || block > 4096) task.fail("its input has the shape " + shape_text(input));
  task.put(0, {input[0], elements_of({input[1], block * block}), input[2] / block, input[3] / block});
}

void resize_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  if (task.has(3)) {
    OnnxShape sizes = task.numbers(3);
    if (sizes.size() != input.size()) throw UnknownShape(task.node.label() + " resizes some axes alone");
    return task.put(0, std::move(sizes));
  }
  // Resize of opset 11 has its scales behind the region of interest; Upsample and opset 10 have not.
  const std::size_t at = task.node.op == "Resize" && task.opset >= 11 ? 2 : 1;
  const OnnxTensor* tensor = task.has(at) ? task.value(at).tensor : nullptr;
  const auto scales = tensor != nullptr ? tensor->real_numbers() : std::nullopt;
  if (!scales || scales->size() != input.size()) {
    throw UnknownShape(task.node.label() + " resizes by factors that are not constants of the file");
  }
  OnnxShape shape;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const double size = std::floor(static_cast<double>(input[i]) * static_cast<double>((*scales)[i]));
    if (!(size >= 0.0 && size < 1e15)) task.fail("a factor of " + std::to_string((*scales)[i]));
    shape.push_back(static_cast<std::int64_t>(size));
  }
  task.put(0, std::move(shape));
}

void reduce_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const auto axes = task.axes(1);
  const bool all = !axes || axes->empty();
  if (all && task.node.integer("noop_with_empty_axes", 0) != 0) return task.put(0, input);
  const std::vector<bool> gone = all ? std::vector<bool>(input.size(), true) : marked(task, *axes, input.size());
  const bool keep = task.node.integer("keepdims", 1) != 0;
  OnnxShape shape;
  for (std::size_t i = 0; i < input.size(); ++i) {
    if (!gone[i]) shape.push_back(input[i]);
    if (gone[i] && keep) shape.push_back(1);
  }
  task.put(0, std::move(shape));
  const auto* numbers = task.maybe_numbers(0);
  if (numbers == nullptr || input.size() != 1 || task.node.op != "ReduceProd") return;
  std::int64_t product = 1;
  for (const std::int64_t number : *numbers) {
    if (__builtin_mul_overflow(product, number, &product)) task.fail("a product of sizes has more than 63 bits");
  }
  task.put_numbers({product});
}

void arg_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  const std::size_t axis = task.axis(task.node.integer("axis", 0), rank(shape));
  shape[axis] = 1;
  if (task.node.integer("keepdims", 1) == 0) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  task.put(0, std::move(shape));
}

void top_k_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  const std::size_t axis = task.axis(task.node.integer("axis", -1), rank(shape));
  if (task.has(1) && task.numbers(1).size() != 1) task.fail("k is not one number");
  shape[axis] = task.has(1) ? task.numbers(1).front() : task.node.integer("k", 0);
  task.put(1, shape);
  task.put(0, std::move(shape));
}

void one_hot_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  if (task.numbers(1).size() != 1) task.fail("the depth is not one number");
  const std::int64_t given = task.node.integer("axis", -1);
  const std::size_t axis = task.axis(given, rank(shape) + 1);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), task.numbers(1).front());
  task.put(0, std::move(shape));
}

}  // namespace bitcycle
