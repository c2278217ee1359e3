// SPDX-License-Identifier: Apache-2.0
#include "nn/models/recurrent_uses.h"

#include "nn/builder/builder.h"
#include "nn/builder/language_sizes.h"
#include "nn/models/model.h"
#include "sim/program/products.h"

namespace bitcycle {

std::map<std::string, std::int64_t> recurrent_uses(const Config& config) {
  if (model_reads(config.model.name) != Reads::kStreams) return {};
  builder::Options options;
  options.language = builder::language_sizes(config);
  options.language.time_steps = 2;
  options.widest = [](const std::string&) { return LayerWidths{BitWidth::integer(8), BitWidth::integer(8)}; };
  std::map<std::string, std::int64_t> products;
  for (const auto& product : products_of(write_model(config.model.name, 0, options)->program)) {
    if (product.over.pass == Pass::kForward) ++products[product.site.layer];
  }
  std::map<std::string, std::int64_t> uses;
  for (const auto& [layer, count] : products) {
    if (count > 1) uses[layer] = config.train.time_steps;
  }
  return uses;
}

}  // namespace bitcycle
