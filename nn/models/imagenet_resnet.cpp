// SPDX-License-Identifier: Apache-2.0
// ResNet-18, 34 and 50 for ImageNet as Cyclic Precision Training has them, on 224x224 images or of the size that the
// builder's options say. The convolutions inside the blocks are quantised; the first one and the projections of
// shortcuts are float32 unless the options say otherwise, and the classifier is float32. Parameter names are those of
// the paper's code.
#include "nn/builder/builder.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

using builder::Builder;
using builder::Value;

constexpr std::int64_t kImageSize = 224;
constexpr std::int64_t kWidths[] = {64, 128, 256, 512};

Value* conv_norm(Builder& b, Value* x, const builder::ConvSpec& spec, const std::string& norm) {
  return batch_norm(b, conv(b, x, spec), norm);
}

/// relu(main(x) + x), or + downsample.1(downsample.0(x)), in float32, where the shape changes. Bottlenecks have the
/// stride at their 3x3 convolution.
Value* write_block(Builder& b, const std::string& name, Value* x, std::int64_t width, std::int64_t stride,
                   bool bottleneck) {
  const std::int64_t channels = bottleneck ? 4 * width : width;
  Value* y = nullptr;
  if (bottleneck) {
    y = relu(b, conv_norm(b, x, {name + ".conv1", width, 1, 1, 0}, name + ".bn1"));
    y = relu(b, conv_norm(b, y, {name + ".conv2", width, 3, stride, 1}, name + ".bn2"));
    y = conv_norm(b, y, {name + ".conv3", channels, 1, 1, 0}, name + ".bn3");
  } else {
    y = relu(b, conv_norm(b, x, {name + ".conv1", width, 3, stride, 1}, name + ".bn1"));
    y = conv_norm(b, y, {name + ".conv2", width, 3, 1, 1}, name + ".bn2");
  }
  Value* shortcut = x;
  if (stride != 1 || x->c != channels) {
    const bool quantised = is_quantised(b.options().projections, false);
    shortcut = conv_norm(b, x, {name + ".downsample.0", channels, 1, stride, 0, 1, quantised}, name + ".downsample.1");
  }
  return relu(b, add(b, y, shortcut));
}

void write_imagenet_resnet(Builder& b, const std::string& name, std::int64_t classes) {
  const std::string depth = name.substr(name.find("resnet") + std::string("resnet").size());
  const std::int64_t blocks_of[2][4] = {{2, 2, 2, 2}, {3, 4, 6, 3}};
  const auto& blocks = blocks_of[depth == "18" ? 0 : 1];
  const std::int64_t size = b.options().image_size > 0 ? b.options().image_size : kImageSize;
  const bool first = is_quantised(b.options().first_layer, false);
  Value* x = relu(b, conv_norm(b, b.images(size, size, 3), {"conv1", 64, 7, 2, 3, 1, first}, "bn1"));
  x = max_pool(b, x, "maxpool", {3, 2, 1});
  for (std::size_t group = 0; group < 4; ++group) {
    for (std::int64_t block = 0; block < blocks[group]; ++block) {
      const std::string prefix = "group" + std::to_string(group + 1) + "_layer" + std::to_string(block);
      x = write_block(b, prefix, x, kWidths[group], group > 0 && block == 0 ? 2 : 1, depth == "50");
    }
  }
  softmax_loss(b, linear(b, average_pool(b, x, "avgpool"), "fc", classes));
}

}  // namespace

ModelFamily imagenet_resnet_family() {
  ModelFamily family{{}, write_imagenet_resnet};
  for (const char* depth : {"18", "34", "50"}) family.names.push_back(std::string("resnet") + depth);
  for (const char* depth : {"18", "34", "50"}) family.aliases.push_back(std::string("imagenet_resnet") + depth);
  return family;
}

}  // namespace bitcycle
