// SPDX-License-Identifier: Apache-2.0
// Steps of language models are graphs in which the host takes no part, in any order of blocks and branches.
#include <gtest/gtest.h>

#include "cuda/host/host_runtime.h"
#include "nn/train/trainer.h"
#include "tests/cuda_on_host/step_table.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/run_files.h"
#include "tests/property/text_fixture.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

using cuda_on_host::GraphCounts;
using cuda_on_host::HostOptions;
using cuda_on_host::make_cuda_device_on_host;

constexpr const char* kLstm = "name: ptb_lstm, vocabulary: 50, layers: 1, embedding: 64, hidden: 64, dropout: 0.5";
constexpr const char* kAttention =
    "name: transformer_lm, vocabulary: 50, layers: 1, embedding: 32, ffn: 48, heads: 2, dropout: 0.1, quantise: "
    "linears+attention";
constexpr const char* kAdaptive =
    "name: transformer_wiki103, vocabulary: 50, cutoffs: [12, 34], band_factor: 2, layers: 1, embedding: 32, ffn: 48, "
    "heads: 2, dropout: 0.1, attention_dropout: 0.1, activation_dropout: 0.1, head_dropout: 0.2, quantise: linears";

/// A step with a host operation is not recorded.
TEST(CudaOnHostLanguage, StepsAndEvaluationsAreGraphs) {
  for (const auto& [model, optimiser] :
       {std::pair{kLstm, kPlainSgd}, std::pair{kAttention, kAdamw}, std::pair{kAdaptive, kNag}}) {
    const TemporaryFolder folder;
    make_text(folder.path());
    const Config config = text_config(folder.path(), model, std::string(kCyclicBytes) + optimiser);
    RecordingListener listener;
    train_to(config, *make_cpu_device(), folder.path() / "cpu", listener);
    for (const std::uint64_t seed : {0U, 17U}) {
      GraphCounts graphs;
      HostOptions options;
      options.processors = seed == 0 ? 132 : 3;
      options.seed = seed;
      train_to(config, *make_cuda_device_on_host(options, nullptr, &graphs), folder.path() / "device", listener);
      expect_same_run(folder.path() / "cpu", folder.path() / "device");
      std::filesystem::remove_all(folder.path() / "device");
      EXPECT_GE(graphs.made, 2) << model;      // a training step and an evaluation
      EXPECT_GE(graphs.replayed, 2) << model;  // the second and the third step
    }
  }
}

/// What a step is on a GPU: launches, how many of them wait for each other, bytes and products by kernel. Prints a
/// table of bench/results/cuda-static.md.
GraphCounts counts_of_a_step(const std::string& model, const std::string& train, const std::string& optimiser) {
  const TemporaryFolder folder;
  make_text(folder.path(), 2000, 1200);
  const Config config =
      text_config(folder.path(), model.find("vocabulary") == std::string::npos ? model + ", vocabulary: 10000" : model,
                  std::string(kCyclicBytes) + optimiser, train);
  const Dataset dataset = load_dataset(config);
  GraphCounts graphs;
  HostOptions options;
  options.processors = 132;
  options.executes = false;
  const auto device = make_cuda_device_on_host(options, nullptr, &graphs);
  NetworkRun run(config, dataset, *device);
  EXPECT_THROW(run.step(0), NonFiniteError);  // nothing is computed
  print_step_table(graphs, device->memory_bytes());
  return graphs;
}

TEST(CudaOnHostLanguage, TheStepOfPtbLstmIsAFewHundredLaunches) {
  const GraphCounts graphs = counts_of_a_step("name: ptb_lstm, layers: 1, embedding: 800, hidden: 800, dropout: 0.5",
                                              "steps: 2, batch: 20, time_steps: 35", kPlainSgd);
  // A time step is one launch forward and two backward; the rest is the two ends of the network, and the weights.
  EXPECT_EQ(graphs.kernels.at("lstm step").launches, 35);
  EXPECT_EQ(graphs.kernels.at("lstm step error").launches, 34);
  EXPECT_LE(graphs.critical_path, 3 * 35 + 50);
}

/// The largest softmax and table are those of 267,744 words.
TEST(CudaOnHostLanguage, TheStepOfTransformerWiki103IsLaunchesAlone) {
  const GraphCounts graphs = counts_of_a_step(
      "name: transformer_wiki103, vocabulary: 267744, cutoffs: [20000, 60000], band_factor: 4, layers: 16, "
      "embedding: 1024, ffn: 4096, heads: 8, quantise: linears, dropout: 0.3, attention_dropout: 0.1, "
      "activation_dropout: 0.1, head_dropout: 0.2",
      "steps: 2, batch: 4, time_steps: 512", kNag);
  EXPECT_EQ(graphs.kernels.at("softmax cross-entropy").launches, 3);
  EXPECT_EQ(graphs.kernels.count("convolution error, direct"), 0U);
  EXPECT_EQ(graphs.kernels.at("transpose").launches, 4);     // a tail's projection, and its gradient
  EXPECT_EQ(graphs.kernels.at("copy columns").launches, 3);  // logits of words and bands; backward each part's
  EXPECT_LE(graphs.critical_path, 16 * 95 + 150);
}

TEST(CudaOnHostLanguage, TheStepOfTransformerLmWithAttentionIsAFewHundredLaunches) {
  const GraphCounts graphs = counts_of_a_step(
      "name: transformer_lm, layers: 6, embedding: 512, ffn: 2048, heads: 8, dropout: 0.1, quantise: "
      "linears+attention",
      "steps: 2, batch: 8, time_steps: 256", kAdamw);
  EXPECT_EQ(graphs.kernels.count("pair product, float32"), 0U);
  EXPECT_LE(graphs.critical_path, 6 * 140 + 20);
}

TEST(CudaOnHostLanguage, TheStepOfTransformerLmIsAFewHundredLaunches) {
  const GraphCounts graphs = counts_of_a_step(
      "name: transformer_lm, layers: 6, embedding: 512, ffn: 2048, heads: 8, dropout: 0.1, quantise: linears",
      "steps: 2, batch: 8, time_steps: 256", kAdamw);
  // A linear layer: range, codes, product with its bias; range, codes, error product, three for the bias.
  EXPECT_EQ(graphs.kernels.count("add bias"), 0U);
  EXPECT_EQ(graphs.kernels.at("matrix weight gradient").in_branches, 37);
  EXPECT_LE(graphs.critical_path, 6 * 90 + 20);
}

}  // namespace
}  // namespace bitcycle::test
