// SPDX-License-Identifier: Apache-2.0
// The tensors of a training's state: names, shapes, and where they lie in the arenas that files and digests are made
// from (values; gradients and momenta of the trained ones).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace bitcycle {

/// How a parameter begins; kByKind: as docs/numerics.md, 8.4 has it for its name and shape.
struct InitialValues {
  enum class Kind : std::uint8_t {
    kByKind,
    kUniform,   // in (-scale, scale)
    kNormal,    // deviation `scale`
    kConstant,  // `scale`
  } kind = Kind::kByKind;
  double scale = 0.0;
};

/// A tensor of the training state, and how it looks in files.
struct Parameter {
  std::string name;                 // canonical, as in the paper's code: "conv1.weight"
  std::vector<std::int64_t> shape;  // canonical: OIHW for convolutions
  bool ohwi = false;                // device layout is OHWI, files are OIHW
  InitialValues initial = {};
  bool trained = true;     // false: running statistics and ranges (no gradient, no momentum)
  std::size_t offset = 0;  // in floats: trained ones in all three arenas, the others behind them in values
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
  /// All are known: positions of those that are not trained are behind the trained ones.
  void finish();

  /// How weights of convolutions and classifiers begin (docs/numerics.md, 8.4).
  enum class Initial : std::uint8_t { kNormal, kUniform };
  Initial initial = Initial::kNormal;

  const std::deque<Parameter>& all() const { return parameters_; }
  const Parameter* find(const std::string& name) const;
  std::int64_t trained_size() const { return static_cast<std::int64_t>(trained_size_); }
  std::int64_t size() const { return static_cast<std::int64_t>(trained_size_ + state_size_); }

 private:
  Parameter* add(const std::string& name, std::vector<std::int64_t> shape, bool ohwi, bool trained);

  std::deque<Parameter> parameters_;  // addresses stay
  std::size_t trained_size_ = 0;      // floats, with gaps that keep tensors aligned; the gaps stay 0
  std::size_t state_size_ = 0;
};

}  // namespace bitcycle
