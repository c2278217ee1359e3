// SPDX-License-Identifier: Apache-2.0
// The tensors of a training's state, in three arenas of device memory (values, gradients, momenta), so that the
// optimiser and the search for non-finite numbers are one operation each.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "sim/backend.h"

namespace bitcycle {

/// A tensor of the training state, and how it looks in files.
struct Parameter {
  std::string name;                 // canonical, as in the paper's code: "conv1.weight"
  std::vector<std::int64_t> shape;  // canonical: OIHW for convolutions
  bool ohwi = false;                // device layout is OHWI, files are OIHW
  bool trained = true;              // false: running statistics and ranges (no gradient, no momentum)
  std::size_t offset = 0;           // in floats: trained ones in all three arenas, the others behind them in values
  float* value = nullptr;
  float* gradient = nullptr;
  float* momentum = nullptr;
  std::int64_t size() const {
    std::int64_t n = 1;
    for (const auto extent : shape) n *= extent;
    return n;
  }
};

class ParameterStore {
 public:
  /// Throws std::logic_error for a name that is there already.
  Parameter* add_trained(const std::string& name, std::vector<std::int64_t> shape, bool ohwi = false);
  Parameter* add_state(const std::string& name, std::vector<std::int64_t> shape);
  /// State that follows the last one added without a gap.
  Parameter* add_adjacent_state(const std::string& name, std::vector<std::int64_t> shape);
  void allocate(Backend& backend);

  const std::deque<Parameter>& all() const { return parameters_; }
  const Parameter* find(const std::string& name) const;
  /// The trained parameter that an element of the trained arenas belongs to.
  const Parameter& trained_at(std::int64_t element) const;

  std::int64_t trained_size() const { return static_cast<std::int64_t>(trained_size_); }
  std::int64_t size() const { return static_cast<std::int64_t>(trained_size_ + state_size_); }
  float* values() { return values_.as<float>(); }
  const float* values() const { return values_.as<float>(); }
  float* gradients() { return gradients_.as<float>(); }
  const float* gradients() const { return gradients_.as<float>(); }
  float* momenta() { return momenta_.as<float>(); }
  const float* momenta() const { return momenta_.as<float>(); }

 private:
  Parameter* add(const std::string& name, std::vector<std::int64_t> shape, bool ohwi, bool trained, bool adjacent);

  std::deque<Parameter> parameters_;  // addresses stay
  std::size_t trained_size_ = 0;      // floats, with gaps that keep tensors aligned; the gaps stay 0
  std::size_t state_size_ = 0;
  Buffer values_, gradients_, momenta_;
};

}  // namespace bitcycle
