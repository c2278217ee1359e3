// SPDX-License-Identifier: Apache-2.0
#include "nn/train/generated_weights.h"

#include <algorithm>

#include "nn/models/tensor_id.h"
#include "sim/number/philox.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 32;

NamedTensor generate(const CaseFile& entry, const std::string& name, std::uint64_t seed) {
  entry.only_keys({"shape", "offset", "scale"});
  const auto offset = static_cast<float>(entry.number("offset")), scale = static_cast<float>(entry.number("scale"));
  NamedTensor tensor{name, entry.integers("shape"), {}};
  std::int64_t size = 1;
  for (const auto extent : tensor.shape) {
    if (extent < 1 || size > kMostElements / extent) entry.fail("shape is not one of a tensor");
    size *= extent;
  }
  const auto stream = philox_stream(seed, 0, RandomPurpose::kInitialisation, tensor_id(name));
  tensor.data.resize(static_cast<std::size_t>(size));
  for (std::size_t e = 0; e < tensor.data.size(); ++e) {
    const float u = static_cast<float>(philox_word(stream, e) >> 8) * 0x1p-24F - 0.5F;
    tensor.data[e] = offset + scale * u;
  }
  return tensor;
}

}  // namespace

TensorFile generated_weights(const CaseFile& file) {
  const CaseFile init = file.object("init");
  init.only_keys({"generator", "seed", "values"});
  if (init.text("generator") != "philox_uniform") {
    init.fail("generator is '" + init.text("generator") + "'; there is philox_uniform");
  }
  const auto seed = static_cast<std::uint64_t>(init.integer("seed"));
  TensorFile weights;
  for (const auto& [name, entry] : init.objects("values")) weights.tensors.push_back(generate(entry, name, seed));
  const auto head = file.folder() / "init_head.safetensors";
  if (!std::filesystem::exists(head)) return weights;
  for (const auto& expected : read_safetensors(head).tensors) {
    const NamedTensor* tensor = weights.find(expected.name);
    if (tensor == nullptr) init.fail("values lacks '" + expected.name + "', which init_head.safetensors has");
    const std::size_t count = std::min(expected.data.size(), tensor->data.size());
    if (!std::equal(expected.data.begin(), expected.data.begin() + static_cast<std::ptrdiff_t>(count),
                    tensor->data.begin())) {
      init.fail("the values of '" + expected.name + "' are not those of init_head.safetensors");
    }
  }
  return weights;
}

}  // namespace bitcycle
