// SPDX-License-Identifier: Apache-2.0
#include "nn/models/model.h"

#include <algorithm>
#include <stdexcept>

#include "nn/builder/builder.h"
#include "sim/program/products.h"

namespace bitcycle {

#define BITCYCLE_MODEL(name) ModelFamily name##_family();
#include "nn/models/list.inl"
#undef BITCYCLE_MODEL

namespace {

const std::vector<ModelFamily>& families() {
  static const std::vector<ModelFamily> all{
#define BITCYCLE_MODEL(name) name##_family(),
#include "nn/models/list.inl"
#undef BITCYCLE_MODEL
  };
  return all;
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& family : families()) {
    if (!family.language) names.insert(names.end(), family.names.begin(), family.names.end());
  }
  return names;
}

namespace {

const ModelFamily& family_of(const std::string& name, std::int64_t classes) {
  if (classes < 2) {
    throw std::invalid_argument("model.classes is " + std::to_string(classes) + ": a classifier needs at least 2");
  }
  for (const auto& family : families()) {
    if (family.language) continue;
    for (const auto* names : {&family.names, &family.aliases}) {
      if (std::find(names->begin(), names->end(), name) != names->end()) return family;
    }
  }
  std::string known;
  for (const auto& other : model_names()) known += (known.empty() ? "" : ", ") + other;
  throw std::invalid_argument("model.name is '" + name + "': there is no such model; there are " + known);
}

const ModelFamily* language_family(const std::string& name) {
  for (const auto& family : families()) {
    const bool here = std::find(family.names.begin(), family.names.end(), name) != family.names.end();
    if (family.language && here) return &family;
  }
  return nullptr;
}

}  // namespace

bool is_language_model(const std::string& name) { return language_family(name) != nullptr; }

std::unique_ptr<builder::NetworkProgram> write_language_model(const std::string& name,
                                                              const builder::Options& options) {
  const ModelFamily* family = language_family(name);
  if (family == nullptr) throw std::invalid_argument("there is no language model '" + name + "'");
  builder::Builder builder(name, options);
  family->write(builder, name, options.language.vocabulary);
  return builder.finish();
}

std::unique_ptr<builder::NetworkProgram> write_model(const std::string& name, std::int64_t classes,
                                                     const builder::Options& options) {
  const ModelFamily& family = family_of(name, classes);
  builder::Builder builder(name, options);
  family.write(builder, name, classes);
  return builder.finish();
}

std::int64_t image_size_of(const Config& config) {
  return config.data.name == "imagefolder" ? config.data.image_size : 0;
}

Workload model_workload(const Config& config) {
  return model_workload(config.model.name, config.model.classes, image_size_of(config));
}

Workload model_workload(const std::string& name, std::int64_t classes, std::int64_t image_size) {
  builder::Options options;
  options.image_size = image_size;
  options.widest = [](const std::string&) { return LayerWidths{BitWidth::integer(8), BitWidth::integer(8)}; };
  const auto network = write_model(name, classes, options);
  Workload workload = workload_of(network->program);
  workload.model = name;
  return workload;
}

}  // namespace bitcycle
