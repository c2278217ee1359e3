// SPDX-License-Identifier: Apache-2.0
// What language models have beside fully connected layers, priced on every accelerator that is shipped: products of
// attention, as integers and in float32, and the lines of embeddings, softmax and gates.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "cost_models/bitops.h"
#include "cost_models/pricing.h"
#include "nn/config/config.h"
#include "nn/models/model.h"
#include "nn/models/recurrent_uses.h"

namespace bitcycle::language_pricing {
namespace {

constexpr std::int64_t kSteps = 3, kBatch = 2, kWords = 90, kSize = 16, kHeads = 2, kHidden = 12;

std::vector<Accelerator> accelerators() {
  std::vector<Accelerator> all;
  for (const auto& file : std::filesystem::directory_iterator(BITCYCLE_SOURCE "/configs/accelerators")) {
    all.push_back(load_accelerator(file.path().string()));
  }
  EXPECT_EQ(all.size(), 10U);
  return all;
}

Config config_of(const std::string& model, std::int64_t time_steps) {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  return parse_config("model: {" + model + ", vocabulary: " + number(kWords) + ", layers: 2, embedding: " +
                          number(kSize) + ", hidden: " + number(kHidden) + ", heads: " + number(kHeads) +
                          ", ffn: 24}\ndata: {name: text, path: text}\ntrain: {steps: " + number(kSteps) +
                          ", batch: " + number(kBatch) + ", time_steps: " + number(time_steps) +
                          "}\noptimizer: {momentum: 0, weight_decay: 0}\nprecision: {forward: {schedule: constant, "
                          "max: 8}, gradient: {schedule: constant, max: 8}}\n",
                      "test", {});
}

PricingOptions options_of(const Config& config) {
  PricingOptions options;
  options.batch = priced_samples_of_step(config);
  options.uses = recurrent_uses(config);
  options.language = options.quantisation = true;
  return options;
}

Pricing priced(const Accelerator& accelerator, const Config& config, const PricingOptions& options,
               bool inference = false) {
  const Workload workload = model_workload(config);
  return price_training(accelerator, inference ? inference_only(workload) : workload,
                        PrecisionPlan(precision_spec(config), kSteps), 0, kSteps, options);
}

bool is_pairs(const std::string& layer) { return layer.ends_with(".qk") || layer.ends_with(".pv"); }

TEST(LanguagePricing, PairsThatExistAreMultipliedOnEveryAccelerator) {
  for (const std::int64_t time_steps : {7, 10}) {
    const Config config = config_of("name: transformer_lm, quantise: linears+attention", time_steps);
    for (const auto& accelerator : accelerators()) {
      int rows = 0;
      for (const auto& row : priced(accelerator, config, options_of(config)).rows) {
        if (!is_pairs(row.layer) || row.m == 0) continue;
        ++rows;
        EXPECT_EQ(row.cost.macs, kSteps * kBatch * (time_steps * (time_steps + 1) / 2) * kSize)
            << accelerator.name << ", " << row.layer << ", " << row.pass;
        EXPECT_EQ(row.lhs_bits * 100 + row.rhs_bits, 808);
        EXPECT_FALSE(row.float32);
      }
      EXPECT_EQ(rows, 2 * 2 * 3) << accelerator.name;
    }
  }
}

/// By either metric; what has no float32 arithmetic says so, and names the key.
TEST(LanguagePricing, ProductsThatModelQuantiseLeavesOutAreFloat32) {
  for (const std::string parts : {"linears", "ffn+head"}) {
    const Config config = config_of("name: transformer_lm, quantise: " + parts, 7);
    const auto is_float32 = [&](const std::string& layer) {
      return is_pairs(layer) || (parts == "ffn+head" && layer.find("self_attn") != std::string::npos);
    };
    for (const auto& accelerator : accelerators()) {
      for (const bool executed : {false, true}) {
        PricingOptions options = options_of(config);
        options.executed = executed;
        options.error_pass.weights = ErrorWeights::kRequantised;
        if (accelerator.has_energy() && !accelerator.float32) {
          try {
            priced(accelerator, config, options);
            ADD_FAILURE() << accelerator.name << " multiplies float32";
          } catch (const std::invalid_argument& error) {
            const std::string message = error.what();
            EXPECT_NE(message.find("model.quantise=linears+attention"), std::string::npos) << message;
          }
          continue;
        }
        int float32 = 0;
        for (const auto& row : priced(accelerator, config, options).rows) {
          const std::string at = accelerator.name + ", " + row.layer + ", " + row.pass;
          EXPECT_FALSE(row.pass == "quantisation" && is_float32(row.layer)) << at;
          if (row.m == 0) continue;
          EXPECT_EQ(row.float32, is_float32(row.layer)) << at;
          float32 += row.float32 ? 1 : 0;
          EXPECT_EQ(row.cost.bitops, row.cost.macs * (row.float32 ? 1024.0 : 64.0)) << at;
        }
        EXPECT_EQ(float32, 3 * 2 * (parts == "linears" ? 2 : 6)) << accelerator.name;
      }
    }
    // Bit operations: the published count stays, the widths are those that are multiplied.
    BitOpsOptions count;
    count.batch = kBatch;
    count.error_weights = ErrorWeights::kRequantised;
    for (const auto& row :
         count_bitops(model_workload(config), PrecisionPlan(precision_spec(config), kSteps), 0, kSteps, count).rows) {
      EXPECT_EQ(row.scheduled.forward.is_float32() && row.scheduled.gradient.is_float32(), is_float32(row.layer));
      EXPECT_EQ(row.executed_bitops, row.macs * (is_float32(row.layer) ? 1024.0 : 64.0)) << row.layer;
      EXPECT_EQ(row.paper_bitops, row.macs * 64.0) << row.layer;
    }
  }
}

struct Line {
  double operations, read, written;  // of 32-bit numbers
};

/// docs/cost-models.md: what an embedding, the softmax and the gates of an LSTM move.
TEST(LanguagePricing, EmbeddingsSoftmaxAndGatesAreLinesOnEveryAccelerator) {
  constexpr std::int64_t kTimeSteps = 7;
  for (const bool lstm : {false, true}) {
    const Config config =
        config_of(lstm ? "name: ptb_lstm" : "name: transformer_lm, quantise: linears+attention", kTimeSteps);
    const double words = static_cast<double>(kSteps * kBatch * kTimeSteps);
    const double rows = words * kSize, logits = words * kWords, state = words * kHidden * 2;
    for (const bool inference : {false, true}) {
      std::map<std::string, Line> expected{
          {"embedding", inference ? Line{0.0, rows, rows} : Line{rows, 3.0 * rows, 2.0 * rows}},
          {"softmax", inference ? Line{4.0 * logits, 2.0 * logits, 0.0} : Line{6.0 * logits, 2.0 * logits, logits}}};
      if (lstm) {
        expected["lstm_cell"] =
            inference ? Line{13.0 * state, 9.0 * state, 7.0 * state} : Line{38.0 * state, 17.0 * state, 12.0 * state};
      }
      for (const auto& accelerator : accelerators()) {
        std::map<std::string, Line> found;
        for (const auto& row : priced(accelerator, config, options_of(config), inference).rows) {
          if (row.m != 0 || row.pass == "quantisation") continue;
          Line& line = found[row.pass];
          line.read += row.cost.dram_read_bits / 32.0;
          line.written += row.cost.dram_write_bits / 32.0;
          if (accelerator.float32) line.operations += 1e3 * row.cost.compute_nj / accelerator.float32->mac_pj;
        }
        ASSERT_EQ(found.size(), expected.size()) << accelerator.name;
        for (const auto& [name, line] : expected) {
          ASSERT_EQ(found.count(name), 1U) << accelerator.name << ", " << name;
          if (!accelerator.has_energy()) continue;  // figures of merit count products alone
          EXPECT_DOUBLE_EQ(found[name].read, line.read) << accelerator.name << ", " << name;
          EXPECT_DOUBLE_EQ(found[name].written, line.written) << accelerator.name << ", " << name;
          if (accelerator.float32) {
            EXPECT_NEAR(found[name].operations, line.operations, 1e-9 * line.operations) << accelerator.name << name;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitcycle::language_pricing
