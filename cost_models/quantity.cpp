// SPDX-License-Identifier: Apache-2.0
#include "cost_models/quantity.h"

#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace bitcycle {
namespace {

struct Unit {
  const char* name;
  double factor;            // to the base unit
  bool inverse = false;     // the base value is factor / value: a clock's period
  bool per_second = false;  // to be divided by the clock
};

struct Kind {
  std::vector<Unit> units;
  double least, most;      // of a value that is not 0, in base units
  const char* least_text;  // the range as it is told
  const char* most_text;
};

const Kind& kind_of(QuantityKind kind) {
  // Ranges: wide enough for any design that can be built, narrow enough that no product of them leaves binary64.
  static const Kind length{{{"nm", 1.0}, {"um", 1e3}}, 0.1, 1e5, "0.1 nm", "100 um"};
  static const Kind frequency{
      {{"MHz", 1e6}, {"GHz", 1e9}, {"kHz", 1e3}, {"Hz", 1.0}, {"ns", 1e9, true}, {"ps", 1e12, true}, {"us", 1e6, true}},
      1.0,
      1e12,
      "1 Hz",
      "1000 GHz"};
  static const Kind energy{
      {{"pJ", 1.0}, {"fJ", 1e-3}, {"nJ", 1e3}, {"aJ", 1e-6}, {"uJ", 1e6}}, 1e-9, 1e6, "1e-9 pJ", "1 uJ"};
  static const Kind per_bit{{{"pJ/bit", 1.0},
                             {"fJ/bit", 1e-3},
                             {"nJ/bit", 1e3},
                             {"aJ/bit", 1e-6},
                             {"pJ/B", 0.125},
                             {"fJ/B", 0.125e-3},
                             {"nJ/B", 125.0}},
                            1e-9,
                            1e6,
                            "1e-9 pJ/bit",
                            "1 uJ/bit"};
  static const Kind per_cycle{{{"nJ/cycle", 1.0}, {"pJ/cycle", 1e-3}, {"fJ/cycle", 1e-6}, {"uJ/cycle", 1e3}},
                              1e-12,
                              1e6,
                              "1e-9 pJ/cycle",
                              "1 mJ/cycle"};
  static const Kind size{{{"bit", 1.0},
                          {"B", 8.0},
                          {"KiB", 8192.0},
                          {"MiB", 8388608.0},
                          {"GiB", 8589934592.0},
                          {"kB", 8e3},
                          {"KB", 8e3},
                          {"MB", 8e6},
                          {"GB", 8e9},
                          {"kbit", 1e3},
                          {"Mbit", 1e6},
                          {"Kibit", 1024.0},
                          {"Mibit", 1048576.0}},
                         1.0,
                         1e15,
                         "1 bit",
                         "125 TB"};
  static const Kind rate{{{"bit/cycle", 1.0},
                          {"B/cycle", 8.0},
                          {"GB/s", 8e9, false, true},
                          {"MB/s", 8e6, false, true},
                          {"TB/s", 8e12, false, true},
                          {"GiB/s", 8589934592.0, false, true},
                          {"MiB/s", 8388608.0, false, true},
                          {"Gbit/s", 1e9, false, true},
                          {"Mbit/s", 1e6, false, true}},
                         1e-6,
                         1e9,
                         "1e-6 bit/cycle",
                         "1e9 bit/cycle"};
  static const Kind power{{{"mW", 1.0}, {"W", 1e3}, {"uW", 1e-3}, {"nW", 1e-6}}, 1e-9, 1e9, "1 pW", "1 MW"};
  static const Kind area{{{"mm2", 1.0}, {"um2", 1e-6}, {"cm2", 100.0}}, 1e-9, 1e6, "0.001 um2", "1 m2"};
  static const Kind relative{{{"relative", 1.0}}, 1e-9, 1e9, "1e-9", "1e9"};
  static const Kind relative_bit{{{"relative/bit", 1.0}}, 1e-9, 1e9, "1e-9", "1e9"};
  static const Kind relative_cycle{{{"relative/cycle", 1e-3}}, 1e-12, 1e9, "1e-9", "1e12"};
  switch (kind) {
    case QuantityKind::kLength: return length;
    case QuantityKind::kFrequency: return frequency;
    case QuantityKind::kEnergy: return energy;
    case QuantityKind::kEnergyPerBit: return per_bit;
    case QuantityKind::kEnergyPerCycle: return per_cycle;
    case QuantityKind::kSize: return size;
    case QuantityKind::kRate: return rate;
    case QuantityKind::kPower: return power;
    case QuantityKind::kArea: return area;
    case QuantityKind::kRelative: return relative;
    case QuantityKind::kRelativePerBit: return relative_bit;
    case QuantityKind::kRelativePerCycle: return relative_cycle;
  }
  throw std::logic_error("unknown kind of quantity");
}

const Unit* unit_of(const Kind& kind, const std::string& name) {
  for (const auto& unit : kind.units) {
    if (name == unit.name) return &unit;
  }
  return nullptr;
}

}  // namespace

std::string units_text(QuantityKind kind) {
  std::string text;
  for (const auto& unit : kind_of(kind).units) text += (text.empty() ? "" : ", ") + std::string(unit.name);
  return text;
}

bool has_unit(QuantityKind kind, const std::string& unit) { return unit_of(kind_of(kind), unit) != nullptr; }

double in_base_unit(QuantityKind kind, double value, const std::string& unit, double clock_hz, bool zero_allowed) {
  const Kind& k = kind_of(kind);
  const Unit* known = unit_of(k, unit);
  char number[64];
  std::snprintf(number, sizeof number, "%.12g ", value);
  const std::string given = number + unit;
  if (known == nullptr) throw std::invalid_argument(given + ": the unit must be one of " + units_text(kind));
  if (!std::isfinite(value)) throw std::invalid_argument(given + " is not a finite number");
  if (value < 0.0) throw std::invalid_argument(given + " is negative; it must be 0 or more");
  if (value == 0.0) {
    if (zero_allowed) return 0.0;
    throw std::invalid_argument(given + " must be above 0");
  }
  if (known->per_second && !(clock_hz > 0.0)) {
    throw std::invalid_argument(given + " needs a clock, which this design does not have; write bit/cycle");
  }
  double base = known->inverse ? known->factor / value : value * known->factor;
  if (known->per_second) base /= clock_hz;
  if (!(base >= k.least && base <= k.most)) {
    throw std::invalid_argument(given + " is not possible: it must lie between " + k.least_text + " and " +
                                k.most_text);
  }
  return base;
}

}  // namespace bitcycle
