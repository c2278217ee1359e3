// SPDX-License-Identifier: Apache-2.0
// What the vision networks have beside plain convolutions, priced on every accelerator that is shipped: depthwise,
// pointwise, strided 7 x 7 convolutions and max pooling.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "cost_models/pricing.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kBatch = 2, kSteps = 3;

std::vector<Accelerator> shipped_accelerators() {
  std::vector<Accelerator> accelerators;
  for (const auto& file : std::filesystem::directory_iterator(BITCYCLE_SOURCE "/configs/accelerators")) {
    accelerators.push_back(load_accelerator(file.path().string()));
  }
  return accelerators;
}

/// The layers of a network with these names; their max pools.
Workload only(Workload workload, const std::vector<std::string>& layers) {
  std::erase_if(workload.matrix, [&](const auto& operation) {
    return std::find(layers.begin(), layers.end(), operation.layer) == layers.end();
  });
  return workload;
}

Pricing priced(const Accelerator& accelerator, const Workload& workload) {
  PrecisionSpec spec;
  spec.forward = {"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 1};
  spec.gradient = spec.forward;
  PricingOptions options;
  options.batch = kBatch;
  options.pooling = true;
  return price_training(accelerator, workload, PrecisionPlan(spec, kSteps), 0, kSteps, options);
}

TEST(VisionPricing, EveryKindOfLayerIsPricedOnEveryAccelerator) {
  const Workload mobile =
      only(model_workload("mobilenet_v2", 10), {"group3_layer0.conv1", "group3_layer0.conv2", "group3_layer1.conv2"});
  const Workload large = only(model_workload("resnet50", 1000), {"conv1", "group2_layer0.downsample.0"});
  ASSERT_EQ(mobile.matrix.size(), 3U);
  ASSERT_EQ(large.matrix.size(), 2U);
  EXPECT_EQ(mobile.matrix[1].shape.groups, mobile.matrix[1].shape.c);
  EXPECT_EQ(large.matrix[0].shape.kh * 10 + large.matrix[0].shape.stride_h, 72);
  const auto accelerators = shipped_accelerators();
  ASSERT_EQ(accelerators.size(), 10U);
  for (const auto& accelerator : accelerators) {
    for (const Workload& workload : {mobile, large}) {
      const Pricing pricing = priced(accelerator, workload);
      std::map<std::string, int> passes;
      for (const auto& row : pricing.rows) {
        const std::string at = accelerator.name + ", " + row.layer + ", " + row.pass;
        if (row.pass == "max_pool") continue;
        ++passes[row.layer];
        for (const auto& operation : workload.matrix) {
          if (operation.layer != row.layer) continue;
          // A strided error pass may multiply inserted zeros as well, never less than there is.
          EXPECT_GE(row.cost.macs, 0.9 * static_cast<double>(operation.shape.macs() * kBatch * kSteps)) << at;
        }
        EXPECT_GT(row.cost.bitops, 0.0) << at;
        EXPECT_EQ(row.cost.compute_cycles > 0.0, accelerator.has_time()) << at;
        EXPECT_EQ(row.cost.total_nj() > 0.0, accelerator.has_energy()) << at;
        EXPECT_TRUE(std::isfinite(row.cost.total_nj()) && std::isfinite(row.cost.total_cycles())) << at;
      }
      for (const auto& operation : workload.matrix) {
        EXPECT_EQ(passes[operation.layer], 3) << accelerator.name << operation.layer;  // metric 'paper'
      }
    }
  }
}

TEST(VisionPricing, AMaxPoolMovesItsOperandsAndResults) {
  const Workload large = only(model_workload("resnet18", 1000), {"conv1"});
  for (const auto& accelerator : shipped_accelerators()) {
    for (const bool inference : {false, true}) {
      const Pricing pricing = priced(accelerator, inference ? inference_only(large) : large);
      const auto& row = pricing.rows.back();
      ASSERT_EQ(row.pass, "max_pool") << accelerator.name;
      EXPECT_EQ(row.layer, "maxpool");
      if (!accelerator.has_energy()) continue;
      const double in = 64.0 * 112 * 112 * kBatch, out = 64.0 * 56 * 56 * kBatch;
      EXPECT_EQ(row.cost.dram_read_bits, kSteps * 32.0 * (inference ? in : 2.0 * in + out)) << accelerator.name;
      EXPECT_EQ(row.cost.dram_write_bits, kSteps * 32.0 * (inference ? out : in + out)) << accelerator.name;
      if (accelerator.float32) {
        const double compared = kSteps * out * 9.0 * (inference ? 1.0 : 2.0);
        EXPECT_NEAR(row.cost.compute_nj, 1e-3 * compared * accelerator.float32->mac_pj, 1e-6 * row.cost.compute_nj)
            << accelerator.name;
      }
    }
  }
}

}  // namespace
}  // namespace bitcycle
