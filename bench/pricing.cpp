// SPDX-License-Identifier: Apache-2.0
// Pricing speed: resnet152 for a 64,000-step schedule on five accelerators, and the tile search for resnet74's three
// passes at six widths. Thousands of schedules are explored with these.
#include "cost_models/pricing.h"

#include <benchmark/benchmark.h>

#include "nn/config/config.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

Config experiment(const std::string& path) { return load_config(BITCYCLE_CONFIGS "/experiments/" + path, {}); }
Accelerator shipped(const std::string& name) {
  return load_accelerator(BITCYCLE_CONFIGS "/accelerators/" + name + ".yaml");
}

void schedule_on_five_accelerators(benchmark::State& state) {
  const Config config = experiment("cifar100/resnet152-cpt-3-8.yaml");
  const Workload workload = model_workload(config);
  std::vector<Accelerator> accelerators;
  for (const char* name : {"bitfusion-45nm", "systolic-int8", "stripes", "loom", "horowitz-45nm"}) {
    accelerators.push_back(shipped(name));
  }
  for (auto _ : state) {
    const PrecisionPlan plan(precision_spec(config), config.train.steps);
    for (const auto& accelerator : accelerators) {
      benchmark::DoNotOptimize(price_training(accelerator, workload, plan, 0, config.train.steps, {}).total.total_nj());
    }
  }
}
BENCHMARK(schedule_on_five_accelerators)->Unit(benchmark::kMillisecond)->UseRealTime();

void bit_fusion_search(benchmark::State& state) {
  const Config config = experiment("cifar100/resnet74-cpt-3-8.yaml");
  const Workload workload = model_workload(config);
  const Accelerator accelerator = shipped("bitfusion-45nm");
  for (auto _ : state) {
    for (int bits = 3; bits <= 8; ++bits) {
      PrecisionSpec spec;
      spec.forward = {"constant", BitWidth::integer(bits), BitWidth::integer(bits), 1, 1};
      spec.gradient = {"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 1};
      const PrecisionPlan plan(spec, 1);
      benchmark::DoNotOptimize(price_training(accelerator, workload, plan, 0, 1, {}).total.total_nj());
    }
  }
}
BENCHMARK(bit_fusion_search)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace bitcycle

BENCHMARK_MAIN();
