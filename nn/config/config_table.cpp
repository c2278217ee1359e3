// SPDX-License-Identifier: Apache-2.0
#include "nn/config/config_table.h"

#include <charconv>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "nn/config/config_values.h"
#include "nn/config/layer_overrides.h"
#include "nn/config/precision_history.h"
#include "nn/config/schedule_points.h"
#include "sim/isa.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kAnyCount = std::numeric_limits<std::int64_t>::max();
constexpr double kAnyReal = std::numeric_limits<double>::infinity();

ConfigTableEntry with_schema(ConfigTableEntry entry, const std::string& schema) {
  entry.schema = schema;
  return entry;
}

/// {"enum": [...]}, of words that are JSON already.
std::string enum_schema(const std::vector<std::string>& values) {
  std::string list;
  for (const auto& value : values) list += (list.empty() ? "" : ", ") + value;
  return R"({"enum": [)" + list + "]}";
}

std::string quoted(const std::string& word) { return "\"" + word + "\""; }

const std::string kWidthSchema =
    R"({"anyOf": [{"type": "integer", "minimum": 2, "maximum": 32}, {"const": "float32"}]})";
const std::string kPointsSchema =
    R"({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}}]})";

/// The entries of precision.layers.
std::string layers_schema() {
  std::vector<std::string> names;
  for (const auto& name : schedule_names()) names.push_back(quoted(name));
  const std::string schedule = R"({"type": "object", "additionalProperties": false, "required": [], "properties": {)"
                               R"("schedule": )" +
                               enum_schema(names) + R"(, "min": )" + kWidthSchema + R"(, "max": )" + kWidthSchema +
                               R"(, "cycles": {"type": "integer", "minimum": 1}, "points": )" + kPointsSchema + "}}";
  const std::string either = R"({"anyOf": [)" + kWidthSchema + ", " + schedule + "]}";
  return R"({"type": "array", "items": {"type": "object", "additionalProperties": false, "required": ["match"], )"
         R"("properties": {"match": {"type": "string"}, "forward": )" +
         either + R"(, "gradient": )" + either + "}}}";
}

/// A reference to the field of a config, const or not.
template <typename F>
using Value = std::remove_reference_t<std::invoke_result_t<F, Config&>>;

template <typename F>
ConfigTableEntry text(const std::string& key, F field, const std::string& meaning) {
  return with_schema({key, "text", meaning, true, [field](Config& c, const YAML::Node& n) { field(c) = read_text(n); },
                      [field](const Config& c) { return write_text(field(const_cast<Config&>(c))); }},
                     R"({"type": "string"})");
}

/// Values of key `isa`.
std::vector<std::string> isa_choices() {
  std::vector<std::string> names = isa_names();
  names.insert(names.begin(), "auto");
  return names;
}

template <typename F>
ConfigTableEntry choice(const std::string& key, F field, const std::vector<std::string>& choices,
                        const std::string& meaning) {
  std::string type;
  std::vector<std::string> words;
  for (const auto& entry : choices) {
    type += (type.empty() ? "" : ", ") + entry;
    words.push_back(quoted(entry));
  }
  return with_schema({key, type, meaning, true,
                      [field, choices](Config& c, const YAML::Node& n) { field(c) = read_choice(n, choices); },
                      [field](const Config& c) { return field(const_cast<Config&>(c)); }},
                     enum_schema(words));
}

template <typename F>
ConfigTableEntry count(const std::string& key, F field, std::int64_t first, std::int64_t last,
                       const std::string& meaning) {
  const std::string type = last == kAnyCount ? "integer >= " + std::to_string(first)
                                             : "integer " + std::to_string(first) + ".." + std::to_string(last);
  return with_schema({key, type, meaning, true,
                      [field, first, last](Config& c, const YAML::Node& n) {
                        field(c) = static_cast<Value<F>>(read_integer(n, first, last));
                      },
                      [field](const Config& c) { return std::to_string(field(const_cast<Config&>(c))); }},
                     R"({"type": "integer", "minimum": )" + std::to_string(first) +
                         (last == kAnyCount ? "" : R"(, "maximum": )" + std::to_string(last)) + "}");
}

template <typename F>
ConfigTableEntry real(const std::string& key, F field, double first, double last, const std::string& meaning) {
  const std::string type =
      last == kAnyReal ? "number >= " + write_real(first) : "number " + write_real(first) + ".." + write_real(last);
  return with_schema({key, type, meaning, true,
                      [field, first, last](Config& c, const YAML::Node& n) {
                        field(c) = static_cast<Value<F>>(read_real(n, first, last));
                      },
                      [field](const Config& c) {
                        if constexpr (std::is_same_v<Value<F>, float>) {
                          // The shortest text of the binary32 value, so that 1e-8 stays 1e-8.
                          char buffer[40];
                          const auto end =
                              std::to_chars(buffer, buffer + sizeof buffer, field(const_cast<Config&>(c))).ptr;
                          return std::string(buffer, end);
                        } else {
                          return write_real(field(const_cast<Config&>(c)));
                        }
                      }},
                     R"({"type": "number", "minimum": )" + write_real(first) +
                         (last == kAnyReal ? "" : R"(, "maximum": )" + write_real(last)) + "}");
}

template <typename F>
ConfigTableEntry reals(const std::string& key, F field, const std::string& meaning) {
  return with_schema(
      {key, "list of numbers", meaning, true, [field](Config& c, const YAML::Node& n) { field(c) = read_reals(n); },
       [field](const Config& c) {
         std::string list;
         for (const double value : field(const_cast<Config&>(c))) {
           list += (list.empty() ? "" : ", ") + write_real(value);
         }
         return "[" + list + "]";
       }},
      R"({"type": "array", "items": {"type": "number", "minimum": 0}})");
}

template <typename F>
ConfigTableEntry counts(const std::string& key, F field, std::int64_t first, std::int64_t last,
                        const std::string& meaning) {
  return with_schema(
      {key, "list of integers", meaning, true,
       [field, first, last](Config& c, const YAML::Node& n) { field(c) = read_integers(n, first, last); },
       [field](const Config& c) {
         std::string list;
         for (const std::int64_t value : field(const_cast<Config&>(c))) {
           list += (list.empty() ? "" : ", ") + std::to_string(value);
         }
         return "[" + list + "]";
       }},
      R"({"type": "array", "items": {"type": "integer", "minimum": )" + std::to_string(first) + R"(, "maximum": )" +
          std::to_string(last) + "}}");
}

template <typename F>
ConfigTableEntry flag(const std::string& key, F field, const std::string& meaning) {
  return with_schema(
      {key, "true, false", meaning, true, [field](Config& c, const YAML::Node& n) { field(c) = read_bool(n); },
       [field](const Config& c) { return write_bool(field(const_cast<Config&>(c))); }},
      R"({"type": "boolean"})");
}

template <typename F>
ConfigTableEntry width(const std::string& key, F field, const std::string& meaning) {
  return with_schema(
      {key, "2..32, float32", meaning, true, [field](Config& c, const YAML::Node& n) { field(c) = read_width(n); },
       [field](const Config& c) { return field(const_cast<Config&>(c)).text(); }},
      kWidthSchema);
}

/// Points of a piecewise schedule, in the config or in a CSV file.
template <typename F>
ConfigTableEntry points(const std::string& key, F field, const std::string& meaning) {
  ConfigTableEntry entry{
      key,     "list, or path of a CSV file",
      meaning, true,
      {},      [field](const Config& c) { return write_schedule_points(field(const_cast<Config&>(c))); }};
  entry.read_in = [field](Config& c, const YAML::Node& n, const std::filesystem::path& folder) {
    field(c) = read_schedule_points(n, folder);
  };
  entry.schema = kPointsSchema;
  return entry;
}

/// Two or three names for the values of a field.
template <typename T, typename F>
ConfigTableEntry named(const std::string& key, F field, const std::vector<std::pair<std::string, T>>& names,
                       const std::string& meaning) {
  std::vector<std::string> choices, words;
  std::string type;
  for (const auto& [name, value] : names) {
    choices.push_back(name);
    type += (type.empty() ? "" : ", ") + name;
    words.push_back(std::is_same_v<T, int> ? name : quoted(name));
  }
  return with_schema({key, type, meaning, true,
                      [field, names, choices](Config& c, const YAML::Node& n) {
                        const std::string chosen = read_choice(n, choices);
                        for (const auto& [name, value] : names) {
                          if (name == chosen) field(c) = value;
                        }
                      },
                      [field, names](const Config& c) {
                        for (const auto& [name, value] : names) {
                          if (field(const_cast<Config&>(c)) == value) return name;
                        }
                        throw std::logic_error("a value of a config has no name");
                      }},
                     enum_schema(words));
}

ConfigTableEntry not_identity(ConfigTableEntry entry) {
  entry.identity = false;
  return entry;
}

#define FIELD(path) \
  [](Config & c) -> auto& { return c.path; }

std::vector<ConfigTableEntry> make_table() {
  std::vector<ConfigTableEntry> t;
  t.push_back(
      not_identity(text("name", FIELD(name),
                        "name of the run; without --out its folder is runs/<name>, or runs/<name>-seed<S> where the "
                        "command line changes the seed to S. Default: the file's name without .yaml")));

  t.push_back(text(
      "model.name", FIELD(model.name),
      "the network: resnet8, 14, 20, 32, 38, 44, 56, 74, 110, 152, 164, mobilenet_v2 (32x32 images); resnet18, 34, 50 "
      "(images of data.image_size; imagenet_resnet18 and so on mean the same); ptb_lstm, transformer_lm, "
      "transformer_wiki103 (texts)"));
  t.push_back(
      count("model.classes", FIELD(model.classes), 2, 100000, "outputs of the classifier; must be what the data has"));
  t.push_back(not_identity(text("model.initial_weights", FIELD(model.initial_weights),
                                "safetensors file to start from (parameter names of the paper's code, `module.` "
                                "allowed); empty: drawn from train.seed")));
  t.push_back(
      text("model.initial_weights_digest", FIELD(model.initial_weights_digest),
           "XXH3-128 of that file; `train` records it in the run folder, and a file with another one is an error"));

  t.push_back(choice("model.first_layer", FIELD(model.first_layer), {"published", "quantised", "float32"},
                     "image networks: the first convolution: as the paper's code has it (float32 in resnet18, 34, 50, "
                     "else quantised), at the widths of the schedule, or float32"));
  t.push_back(choice("model.projections", FIELD(model.projections), {"published", "quantised", "float32"},
                     "image networks: the 1x1 convolutions of shortcuts: the same choice"));
  t.push_back(count("model.vocabulary", FIELD(model.vocabulary), 2, 10'000'000,
                    "language models: words of the dictionary; at least those of the training text"));
  t.push_back(
      count("model.embedding", FIELD(model.embedding), 1, 65536, "language models: numbers that a word becomes"));
  t.push_back(count("model.hidden", FIELD(model.hidden), 1, 65536, "ptb_lstm: size of a layer's state"));
  t.push_back(count("model.layers", FIELD(model.layers), 1, 64, "language models: layers"));
  t.push_back(count("model.ffn", FIELD(model.ffn), 1, 1048576, "Transformers: size between fc1 and fc2"));
  t.push_back(count("model.heads", FIELD(model.heads), 1, 1024, "Transformers: heads of attention"));
  t.push_back(choice("model.quantise", FIELD(model.quantise), {"ffn+head", "linears", "linears+attention"},
                     "Transformers: which products are of integers: fc1, fc2 and the output projection, as the "
                     "paper's figures count; every fully connected layer; attention's products too"));
  t.push_back(real("model.dropout", FIELD(model.dropout), 0.0, 1.0,
                   "language models: share of the values that a step leaves out before and behind every layer"));
  t.push_back(real("model.attention_dropout", FIELD(model.attention_dropout), 0.0, 1.0,
                   "Transformers: share of attention's probabilities that a step leaves out"));
  t.push_back(real("model.activation_dropout", FIELD(model.activation_dropout), 0.0, 1.0,
                   "Transformers: share of the values behind fc1's rectifier that a step leaves out"));
  t.push_back(real("model.head_dropout", FIELD(model.head_dropout), 0.0, 1.0,
                   "transformer_wiki103: share of the values before the adaptive softmax, and inside its tails, that a "
                   "step leaves out"));
  t.push_back(counts("model.cutoffs", FIELD(model.cutoffs), 1, 10'000'000,
                     "transformer_wiki103: number of the first word of band 1, of band 2, ...; ascending, below "
                     "model.vocabulary"));
  t.push_back(count("model.band_factor", FIELD(model.band_factor), 1, 1024,
                    "transformer_wiki103: a word of a band has this many times fewer numbers than one of the band "
                    "before"));
  t.push_back(named<bool>("model.bias", FIELD(model.quantised_bias), {{"float32", false}, {"quantised", true}},
                          "language models: biases of the quantised layers"));

  t.push_back(choice("data.name", FIELD(data.name),
                     {"synthetic", "cifar10", "cifar100", "imagefolder", "ptb", "wikitext", "text"},
                     "the data set; `synthetic` is built in; `imagefolder`: JPEG files in train/CLASS/ and val/CLASS/ "
                     "of data.path; `ptb`, `wikitext`: the published texts; `text`: any"));
  t.push_back(not_identity(text("data.path", FIELD(data.path),
                                "folder of the official binary files, of train/ and val/, or of the texts; `text`: or "
                                "one file; not for synthetic")));
  t.push_back(choice("data.dictionary", FIELD(data.dictionary), {"appearance", "frequency"},
                     "texts: words are numbered as they first appear in the training text, or the most frequent "
                     "first"));
  t.push_back(
      flag("data.augment", FIELD(data.augment),
           "training images are cropped after padding by 4, and flipped, at random; imagefolder: a random box of 8 to "
           "100 % of the area and of ratio 3/4 to 4/3, scaled, and flipped"));
  t.push_back(flag("data.shuffle", FIELD(data.shuffle),
                   "each epoch in a new order (not the streams of ptb_lstm); false: in file order"));
  t.push_back(count("data.train_images", FIELD(data.train_images), 0, 100000000,
                    "use only the first so many; imagefolder: evenly over the list; 0: all (synthetic: 10240)"));
  t.push_back(count("data.test_images", FIELD(data.test_images), 0, 100000000,
                    "use only the first so many; imagefolder: evenly over the list; 0: all (synthetic: 2048)"));
  t.push_back(count("data.image_size", FIELD(data.image_size), 1, 4096,
                    "imagefolder: height and width of the network's images"));
  t.push_back(count("data.resize", FIELD(data.resize), 1, 4096,
                    "imagefolder: an evaluation scales the short side to this, and takes the centre"));
  t.push_back(
      reals("data.mean", FIELD(data.mean),
            "of pixel / 255, three numbers, 0 to 1: x = (pixel / 255 - mean) / deviation; empty: the data set's own "
            "(imagefolder: 0.485, 0.456, 0.406)"));
  t.push_back(reals("data.deviation", FIELD(data.deviation),
                    "the same, 1e-6 to 1e6; empty: the data set's own (imagefolder: 0.229, 0.224, 0.225)"));
  t.push_back(not_identity(count("data.workers", FIELD(data.workers), 0, 256,
                                 "imagefolder: threads that read and decode images, ahead of the steps; 0: as many as "
                                 "`threads`")));

  t.push_back(count("train.steps", FIELD(train.steps), 1, 1000000000, "length of the run, in batches"));
  t.push_back(count("train.batch", FIELD(train.batch), 1, 65536, "images a step; texts: streams or sequences"));
  t.push_back(with_schema(
      {"train.seed", "integer >= 0", "key of all random numbers: initial weights, order, augmentation, rounding", true,
       [](Config& c, const YAML::Node& n) { c.train.seed = read_unsigned(n); },
       [](const Config& c) { return std::to_string(c.train.seed); }},
      R"({"type": "integer", "minimum": 0})"));
  t.push_back(count("train.evaluate_every", FIELD(train.evaluate_every), 1, kAnyCount,
                    "steps between evaluations; the last step is always evaluated"));
  t.push_back(not_identity(count("train.checkpoint_every", FIELD(train.checkpoint_every), 1, kAnyCount,
                                 "steps between checkpoints; the last step always has one")));
  t.push_back(not_identity(count("train.log_every", FIELD(train.log_every), 1, kAnyCount,
                                 "steps between progress lines, of which one in 10 seconds is printed (on a terminal "
                                 "ten a second), and between points of TensorBoard")));
  t.push_back(not_identity(count("train.evaluation_batch", FIELD(train.evaluation_batch), 0, 65536,
                                 "images at a time in evaluation; 0: train.batch")));
  t.push_back(count("train.time_steps", FIELD(train.time_steps), 1, 65536,
                    "texts: words that a step reads of each stream or sequence"));

  t.push_back(choice("precision.forward.schedule", FIELD(precision.forward.name), schedule_names(),
                     "width of activations and weights over the run"));
  t.push_back(width("precision.forward.min", FIELD(precision.forward.min),
                    "lowest width; `constant` does not use it, that of `piecewise` follows from its points"));
  t.push_back(width("precision.forward.max", FIELD(precision.forward.max),
                    "highest width; the width of `constant`; that of `piecewise` follows from its points"));
  t.push_back(count("precision.forward.cycles", FIELD(precision.forward.cycles), 1, 1000000000,
                    "periods over the run; `triangular`: ramps; `constant` and `piecewise` do not use it"));
  t.push_back(points("precision.forward.points", FIELD(precision.forward.points),
                     "`piecewise`: pairs [step, width], ascending from step 0, or a CSV file of them, which is read "
                     "into the run's config"));
  t.push_back(choice("precision.gradient.schedule", FIELD(precision.gradient.name), schedule_names(),
                     "width of gradients over the run"));
  t.push_back(width("precision.gradient.min", FIELD(precision.gradient.min),
                    "lowest width; `constant` does not use it, that of `piecewise` follows from its points"));
  t.push_back(width("precision.gradient.max", FIELD(precision.gradient.max),
                    "highest width; the width of `constant`; that of `piecewise` follows from its points"));
  t.push_back(count("precision.gradient.cycles", FIELD(precision.gradient.cycles), 1, 1000000000,
                    "periods over the run; `triangular`: ramps; `constant` and `piecewise` do not use it"));
  t.push_back(points("precision.gradient.points", FIELD(precision.gradient.points),
                     "`piecewise`: pairs [step, width], ascending from step 0, or a CSV file of them, which is read "
                     "into the run's config"));
  t.push_back(named<bool>("precision.gradient.rounding", FIELD(precision.stochastic),
                          {{"stochastic", true}, {"nearest", false}},
                          "rounding of gradients; activations and weights round to nearest"));
  t.push_back(flag("precision.gradient.zero_on_grid", FIELD(precision.zero_on_grid),
                   "widen the gradient's range so that 0 is a code (the paper's quantiser has none)"));
  t.push_back(named<ErrorWeights>("precision.error_weights", FIELD(precision.error_weights),
                                  {{"shared", ErrorWeights::kShared}, {"requantised", ErrorWeights::kRequantised}},
                                  "weights of the error pass: the forward codes' values on one grid (the paper's "
                                  "code), or quantised again per input channel (integer hardware)"));
  t.push_back(named<int>("precision.error_grid_bits", FIELD(precision.error_grid_bits), {{"16", 16}, {"24", 24}},
                         "width of that grid where error_weights is shared"));
  t.push_back(real("precision.min_scale", FIELD(precision.min_scale.narrow), 0.0, kAnyReal,
                   "smallest step of a quantiser of up to 16 bits"));
  t.push_back(real("precision.min_scale_wide", FIELD(precision.min_scale.wide), 0.0, kAnyReal,
                   "smallest step of a quantiser of 17 bits and more"));
  ConfigTableEntry layers{"precision.layers",
                          "list",
                          "schedules of single layers by name pattern: {match: PATTERN, forward: WIDTH or {schedule, "
                          "min, max, cycles, points}, gradient: the same}; the last match wins",
                          true,
                          {},
                          [](const Config& c) { return write_layer_overrides(c.precision.layers); }};
  layers.read_in = [](Config& c, const YAML::Node& n, const std::filesystem::path& folder) {
    c.precision.layers = read_layer_overrides(n, folder);
  };
  layers.schema = layers_schema();
  t.push_back(layers);
  ConfigTableEntry history{"precision.history",
                           "list",
                           "widths of the steps that a fork took over, where this config gives them others: {until, "
                           "steps, forward, gradient, layers}; `train --from` records it",
                           true,
                           {},
                           [](const Config& c) { return write_precision_history(c.precision.history); }};
  history.read_in = [](Config& c, const YAML::Node& n, const std::filesystem::path& folder) {
    c.precision.history = read_precision_history(n, folder);
  };
  history.schema = R"({"type": "array", "items": {"type": "object"}})";
  t.push_back(history);

  t.push_back(choice("optimizer.name", FIELD(optimizer.name), {"sgd", "adamw", "nag"},
                     "the optimiser: SGD with momentum; of language models also AdamW, and Nesterov's accelerated "
                     "gradient as fairseq has it"));
  t.push_back(real("optimizer.lr", FIELD(optimizer.lr), 0.0, kAnyReal, "learning rate, before its schedule"));
  t.push_back(real("optimizer.momentum", FIELD(optimizer.momentum), 0.0, 1.0, "momentum"));
  t.push_back(real("optimizer.weight_decay", FIELD(optimizer.weight_decay), 0.0, kAnyReal,
                   "weight decay, of all trained parameters"));
  t.push_back(
      real("optimizer.clip", FIELD(optimizer.clip), 0.0, kAnyReal,
           "most of the norm of all gradients together, which are scaled down to it; of sgd needs momentum 0 and "
           "weight_decay 0; 0: any"));
  t.push_back(real("optimizer.beta1", FIELD(optimizer.beta1), 0.0, 1.0, "adamw: share of the old first moment"));
  t.push_back(real("optimizer.beta2", FIELD(optimizer.beta2), 0.0, 1.0, "adamw: share of the old second moment"));
  t.push_back(real("optimizer.eps", FIELD(optimizer.eps), 0.0, 1.0, "adamw: added to the second moment's root"));

  t.push_back(choice("learning_rate.schedule", FIELD(learning_rate.schedule), learning_rate_names(),
                     "the learning rate over the run"));
  t.push_back(reals("learning_rate.points", FIELD(learning_rate.points),
                    "piecewise: where the rate falls; up to 1 a fraction of the run, above 1 a step"));
  t.push_back(real("learning_rate.factor", FIELD(learning_rate.factor), 0.0, kAnyReal,
                   "piecewise, plateau: multiplier at each fall; anneal_cosine: the floor is lr * factor^2"));
  t.push_back(real("learning_rate.ratio", FIELD(learning_rate.ratio), 0.0, 1.0, "linear: final share of lr"));
  t.push_back(real("learning_rate.cyclic_min", FIELD(learning_rate.cyclic_min), 0.0, kAnyReal,
                   "cyclic, cyclic_triangular: lowest rate"));
  t.push_back(count("learning_rate.cycles", FIELD(learning_rate.cycles), 1, 1000000000,
                    "cyclic, cyclic_triangular: a period is train.steps / cycles steps, rounded down"));
  t.push_back(flag("learning_rate.warm_up", FIELD(learning_rate.warm_up),
                   "start with warm_up_steps steps at warm_up_lr, or rising from it"));
  t.push_back(
      count("learning_rate.warm_up_steps", FIELD(learning_rate.warm_up_steps), 0, kAnyCount, "length of the warm-up"));
  t.push_back(real("learning_rate.warm_up_lr", FIELD(learning_rate.warm_up_lr), 0.0, kAnyReal, "rate of the warm-up"));

  t.push_back(
      choice("eval.width", FIELD(evaluation.width), {"scheduled", "max"},
             "width of the test accuracy that decides which checkpoint is the best: that of the step just done, "
             "or the largest; evaluations record both"));
  t.push_back(count("eval.streams", FIELD(evaluation.streams), 1, 65536,
                    "texts: streams or sequences that an evaluation reads side by side"));
  t.push_back(count("eval.context", FIELD(evaluation.context), 0, 65536,
                    "texts, models that carry no state: words before a block that its predictions see"));
  t.push_back(
      count("swa.start", FIELD(swa.start), 0, 1000000000, "stochastic weight averaging from this step on; 0: off"));
  t.push_back(count("swa.freq", FIELD(swa.freq), 1, 1000000000,
                    "steps between averages: at steps that are multiples; a multiple of train.evaluate_every"));

  t.push_back(count("digest.every", FIELD(digest.every), 1, kAnyCount,
                    "steps between lines of digests.jsonl; checkpoints and evaluations always have one"));
  t.push_back(flag("cost.count_batch_norm", FIELD(cost.count_batch_norm),
                   "`paper` metric: add 2 operations a batch-norm element, as the paper's absolute figures do"));
  t.push_back(text("cost.paper_layers", FIELD(cost.paper_layers),
                   "layers that metric `paper` counts: patterns with * and ?, separated by commas"));
  t.push_back(count("cost.paper_samples", FIELD(cost.paper_samples), 0, 1000000000,
                    "samples (words of a text) of a step that metric `paper` counts, as the paper's table of language "
                    "models counts 1; 0: all"));

  t.push_back(not_identity(text("fork.run", FIELD(fork.run),
                                "folder of another run, from whose checkpoint this one goes on, with its optimiser's "
                                "state; `train --from` sets it")));
  t.push_back(count("fork.step", FIELD(fork.step), 0, 1000000000,
                    "the steps that are taken over; 0: its newest checkpoint; `train` records the number"));
  t.push_back(text(
      "fork.digest", FIELD(fork.digest),
      "digest of the state that is taken over; `train` records it, and a checkpoint with another one is an error"));

  t.push_back(not_identity(
      choice("device", FIELD(execution.device), {"cpu", "cuda", "reference", "cuda-on-host"}, "where to run")));
  t.push_back(not_identity(choice("isa", FIELD(execution.isa), isa_choices(), "instruction set of the CPU kernels")));
  t.push_back(not_identity(count("threads", FIELD(execution.threads), 0, 4096, "threads; 0: all cores")));
  t.push_back(
      not_identity(flag("tensorboard", FIELD(execution.tensorboard),
                        "write TensorBoard's event file into the run folder, too; `train --tensorboard` sets it")));
  return t;
}

#undef FIELD

}  // namespace

const std::vector<ConfigTableEntry>& config_table() {
  static const std::vector<ConfigTableEntry> table = make_table();
  return table;
}

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> result;
    const Config defaults;
    for (const auto& entry : config_table())
      result.push_back({entry.key, entry.type, entry.write(defaults), entry.meaning});
    return result;
  }();
  return keys;
}

}  // namespace bitcycle
