// SPDX-License-Identifier: Apache-2.0
#include "cli/precision_text.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>
#include <stdexcept>

#include "cli/nearest.h"
#include "sim/schedule/schedule.h"

namespace bitcycle::cli {
namespace {

constexpr const char* kStatic = "static-";

struct Range {
  BitWidth min, max;
};

/// W or MIN-MAX.
Range range_of(const std::string& text) {
  const auto dash = text.find('-');
  if (dash == std::string::npos) {
    const BitWidth width = BitWidth::parse(text);
    return {width, width};
  }
  return {BitWidth::parse(text.substr(0, dash)), BitWidth::parse(text.substr(dash + 1))};
}

std::pair<Range, Range> widths_of(const std::string& text) {
  const auto slash = text.find('/');
  const Range forward = range_of(text.substr(0, slash));
  return {forward, slash == std::string::npos ? Range{forward.max, forward.max} : range_of(text.substr(slash + 1))};
}

void check_number(const std::string& key, const std::string& value) {
  std::int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || rest != end || number < 1) {
    throw std::invalid_argument(key + " is '" + value + "': a whole number of at least 1 is needed");
  }
}

PrecisionText parse(const std::string& text) {
  std::stringstream parts(text);
  std::string head;
  std::getline(parts, head, ',');
  std::string schedule = "constant", widths;
  if (head.starts_with(kStatic)) {
    widths = head.substr(std::string(kStatic).size());
  } else {
    const auto colon = head.find(':');
    schedule = head.substr(0, colon);
    if (schedule == "piecewise") {
      throw std::invalid_argument(
          "the steps of a piecewise schedule are given in a config: --schedule CONFIG, or precision.forward.points");
    }
    auto names = schedule_names();
    std::erase(names, "piecewise");
    if (colon == std::string::npos || std::find(names.begin(), names.end(), schedule) == names.end()) {
      std::string known;
      for (const auto& name : names) known += (known.empty() ? "" : ", ") + name;
      throw std::invalid_argument("static-WIDTH, or SCHEDULE:MIN-MAX/GRADIENT with one of the schedules " + known +
                                  " is needed, for example cyclic_cosine:3-8/8,cycles=32,steps=64000" +
                                  did_you_mean(schedule, names));
    }
    widths = head.substr(colon + 1);
  }
  const auto [forward, gradient] = widths_of(widths);
  PrecisionText result;
  const auto put = [&](const std::string& side, const std::string& name, const Range& range) {
    result.keys.push_back({"precision." + side + ".schedule", name});
    result.keys.push_back({"precision." + side + ".min", range.min.text()});
    result.keys.push_back({"precision." + side + ".max", range.max.text()});
  };
  put("forward", schedule, forward);
  const bool moves = gradient.min != gradient.max;
  if (moves && schedule == "constant") {
    throw std::invalid_argument("static widths do not move: the gradient needs one width, not MIN-MAX");
  }
  if (schedule == "constant" && forward.min != forward.max) {
    throw std::invalid_argument("static widths do not move: one width is needed, not MIN-MAX");
  }
  put("gradient", moves ? schedule : "constant", gradient);
  result.is_constant = schedule == "constant";
  std::set<std::string> given;
  for (std::string part; std::getline(parts, part, ',');) {
    const auto equals = part.find('=');
    const std::string key = part.substr(0, equals), value = equals == std::string::npos ? "" : part.substr(equals + 1);
    check_number(key, value);
    if (!given.insert(key).second) throw std::invalid_argument(key + " is given twice; leave one of them out");
    if (key == "cycles" && !result.is_constant) {
      result.keys.push_back({"precision.forward.cycles", value});
      if (moves) result.keys.push_back({"precision.gradient.cycles", value});
    } else if (key == "steps") {
      result.keys.push_back({"train.steps", value});
      result.has_steps = true;
    } else if (key == "batch") {
      result.keys.push_back({"train.batch", value});
      result.has_batch = true;
    } else {
      throw std::invalid_argument(key == "cycles" ? "static widths have no cycles"
                                                  : "'" + key + "' is unknown; cycles, steps and batch are known");
    }
  }
  return result;
}

}  // namespace

PrecisionText parse_precision(const std::string& text) {
  try {
    return parse(text);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("'" + text + "': " + error.what());
  }
}

LayerWidths parse_baseline(const std::string& text) {
  try {
    const std::string widths = text.starts_with(kStatic) ? text.substr(std::string(kStatic).size()) : text;
    const auto [forward, gradient] = widths_of(widths);
    if (forward.min != forward.max || gradient.min != gradient.max) throw std::invalid_argument("widths do not move");
    return {forward.max, gradient.max};
  } catch (const std::invalid_argument&) {
    throw std::invalid_argument("'" + text + "': a static width of 2..32 bits or float32 is needed: static-8, or " +
                                "static-8/6 for activations and weights of 8 bits and gradients of 6");
  }
}

}  // namespace bitcycle::cli
