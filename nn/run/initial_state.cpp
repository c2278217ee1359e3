// SPDX-License-Identifier: Apache-2.0
#include "nn/run/initial_state.h"

#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/io/safetensors.h"
#include "nn/models/model.h"
#include "sim/number/digest.h"

namespace bitcycle {

Config with_initial_weights_digest(Config config) {
  const std::string& path = config.model.initial_weights;
  if (path.empty()) return config;
  const std::string bytes = read_file(path);
  const std::string digest = to_text(digest_of(bytes.data(), bytes.size()));
  std::string& expected = config.model.initial_weights_digest;
  if (!expected.empty() && expected != digest) {
    throw std::runtime_error("model.initial_weights: '" + path + "' has the digest " + digest + ", not " + expected +
                             " as model.initial_weights_digest says; the file has changed, or is another one");
  }
  expected = digest;
  return config;
}

void set_initial_state(NetworkRun& run, const Config& config) {
  initialise(run.state(), config.train.seed);
  if (config.model.initial_weights.empty()) return;
  with_initial_weights_digest(config);
  load_weights(run.state(), read_safetensors(config.model.initial_weights), config.model.initial_weights);
}

}  // namespace bitcycle
