// SPDX-License-Identifier: Apache-2.0
// The models by name. A new model is one new file, which fills a network, and one line in model.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/layers/network.h"
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
  void (*build)(Network& network, const std::string& name, std::int64_t classes);
  /// The same as a program.
  void (*write)(builder::Builder& builder, const std::string& name, std::int64_t classes);
};

std::vector<std::string> model_names();
/// The network without memory. Throws std::invalid_argument: unknown name (listing the known ones), classes below 2.
std::unique_ptr<Network> make_model(const std::string& name, std::int64_t classes);
/// Its step as a program. Throws the same.
std::unique_ptr<builder::NetworkProgram> write_model(const std::string& name, std::int64_t classes,
                                                     const builder::Options& options);
/// What cost models price, without a network's memory.
Workload model_workload(const Config& config);

}  // namespace bitcycle
