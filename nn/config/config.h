// SPDX-License-Identifier: Apache-2.0
// Config: everything that defines a run, one struct a section of the YAML file, every default here and
// nowhere else. docs/config.md describes each key; a test keeps the two equal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/train/learning_rate.h"
#include "sim/ops/error_weights.h"
#include "sim/quantisers/affine.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

struct ModelConfig {
  std::string name = "resnet20";
  std::int64_t classes = 10;
  std::string initial_weights;         // path of a safetensors file; empty: drawn from train.seed
  std::string initial_weights_digest;  // XXH3-128 of that file; train records it
  // Image networks: published, quantised, float32.
  std::string first_layer = "published", projections = "published";
  // Language models.
  std::int64_t vocabulary = 10'000, embedding = 800, hidden = 800, layers = 1;
  double dropout = 0.0;
  std::int64_t ffn = 2048, heads = 8;                        // of Transformers
  std::string quantise = "linears";                          // of Transformers: ffn+head, linears, linears+attention
  bool quantised_bias = false;                               // model.bias: float32, quantised
  double attention_dropout = 0.0, activation_dropout = 0.0;  // of Transformers
  double head_dropout = 0.0;                                 // of an adaptive softmax
  std::vector<std::int64_t> cutoffs{20'000, 60'000};         // of a vocabulary in bands
  std::int64_t band_factor = 4;
};

struct DataConfig {
  std::string name = "synthetic";  // synthetic, cifar10, cifar100, imagefolder; ptb, wikitext, text
  std::string path;                // folder of the official binary files, or of train/ and val/; of texts
  bool augment = true;             // crop, horizontal flip
  bool shuffle = true;
  std::int64_t train_images = 0;            // 0: all (synthetic: 10240)
  std::int64_t test_images = 0;             // 0: all (synthetic: 2048)
  std::int64_t image_size = 224;            // imagefolder
  std::int64_t resize = 256;                // imagefolder: short side in evaluation
  std::vector<double> mean{}, deviation{};  // of pixel / 255, three each; empty: the data set's own
  int workers = 0;                          // imagefolder: threads that read images; 0: as many as the training's
  std::string dictionary = "appearance";    // texts: order of the words' numbers: appearance, frequency
};

struct TrainConfig {
  std::int64_t steps = 64000;
  std::int64_t batch = 128;
  std::uint64_t seed = 1;
  std::int64_t evaluate_every = 390;
  std::int64_t checkpoint_every = 390;
  std::int64_t log_every = 10;
  std::int64_t evaluation_batch = 0;  // 0: train.batch
  std::int64_t time_steps = 35;       // texts: words that a step reads of each stream or sequence
};

struct PrecisionConfig {
  ScheduleSpec forward{"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 32, 1};
  ScheduleSpec gradient{"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 1};
  bool stochastic = true;     // precision.gradient.rounding: stochastic, nearest
  bool zero_on_grid = false;  // precision.gradient.zero_on_grid
  ErrorWeights error_weights = ErrorWeights::kShared;
  int error_grid_bits = 16;
  MinScale min_scale;  // precision.min_scale, precision.min_scale_wide
  std::vector<PrecisionOverride> layers;
  std::vector<PrecisionHistory> history;  // of the steps that a fork took over
};

struct OptimizerConfig {
  std::string name = "sgd";
  double lr = 0.1;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  double clip = 0.0;                             // most of the norm of all gradients together; 0: any
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8;  // adamw
};

struct DigestConfig {
  std::int64_t every = 100;
};

struct CostConfig {
  bool count_batch_norm = false;
  std::string paper_layers = "*";  // that metric `paper` counts: patterns
  std::int64_t paper_samples = 0;  // of a step that it counts; 0: all
};

struct EvaluationConfig {
  std::string width = "scheduled";  // eval.width: scheduled, max
  std::int64_t streams = 10;        // texts: read side by side
  std::int64_t context = 0;         // texts, sequences: words before those that are predicted
};

/// Stochastic weight averaging.
struct SwaConfig {
  std::int64_t start = 0;  // first step after which weights are averaged; 0: off
  std::int64_t freq = 1170;
};

/// Where a run that goes on from another one's checkpoint comes from.
struct ForkConfig {
  std::string run;        // the other run's folder; empty: this run begins at step 0
  std::int64_t step = 0;  // steps taken over; 0: the newest checkpoint; train records the number
  std::string digest;     // of the state that was taken over; train records it
};

/// How a run is carried out; never part of its identity.
struct ExecutionConfig {
  std::string device = "cpu";  // key `device`
  std::string isa = "auto";    // key `isa`
  int threads = 0;             // key `threads`; 0: all cores
  bool tensorboard = false;    // key `tensorboard`
};

struct Config {
  std::string name;  // key `name`; default: the file's stem
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  PrecisionConfig precision;
  OptimizerConfig optimizer;
  LearningRateSpec learning_rate;  // lr and steps are filled from optimizer.lr and train.steps
  DigestConfig digest;
  CostConfig cost;
  EvaluationConfig evaluation;  // section `eval`
  SwaConfig swa;
  ForkConfig fork;
  ExecutionConfig execution;
};

/// One `--set key=value`, value in YAML syntax.
struct ConfigOverride {
  std::string key;
  std::string value;
  std::string origin = {};  // what was written on the command line, where it was not that
};
ConfigOverride parse_override(const std::string& text);

/// Reads a YAML file; key `base` names another file (relative to this one) whose keys are defaults.
/// Throws ConfigError: unknown key (with the nearest right one), wrong type, impossible value, each with
/// file, line and column; a file without any key; more than one YAML document.
Config load_config(const std::filesystem::path& file, const std::vector<ConfigOverride>& overrides = {});
/// An empty text means all defaults.
Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<ConfigOverride>& overrides = {});
/// The same of a text that has every key; throws ConfigError naming the first that is missing.
Config parse_complete_config(const std::string& yaml, const std::string& origin);
/// Checks that do not belong to one key (min above max, classes against data, ...). load_config calls it.
void check_config(const Config& config);

/// The resolved config with every default written out; parse_config(config_yaml(c)) == c.
std::string config_yaml(const Config& config);
/// What must be equal for a run folder to be resumed: config_yaml without name, execution, data.path,
/// log_every, evaluation_batch and checkpoint_every.
std::string config_identity(const Config& config);
/// The keys that differ, one line each, "key: this run X, folder Y"; `a_name` and `b_name` stand for "this run" and
/// "folder".
std::vector<std::string> identity_differences(const Config& a, const Config& b, const std::string& a_name = "this run",
                                              const std::string& b_name = "folder");

PrecisionSpec precision_spec(const Config& config);

/// Every key with type, default and meaning, in the order of docs/config.md.
struct ConfigKey {
  std::string key, type, default_value, meaning;
};
const std::vector<ConfigKey>& config_keys();

}  // namespace bitcycle
