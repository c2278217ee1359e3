// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/onnx_windows.h"

#include <algorithm>

namespace bitcycle {
namespace {

constexpr std::int64_t kMost = 1000000000;

/// A list attribute with one entry an axis.
std::vector<std::int64_t> list_of(const ShapeTask& task, const char* key, std::size_t size, std::int64_t fallback,
                                  std::int64_t least) {
  const auto* list = task.node.list(key);
  if (list == nullptr) return std::vector<std::int64_t>(size, fallback);
  if (list->size() != size) {
    task.fail(std::string("'") + key + "' has " + std::to_string(list->size()) + " numbers, and " +
              std::to_string(size) + " are needed");
  }
  for (const std::int64_t value : *list) {
    if (value < least || value > kMost) task.fail(std::string("'") + key + "' holds " + std::to_string(value));
  }
  return *list;
}

}  // namespace

std::vector<OnnxWindow> windows_of(const ShapeTask& task, const OnnxShape& input, const OnnxShape& kernel) {
  const std::size_t axes = kernel.size();
  const auto strides = list_of(task, "strides", axes, 1, 1), dilations = list_of(task, "dilations", axes, 1, 1);
  const auto pads = list_of(task, "pads", 2 * axes, 0, 0);
  const std::string automatic = task.node.text("auto_pad", "NOTSET");
  const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
  if (!same && automatic != "NOTSET" && automatic != "VALID") task.fail("auto_pad '" + automatic + "' is not known");
  const bool round_up = task.node.integer("ceil_mode", 0) != 0;
  std::vector<OnnxWindow> windows;
  for (std::size_t i = 0; i < axes; ++i) {
    OnnxWindow w{kernel[i], strides[i], dilations[i]};
    const std::int64_t size = input[i + 2];
    if (w.kernel < 1 || w.kernel > kMost || size > kMost) {
      task.fail("a kernel of " + std::to_string(w.kernel) + " taps on " + std::to_string(size) + " positions");
    }
    const std::int64_t reach = w.dilation * (w.kernel - 1) + 1;
    if (same) {
      w.out = (size + w.stride - 1) / w.stride;
      const std::int64_t total = std::max<std::int64_t>(0, (w.out - 1) * w.stride + reach - size);
      w.before = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.after = total - w.before;
    } else {
      if (automatic == "NOTSET") {
        w.before = pads[i];
        w.after = pads[i + axes];
      }
      const std::int64_t room = size + w.before + w.after - reach;
      if (room >= 0) w.out = (room + (round_up ? w.stride - 1 : 0)) / w.stride + 1;
      // A last window that would begin behind the input is left out.
      if (round_up && (w.out - 1) * w.stride >= size + w.before) --w.out;
      if (room < 0) w.out = 0;
    }
    if (w.out < 1) {
      task.fail("a window of " + std::to_string(reach) + " does not fit into " + std::to_string(size) +
                " positions of its input " + shape_text(input));
    }
    windows.push_back(w);
  }
  return windows;
}

void pool_rule(ShapeTask& task) {
  const OnnxShape& input = task.shape(0);
  const auto* kernel = task.node.list("kernel_shape");
  if (kernel == nullptr) task.fail("'kernel_shape' is missing");
  if (input.size() != kernel->size() + 2) task.fail("its input has the shape " + shape_text(input));
  OnnxShape shape{input[0], input[1]};
  for (const auto& window : windows_of(task, input, *kernel)) shape.push_back(window.out);
  task.put(1, shape);  // of MaxPool: positions
  task.put(0, std::move(shape));
}

void global_pool_rule(ShapeTask& task) {
  OnnxShape shape = task.shape(0);
  for (std::size_t i = 2; i < shape.size(); ++i) shape[i] = 1;
  task.put(0, std::move(shape));
}

}  // namespace bitcycle
