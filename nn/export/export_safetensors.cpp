// SPDX-License-Identifier: Apache-2.0
// Codes, scales and offsets as a safetensors file.
#include <cstring>
#include <deque>

#include "nn/export/export_files.h"

namespace bitcycle {
namespace {

/// Tensors and the bytes that they point to.
class Tensors {
 public:
  template <typename T, typename Values>
  void add(const std::string& name, const char* dtype, std::vector<std::int64_t> shape, const Values& values) {
    std::string& raw = bytes_.emplace_back();
    raw.reserve(values.size() * sizeof(T));
    for (const auto value : values) {
      const T element = static_cast<T>(value);
      char text[sizeof element];
      std::memcpy(text, &element, sizeof element);
      raw.append(text, sizeof element);
    }
    list_.push_back({name, dtype, std::move(shape), raw});
  }
  /// binary32 holds the grids of up to 16 bits.
  void add_grid(const std::string& name, BitWidth width, const std::vector<double>& values) {
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(values.size())};
    if (width.is_narrow()) {
      add<float>(name, "F32", shape, values);
    } else {
      add<double>(name, "F64", shape, values);
    }
  }
  const std::vector<TensorBytes>& list() const { return list_; }

 private:
  std::deque<std::string> bytes_;  // addresses stay
  std::vector<TensorBytes> list_;
};

void add_conv(Tensors& tensors, const ExportedConv& conv) {
  const ConvShape& s = conv.shape;
  const std::vector<std::int64_t> shape{s.o, s.c_per_group(), s.kh, s.kw};
  if (conv.width.is_float32()) {
    tensors.add<float>(conv.name + ".weight", "F32", shape, conv.weights);
    return;
  }
  const std::string codes = conv.name + ".weight.codes";
  switch (conv.width.container()) {
    case Container::kUint8: tensors.add<std::uint8_t>(codes, "U8", shape, conv.codes); break;
    case Container::kUint16: tensors.add<std::uint16_t>(codes, "U16", shape, conv.codes); break;
    default: tensors.add<std::uint32_t>(codes, "U32", shape, conv.codes); break;
  }
  std::vector<double> scale, offset;
  for (const auto& grid : conv.grids) {
    scale.push_back(grid.step);
    offset.push_back(grid.lo);
  }
  tensors.add_grid(conv.name + ".weight.scale", conv.width, scale);
  tensors.add_grid(conv.name + ".weight.offset", conv.width, offset);
  tensors.add_grid(conv.name + ".input.scale", conv.width, {conv.input.step});
  tensors.add_grid(conv.name + ".input.offset", conv.width, {conv.input.lo});
}

}  // namespace

std::string codes_safetensors(const ExportedModel& model, const std::map<std::string, std::string>& metadata) {
  Tensors tensors;
  for (const auto& conv : model.convs) add_conv(tensors, conv);
  for (const auto& conv : model.float_convs) {
    const ConvShape& s = conv.shape;
    tensors.add<float>(conv.name + ".weight", "F32", {s.o, s.c_per_group(), s.kh, s.kw}, conv.weights);
  }
  for (const auto& norm : model.norms) {
    std::vector<float> mean, factor, offset;
    for (const auto& channel : norm.channels) {
      mean.push_back(channel.mean);
      factor.push_back(channel.a);
      offset.push_back(channel.beta);
    }
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(mean.size())};
    tensors.add<float>(norm.name + ".mean", "F32", shape, mean);
    tensors.add<float>(norm.name + ".factor", "F32", shape, factor);
    tensors.add<float>(norm.name + ".offset", "F32", shape, offset);
  }
  for (const auto& linear : model.linears) {
    tensors.add<float>(linear.name + ".weight", "F32", {linear.outputs, linear.inputs}, linear.weights);
    tensors.add<float>(linear.name + ".bias", "F32", {linear.outputs}, linear.bias);
  }
  return format_safetensors(tensors.list(), metadata);
}

}  // namespace bitcycle
