// SPDX-License-Identifier: Apache-2.0
// Values of configuration keys: YAML scalars to typed values, strictly, and back.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sim/number/bit_width.h"

namespace bitcycle {

/// Each throws std::invalid_argument saying what was found and what is legal.
std::string read_text(const YAML::Node& node);
std::string read_choice(const YAML::Node& node, const std::vector<std::string>& choices);
bool read_bool(const YAML::Node& node);
std::int64_t read_integer(const YAML::Node& node, std::int64_t first, std::int64_t last);
std::uint64_t read_unsigned(const YAML::Node& node);
double read_real(const YAML::Node& node, double first, double last);
std::vector<double> read_reals(const YAML::Node& node);
std::vector<std::int64_t> read_integers(const YAML::Node& node, std::int64_t first, std::int64_t last);
BitWidth read_width(const YAML::Node& node);

/// YAML text that reads back as the same value.
std::string write_text(const std::string& value);
std::string write_real(double value);
std::string write_bool(bool value);

}  // namespace bitcycle
