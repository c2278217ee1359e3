// SPDX-License-Identifier: Apache-2.0
// The registry of quantisers.
#include "sim/quantisers/quantiser.h"

#include <map>
#include <stdexcept>

namespace bitcycle {

#define BITCYCLE_QUANTISER(name) extern const bool name##_quantiser_registered;
#include "sim/quantisers/list.inl"
#undef BITCYCLE_QUANTISER

namespace {

constexpr const bool* kRegistered[] = {
#define BITCYCLE_QUANTISER(name) &name##_quantiser_registered,
#include "sim/quantisers/list.inl"
#undef BITCYCLE_QUANTISER
};

std::map<std::string, Quantiser>& registry() {
  static std::map<std::string, Quantiser> quantisers;
  return quantisers;
}

const std::map<std::string, Quantiser>& all() {
  for (const bool* registered : kRegistered) {
    if (!*registered) throw std::logic_error("a quantiser is registered twice");
  }
  return registry();
}

}  // namespace

bool register_quantiser(const std::string& name, const Quantiser& quantiser) {
  return registry().emplace(name, quantiser).second;
}

std::vector<std::string> quantiser_names() {
  std::vector<std::string> names;
  for (const auto& [name, quantiser] : all()) names.push_back(name);
  return names;
}

const Quantiser& find_quantiser(const std::string& name) {
  const auto found = all().find(name);
  if (found != all().end()) return found->second;
  std::string known;
  for (const auto& one : quantiser_names()) known += (known.empty() ? "" : ", ") + one;
  throw std::invalid_argument("quantiser '" + name + "' is unknown; the quantisers are " + known);
}

}  // namespace bitcycle
