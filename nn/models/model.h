// SPDX-License-Identifier: Apache-2.0
// The models by name. A new model is one new file, which writes its step with a builder, and one line in list.inl.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/models/reads.h"
#include "sim/workload.h"

namespace bitcycle {

namespace builder {
class Builder;
struct NetworkProgram;
struct Options;
}  // namespace builder

/// A family of models, told apart by their names.
struct ModelFamily {
  std::vector<std::string> names;
  void (*write)(builder::Builder& builder, const std::string& name, std::int64_t classes) = nullptr;
  std::vector<std::string> aliases = {};  // that mean the same as the names, in their order
  Reads reads = Reads::kImages;
  bool has_bands = false;  // its vocabulary is cut into bands by model.cutoffs
};

std::vector<std::string> model_names();
/// What a model reads; of an unknown name images.
Reads model_reads(const std::string& name);
/// Whether its vocabulary is cut into bands.
bool has_bands(const std::string& name);
/// Its step as a program. Throws std::invalid_argument: unknown name (listing the known ones), classes below 2.
/// `classes`: of image models; the sizes of language models are those of the options.
std::unique_ptr<builder::NetworkProgram> write_model(const std::string& name, std::int64_t classes,
                                                     const builder::Options& options);
/// The step of a language model, of the sizes that the options name. Throws std::invalid_argument: unknown name.
std::unique_ptr<builder::NetworkProgram> write_language_model(const std::string& name, const builder::Options& options);
bool is_language_model(const std::string& name);
/// What cost models price: the products of its program, and the elements of its batch norms.
/// `image_size`: as of builder::Options. A sample of a language model is a word of its text, or a sequence
/// of words (priced_samples_of_step).
Workload model_workload(const std::string& name, std::int64_t classes, std::int64_t image_size = 0);
Workload model_workload(const Config& config);
/// Samples of a step: images, or words.
std::int64_t samples_of_step(const Config& config);
/// The same as its workload has them: a sample of a model that reads sequences is one of those.
std::int64_t priced_samples_of_step(const Config& config);
/// Height and width that the config's images have; 0: the model's own.
std::int64_t image_size_of(const Config& config);

}  // namespace bitcycle
