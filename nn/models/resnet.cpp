// SPDX-License-Identifier: Apache-2.0
#include "nn/models/resnet.h"

#include "nn/builder/builder.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kDepths[] = {8, 14, 20, 32, 38, 44, 56, 74, 110, 152, 164};
constexpr std::int64_t kChannels[] = {16, 32, 64};

builder::Value* conv_norm(builder::Builder& b, builder::Value* x, const std::string& conv, const std::string& norm,
                          std::int64_t channels, std::int64_t kernel, std::int64_t stride, bool quantised = true) {
  return batch_norm(b, builder::conv(b, x, {conv, channels, kernel, stride, kernel / 2, 1, quantised}), norm);
}

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + x), or + bn3(downsample(x)) where the shape changes.
builder::Value* write_block(builder::Builder& b, const std::string& name, builder::Value* x, std::int64_t channels,
                            std::int64_t stride) {
  builder::Value* hidden = relu(b, conv_norm(b, x, name + ".conv1", name + ".bn1", channels, 3, stride));
  builder::Value* main = conv_norm(b, hidden, name + ".conv2", name + ".bn2", channels, 3, 1);
  const bool same = stride == 1 && x->c == channels;
  const bool quantised = is_quantised(b.options().projections, true);
  builder::Value* shortcut =
      same ? x : conv_norm(b, x, name + ".downsample", name + ".bn3", channels, 1, stride, quantised);
  return relu(b, add(b, main, shortcut));
}

void write_resnet(builder::Builder& b, const std::string& name, std::int64_t classes) {
  const std::int64_t blocks = (std::stoll(name.substr(std::string("resnet").size())) - 2) / 6;
  const bool first = is_quantised(b.options().first_layer, true);
  builder::Value* x = relu(b, conv_norm(b, b.images(32, 32, 3), "conv1", "bn1", 16, 3, 1, first));
  for (int group = 0; group < 3; ++group) {
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::string prefix = "group" + std::to_string(group + 1) + "_layer" + std::to_string(block);
      x = write_block(b, prefix, x, kChannels[group], group > 0 && block == 0 ? 2 : 1);
    }
  }
  softmax_loss(b, linear(b, average_pool(b, x, "avgpool"), "fc", classes));
}

}  // namespace

ModelFamily resnet_family() {
  ModelFamily family;
  for (const auto depth : kDepths) family.names.push_back("resnet" + std::to_string(depth));
  family.write = write_resnet;
  return family;
}

}  // namespace bitcycle
