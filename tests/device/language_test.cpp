// SPDX-License-Identifier: Apache-2.0
// Language models on a device, and on the CPU, have the reference's digests after every step, and its losses.
#include <gtest/gtest.h>

#include "tests/golden/devices.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/run_files.h"
#include "tests/property/text_fixture.h"

namespace bitcycle::test {
namespace {

struct LanguageCase {
  const char* name;
  const char* model;
  const char* precision;
  const char* optimiser;
  const char* train = "steps: 3, batch: 3, time_steps: 5";
};

class DeviceLanguage : public ::testing::TestWithParam<LanguageCase> {};

TEST_P(DeviceLanguage, HasTheRecordsOfTheReference) {
  const TemporaryFolder folder;
  make_text(folder.path());
  const Config config = text_config(folder.path(), GetParam().model,
                                    std::string(GetParam().precision) + GetParam().optimiser, GetParam().train);
  RecordingListener listener;
  train_to(config, *make_reference_device(), folder.path() / "reference", listener);
  train_to(config, *make_cpu_device(), folder.path() / "cpu", listener);
  expect_same_run(folder.path() / "reference", folder.path() / "cpu");
  for (const auto& device : tested_devices()) {
    train_to(config, *device, folder.path() / "device", listener);
    expect_same_run(folder.path() / "reference", folder.path() / "device");
  }
}

constexpr const char* kWide =
    "precision: {forward: {schedule: cyclic_cosine, min: 7, max: 10, cycles: 1}, "
    "gradient: {schedule: constant, max: 12}, error_weights: shared}\n";
constexpr const char* kRequantised =
    "precision: {forward: {schedule: constant, max: 8}, gradient: {schedule: constant, max: 8}, "
    "error_weights: requantised}\n";
constexpr const char* kFloat32 =
    "precision: {forward: {schedule: constant, max: float32}, gradient: {schedule: constant, max: float32}}\n";

// Sizes of the state: what one tile holds and more, and none of them a multiple of a warp in the odd one.
constexpr const char* kLstm = "name: ptb_lstm, vocabulary: 50, layers: 1, embedding: 64, hidden: 64, dropout: 0.5";
// More streams than a tile of rows has, two layers, and inputs that are no multiple of what a warp multiplies at once.
constexpr const char* kTiledLstm = "name: ptb_lstm, vocabulary: 50, layers: 2, embedding: 40, hidden: 48, dropout: 0.2";
constexpr const char* kOddLstm = "name: ptb_lstm, vocabulary: 50, layers: 2, embedding: 20, hidden: 28, dropout: 0.2";
constexpr const char* kTransformer =
    "name: transformer_lm, vocabulary: 50, layers: 1, embedding: 32, ffn: 48, heads: 2, dropout: 0.1, quantise: "
    "linears";
constexpr const char* kAttention =
    "name: transformer_lm, vocabulary: 50, layers: 1, embedding: 32, ffn: 48, heads: 2, dropout: 0.1, quantise: "
    "linears+attention";
constexpr const char* kHead =
    "name: transformer_lm, vocabulary: 50, layers: 1, embedding: 32, ffn: 48, heads: 2, dropout: 0.1, quantise: "
    "ffn+head";
// Three bands, the last of them of 16 words whose rows have 8 numbers.
constexpr const char* kAdaptive =
    "name: transformer_wiki103, vocabulary: 50, cutoffs: [12, 34], band_factor: 2, layers: 1, embedding: 32, ffn: 48, "
    "heads: 2, dropout: 0.1, attention_dropout: 0.1, activation_dropout: 0.1, head_dropout: 0.2, quantise: "
    "linears+attention";

INSTANTIATE_TEST_SUITE_P(Cases, DeviceLanguage,
                         ::testing::Values(LanguageCase{"lstm", kLstm, kCyclicBytes, kPlainSgd},
                                           LanguageCase{"tiled_lstm", kTiledLstm, kCyclicBytes, kPlainSgd,
                                                        "steps: 2, batch: 33, time_steps: 2"},
                                           LanguageCase{"odd_lstm", kOddLstm, kCyclicBytes, kPlainSgd},
                                           LanguageCase{"wide_lstm", kLstm, kWide, kPlainSgd},
                                           LanguageCase{"requantised_lstm", kLstm, kRequantised, kPlainSgd},
                                           LanguageCase{"float32_lstm", kOddLstm, kFloat32, kPlainSgd},
                                           LanguageCase{"transformer", kTransformer, kCyclicBytes, kAdamw},
                                           LanguageCase{"attention", kAttention, kCyclicBytes, kAdamw},
                                           LanguageCase{"wide_attention", kAttention, kWide, kAdamw},
                                           LanguageCase{"ffn_and_head", kHead, kCyclicBytes, kNag},
                                           LanguageCase{"adaptive", kAdaptive, kCyclicBytes, kNag},
                                           LanguageCase{"wide_adaptive", kAdaptive, kWide, kNag},
                                           LanguageCase{"float32_transformer", kTransformer, kFloat32, kAdamw}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace bitcycle::test
