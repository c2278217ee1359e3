// SPDX-License-Identifier: Apache-2.0
#include "nn/models/model.h"

#include <algorithm>
#include <stdexcept>

#include "nn/builder/builder.h"
#include "nn/builder/image_layers.h"
#include "nn/builder/language_sizes.h"
#include "sim/nearest_name.h"
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
  for (const auto& family : families()) names.insert(names.end(), family.names.begin(), family.names.end());
  return names;
}

namespace {

/// Null: there is none of this name.
const ModelFamily* find_family(const std::string& name) {
  for (const auto& family : families()) {
    for (const auto* names : {&family.names, &family.aliases}) {
      if (std::find(names->begin(), names->end(), name) != names->end()) return &family;
    }
  }
  return nullptr;
}

const ModelFamily& family_of(const std::string& name) {
  if (const ModelFamily* family = find_family(name)) return *family;
  std::string known;
  for (const auto& other : model_names()) known += (known.empty() ? "" : ", ") + other;
  const std::string near = nearest_name(name, model_names());
  throw std::invalid_argument("model.name is '" + name + "': there is no such model" +
                              (near.empty() ? "" : ", did you mean '" + near + "'?") + "; there are " + known);
}

}  // namespace

Reads model_reads(const std::string& name) {
  const ModelFamily* family = find_family(name);
  return family == nullptr ? Reads::kImages : family->reads;
}

bool has_bands(const std::string& name) {
  const ModelFamily* family = find_family(name);
  return family != nullptr && family->has_bands;
}

bool is_language_model(const std::string& name) { return model_reads(name) != Reads::kImages; }

std::unique_ptr<builder::NetworkProgram> write_language_model(const std::string& name,
                                                              const builder::Options& options) {
  if (!is_language_model(name)) throw std::invalid_argument("there is no language model '" + name + "'");
  return write_model(name, 0, options);
}

std::unique_ptr<builder::NetworkProgram> write_model(const std::string& name, std::int64_t classes,
                                                     const builder::Options& options) {
  const ModelFamily& family = family_of(name);
  if (family.reads == Reads::kImages && classes < 2) {
    throw std::invalid_argument("model.classes is " + std::to_string(classes) + ": a classifier needs at least 2");
  }
  builder::Builder builder(name, options);
  family.write(builder, name, classes);
  return builder.finish();
}

std::int64_t image_size_of(const Config& config) {
  return config.data.name == "imagefolder" ? config.data.image_size : 0;
}

std::int64_t samples_of_step(const Config& config) {
  const bool text = is_language_model(config.model.name);
  return text ? config.train.batch * config.train.time_steps : config.train.batch;
}

std::int64_t priced_samples_of_step(const Config& config) {
  return model_reads(config.model.name) == Reads::kSequences ? config.train.batch : samples_of_step(config);
}

namespace {

Workload workload_of_model(const std::string& name, std::int64_t classes, builder::Options options) {
  options.widest = [](const std::string&) { return LayerWidths{BitWidth::integer(8), BitWidth::integer(8)}; };
  const auto network = write_model(name, classes, options);
  Workload workload = workload_of(network->program);
  workload.model = name;
  if (is_language_model(name)) {
    for (auto& operation : workload.matrix) {
      operation.kind = operation.rhs_is_activation ? "matmul" : "linear";
      operation.scheduled = operation.quantised;  // what model.quantise leaves out
    }
  }
  return workload;
}

}  // namespace

Workload model_workload(const Config& config) {
  builder::Options options;
  options.image_size = image_size_of(config);
  builder::choose_layers(config, options);
  options.language = builder::language_sizes(config);
  // Words of a sequence know each other: it is priced as a whole.
  if (model_reads(config.model.name) != Reads::kSequences) options.language.time_steps = 1;
  return workload_of_model(config.model.name, config.model.classes, options);
}

Workload model_workload(const std::string& name, std::int64_t classes, std::int64_t image_size) {
  builder::Options options;
  options.image_size = image_size;
  options.language.time_steps = 1;
  return workload_of_model(name, classes, options);
}

}  // namespace bitcycle
