// SPDX-License-Identifier: Apache-2.0
#include "nn/train/lockstep.h"

#include "nn/data/dataset.h"
#include "nn/train/lockstep_backend.h"
#include "nn/train/network_run.h"
#include "nn/train/trainer.h"

namespace bitcycle {

LockstepResult train_in_lockstep(const Config& config, Backend& first, Backend& second, std::int64_t steps,
                                 const std::function<void(std::int64_t step)>& progress) {
  LockstepResult result;
  LockstepBackend both(first, second, result);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, both);
  both.set_names([&](const void* p) -> std::string {
    const auto* at = static_cast<const float*>(p);
    for (const auto& parameter : run.network().parameters().all()) {
      if (at >= parameter.value && at < parameter.value + parameter.size()) return parameter.name;
      if (parameter.gradient != nullptr && at >= parameter.gradient && at < parameter.gradient + parameter.size()) {
        return parameter.name;
      }
    }
    return "";
  });
  set_initial_state(run, config, both);
  try {
    for (; result.steps < steps; ++result.steps) {
      run.step(result.steps);
      if (progress) progress(result.steps + 1);
    }
  } catch (const LockstepDifference&) {
    return result;
  }
  result.operation = -1;
  result.what.clear();
  return result;
}

}  // namespace bitcycle
