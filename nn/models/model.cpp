// SPDX-License-Identifier: Apache-2.0
#include "nn/models/model.h"

#include <algorithm>
#include <stdexcept>

#include "nn/models/resnet.h"

namespace bitcycle {
namespace {

const std::vector<ModelFamily>& families() {
  static const std::vector<ModelFamily> all{
      resnet_family(),
  };
  return all;
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& family : families()) names.insert(names.end(), family.names.begin(), family.names.end());
  return names;
}

std::unique_ptr<Network> make_model(const std::string& name, std::int64_t classes) {
  if (classes < 2) {
    throw std::invalid_argument("model.classes is " + std::to_string(classes) + ": a classifier needs at least 2");
  }
  for (const auto& family : families()) {
    if (std::find(family.names.begin(), family.names.end(), name) == family.names.end()) continue;
    auto network = std::make_unique<Network>(name);
    family.build(*network, name, classes);
    return network;
  }
  std::string known;
  for (const auto& other : model_names()) known += (known.empty() ? "" : ", ") + other;
  throw std::invalid_argument("model.name is '" + name + "': there is no such model; there are " + known);
}

Workload model_workload(const Config& config) {
  return make_model(config.model.name, config.model.classes)->describe();
}

}  // namespace bitcycle
