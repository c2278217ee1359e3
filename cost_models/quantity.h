// SPDX-License-Identifier: Apache-2.0
// Physical quantities of an accelerator's file: the units that each may be written in, and the range that a real design
// lies in. Inside the program a quantity has one unit, its base unit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

enum class QuantityKind : std::uint8_t {
  kLength,           // base nm
  kFrequency,        // base Hz; a period is taken, too
  kEnergy,           // base pJ
  kEnergyPerBit,     // base pJ/bit
  kEnergyPerCycle,   // base nJ/cycle
  kSize,             // base bit
  kRate,             // base bit/cycle; bits or bytes a second need the clock
  kPower,            // base mW
  kArea,             // base mm2
  kRelative,         // energies of a design that states ratios only: base 1
  kRelativePerBit,   // base 1/bit
  kRelativePerCycle  // base 1,000/cycle, as kEnergyPerCycle
};

/// The units that a quantity may be written in, the base unit's first or near it, separated by ", ".
std::string units_text(QuantityKind kind);
/// Whether the unit belongs to the quantity.
bool has_unit(QuantityKind kind, const std::string& unit);

/// The value in the base unit. clock_hz turns bits a second into bits a cycle; 0 where there is no clock.
/// Throws std::invalid_argument, its text starting with the value and its unit, where the value is no finite number, is
/// negative, or lies outside the range of a real design. A value of 0 is taken where zero_allowed.
double in_base_unit(QuantityKind kind, double value, const std::string& unit, double clock_hz, bool zero_allowed);

}  // namespace bitcycle
