// SPDX-License-Identifier: Apache-2.0
// MobileNetV2 for CIFAR as Cyclic Precision Training has it: inverted residual blocks with depthwise convolutions on
// 32x32 images. Every convolution is quantised, depthwise and shortcut ones too, unless the options say otherwise; the
// classifier is float32. Parameter names are those of the paper's code.
#include "nn/builder/builder.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

using builder::Builder;
using builder::Value;

struct Group {
  std::int64_t expansion, channels, blocks, stride;
};
constexpr Group kGroups[] = {{1, 16, 1, 1}, {6, 24, 2, 1},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

/// bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))), and at stride 1 + x, or + bn4(shortcut(x)) where the number of
/// channels changes. conv2 is depthwise; there is no rectifier behind the block.
Value* write_block(Builder& b, const std::string& name, Value* x, const Group& group, std::int64_t stride) {
  const std::int64_t planes = group.expansion * x->c;
  Value* y = relu(b, batch_norm(b, conv(b, x, {name + ".conv1", planes, 1, 1, 0}), name + ".bn1"));
  y = relu(b, batch_norm(b, conv(b, y, {name + ".conv2", planes, 3, stride, 1, planes}), name + ".bn2"));
  y = batch_norm(b, conv(b, y, {name + ".conv3", group.channels, 1, 1, 0}), name + ".bn3");
  if (stride != 1) return y;
  if (x->c == group.channels) return add(b, y, x);
  const bool quantised = is_quantised(b.options().projections, true);
  Value* shortcut = conv(b, x, {name + ".shortcut", group.channels, 1, 1, 0, 1, quantised});
  return add(b, y, batch_norm(b, shortcut, name + ".bn4"));
}

void write_mobilenet_v2(Builder& b, const std::string&, std::int64_t classes) {
  b.result().parameters.initial = ParameterStore::Initial::kUniform;
  const bool first = is_quantised(b.options().first_layer, true);
  Value* x = relu(b, batch_norm(b, conv(b, b.images(32, 32, 3), {"conv1", 32, 3, 1, 1, 1, first}), "bn1"));
  int number = 0;
  for (const Group& group : kGroups) {
    ++number;
    for (std::int64_t block = 0; block < group.blocks; ++block) {
      const std::string name = "group" + std::to_string(number) + "_layer" + std::to_string(block);
      x = write_block(b, name, x, group, block == 0 ? group.stride : 1);
    }
  }
  x = relu(b, batch_norm(b, conv(b, x, {"conv2", 1280, 1, 1, 0}), "bn2"));
  softmax_loss(b, linear(b, average_pool(b, x, "avgpool"), "linear", classes));
}

}  // namespace

ModelFamily mobilenet_v2_family() { return {{"mobilenet_v2"}, write_mobilenet_v2}; }

}  // namespace bitcycle
