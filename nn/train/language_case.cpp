// SPDX-License-Identifier: Apache-2.0
#include "nn/train/language_case.h"

#include <cmath>

#include "nn/io/npy.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kMost = 1 << 20;

builder::Bias bias_of(const CaseFile& file) {
  const std::string bias = file.text("bias");
  if (bias == "float32") return builder::Bias::kFloat32;
  if (bias == "quantised") return builder::Bias::kQuantised;
  file.fail("bias is '" + bias + "': float32 or quantised");
}

void read_recurrent_sizes(const CaseFile& file, builder::LanguageSizes& sizes) {
  sizes.hidden = file.integer("hidden", 1, kMost);
  sizes.bias = bias_of(file);
  if (const std::string group = file.text("gradient_group"); group != "tensor") {
    file.fail("gradient_group is '" + group + "'; gradients have one range a tensor");
  }
}

void read_transformer_sizes(const CaseFile& file, builder::LanguageSizes& sizes) {
  sizes.ffn = file.integer("ffn", 1, kMost);
  sizes.heads = file.integer("heads", 1, 1024);
  if (sizes.embedding % (2 * sizes.heads) != 0) {
    file.fail("embedding is " + std::to_string(sizes.embedding) + ", no multiple of twice the " +
              std::to_string(sizes.heads) + " heads");
  }
  const std::string quantise = file.text("quantise");
  using builder::QuantisedParts;
  if (quantise == "ffn+head") {
    sizes.quantised = QuantisedParts::kFfnAndHead;
  } else if (quantise == "linears") {
    sizes.quantised = QuantisedParts::kLinears;
  } else if (quantise == "linears+attention") {
    sizes.quantised = QuantisedParts::kLinearsAndAttention;
  } else {
    file.fail("quantise is '" + quantise + "': ffn+head, linears or linears+attention");
  }
}

void read_bands(const CaseFile& file, builder::LanguageSizes& sizes) {
  sizes.cutoffs = file.integers("cutoffs");
  sizes.band_factor = file.integer("band_factor", 1, 1024);
  std::int64_t before = 0, size = sizes.embedding;
  for (const std::int64_t cutoff : sizes.cutoffs) {
    if (cutoff <= before || cutoff >= sizes.vocabulary) {
      file.fail("cutoffs ascend from 1 on, and stay below the vocabulary of " + std::to_string(sizes.vocabulary));
    }
    if (size % sizes.band_factor != 0) {
      file.fail("embedding is " + std::to_string(sizes.embedding) + ", which band_factor " +
                std::to_string(sizes.band_factor) + " does not divide for every band");
    }
    before = cutoff;
    size /= sizes.band_factor;
  }
  if (sizes.cutoffs.empty()) file.fail("cutoffs is empty");
}

}  // namespace

bool carries_state(const CaseFile& file) { return file.text("model") == "ptb_lstm"; }

std::vector<std::string> language_keys(const CaseFile& file, std::vector<std::string> more) {
  for (const char* key : {"kind", "model", "vocabulary", "embedding", "layers", "time_steps", "batch", "dropout",
                          "error_weights", "min_scale", "tolerance", "comment", "error_grid_bits"}) {
    more.push_back(key);
  }
  const std::vector<std::string> own = carries_state(file)
                                           ? std::vector<std::string>{"hidden", "bias", "gradient_group"}
                                           : std::vector<std::string>{"ffn", "heads", "quantise"};
  more.insert(more.end(), own.begin(), own.end());
  if (has_bands(file.text("model"))) more.insert(more.end(), {"cutoffs", "band_factor"});
  return more;
}

BitWidth case_width(const CaseFile& file, const std::string& key) {
  return BitWidth::integer(static_cast<int>(file.integer(key, BitWidth::kMinBits, BitWidth::kMaxBits)));
}

builder::Options language_options(const CaseFile& file, const std::string& rounding) {
  builder::Options options;
  options.batch = file.integer("batch", 1, kMost);
  builder::LanguageSizes& sizes = options.language;
  sizes.vocabulary = file.integer("vocabulary", 2, kMost);
  sizes.embedding = file.integer("embedding", 1, kMost);
  sizes.layers = file.integer("layers", 1, 64);
  sizes.time_steps = file.integer("time_steps", 1, kMost);
  if (carries_state(file)) {
    read_recurrent_sizes(file, sizes);
  } else {
    read_transformer_sizes(file, sizes);
    if (has_bands(file.text("model"))) read_bands(file, sizes);
  }
  if (file.number("dropout") != 0.0) file.fail("dropout is not 0: a step with dropout cannot be replayed");
  if (rounding != "nearest")
    file.fail("gradient_rounding is '" + rounding + "'; a step can be replayed with 'nearest'");
  options.quantisation.stochastic = false;
  const std::string error_weights = file.text("error_weights");
  if (error_weights != "shared" && error_weights != "requantised") {
    file.fail("error_weights is '" + error_weights + "': shared or requantised");
  }
  options.quantisation.error_weights = error_weights == "shared" ? ErrorWeights::kShared : ErrorWeights::kRequantised;
  const std::int64_t grid_bits = file.optional_integer("error_grid_bits").value_or(16);
  if (grid_bits != 16 && grid_bits != 24) {
    file.fail("error_grid_bits is " + std::to_string(grid_bits) + "; the grids have 16 or 24 bits");
  }
  options.quantisation.error_grid_bits = static_cast<int>(grid_bits);
  options.quantisation.min_scale.narrow = static_cast<float>(file.number("min_scale"));
  return options;
}

CaseTokens::CaseTokens(const CaseFile& file, const builder::Options& options, std::int64_t steps)
    : rows_(options.language.time_steps * options.batch) {
  const std::int64_t time_steps = options.language.time_steps, batch = options.batch;
  const bool streams = carries_state(file);
  const NpyArray array = read_npy(file.folder() / "tokens.npy");
  NpyArray wanted;
  wanted.shape = streams ? std::vector<std::int64_t>{steps * time_steps + 1, batch}
                         : std::vector<std::int64_t>{steps * batch, time_steps + 1};
  if (array.shape != wanted.shape) {
    file.fail("tokens.npy is " + array.shape_text() + ", the case needs " + wanted.shape_text());
  }
  std::vector<std::int32_t> tokens;
  for (const double value : array.as_doubles()) {
    if (value < 0.0 || value >= static_cast<double>(options.language.vocabulary) || value != std::floor(value)) {
      file.fail("tokens.npy holds " + std::to_string(value) + ", which is none of " +
                std::to_string(options.language.vocabulary) + " words");
    }
    tokens.push_back(static_cast<std::int32_t>(value));
  }
  if (streams) {
    words_.assign(tokens.begin(), tokens.end() - batch);
    labels_.assign(tokens.begin() + batch, tokens.end());
    return;
  }
  for (auto row = tokens.begin(); row != tokens.end(); row += time_steps + 1) {
    words_.insert(words_.end(), row, row + time_steps);
    labels_.insert(labels_.end(), row + 1, row + time_steps + 1);
  }
}

std::vector<float> read_carried(const CaseFile& file, const builder::Options& options, const std::string& name) {
  const NpyArray array = read_npy(file.folder() / (name + ".npy"));
  NpyArray wanted;
  wanted.shape = {options.batch, options.language.hidden};
  if (array.shape != wanted.shape || array.type != NpyType::kFloat32) {
    file.fail(name + ".npy is " + npy_descr(array.type) + " of shape " + array.shape_text() +
              ", the case needs <f4 of " + wanted.shape_text());
  }
  return array.values<float>();
}

}  // namespace bitcycle
