// SPDX-License-Identifier: Apache-2.0
#include "nn/models/state.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>

#include "nn/io/layout.h"
#include "nn/models/tensor_id.h"
#include "sim/number/elementary.h"
#include "sim/number/philox.h"

namespace bitcycle {
namespace {

/// Which of a parameter's tensors.
enum class Part : std::uint8_t { kValue, kGradient, kMomentum };

/// The tensor of a parameter in canonical order, from the order of an arena, and back.
std::vector<float> to_canonical(const Parameter& parameter, std::vector<float>&& tensor) {
  const auto& shape = parameter.shape;
  return parameter.ohwi ? channels_first(tensor, shape[1], shape[2] * shape[3]) : std::move(tensor);
}

void from_canonical(const Parameter& parameter, const std::vector<float>& tensor, std::vector<float>& arena) {
  const auto& shape = parameter.shape;
  const auto device = parameter.ohwi ? channels_last(tensor, shape[1], shape[2] * shape[3]) : tensor;
  std::copy(device.begin(), device.end(), arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
}

using Visit = std::function<void(const std::string& name, const Parameter& parameter, std::vector<float>&& canonical)>;

void visit_part(StateArenas& state, Part part, const Visit& visit) {
  const std::vector<float> gradients = part == Part::kGradient ? state.gradients() : std::vector<float>{};
  for (const auto& parameter : state.parameters().all()) {
    if (part != Part::kValue && !parameter.trained) continue;
    if (part == Part::kMomentum && !state.keeps_momenta()) break;
    std::vector<float> tensor;
    if (part == Part::kGradient) {
      const auto first = gradients.begin() + static_cast<std::ptrdiff_t>(parameter.offset);
      tensor.assign(first, first + parameter.size());
    } else {
      tensor = part == Part::kValue ? state.value_of(parameter) : state.momentum_of(parameter);
    }
    visit(part == Part::kMomentum ? momentum_name(parameter.name) : parameter.name, parameter,
          to_canonical(parameter, std::move(tensor)));
  }
}

std::string file_shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// Names of a file without the prefix "module.", which a data-parallel wrapper puts before every name.
std::map<std::string, const NamedTensor*> by_name(const TensorFile& file) {
  static const std::string kPrefix = "module.";
  std::map<std::string, const NamedTensor*> tensors;
  for (const auto& tensor : file.tensors) {
    if (tensor.name.starts_with(kAveragedPrefix)) continue;
    const bool prefixed = tensor.name.compare(0, kPrefix.size(), kPrefix) == 0;
    tensors.emplace(prefixed ? tensor.name.substr(kPrefix.size()) : tensor.name, &tensor);
  }
  return tensors;
}

/// Tensors of layers that the model does not have: those of a larger model. A tensor that a layer of the model does not
/// use, as the paper's code keeps some, is none.
std::vector<std::string> foreign_tensors(const ParameterStore& store,
                                         const std::map<std::string, const NamedTensor*>& tensors) {
  const auto layer_of = [](const std::string& name) { return name.substr(0, name.find('.')); };
  std::set<std::string> layers;
  for (const auto& parameter : store.all()) layers.insert(layer_of(parameter.name));
  std::vector<std::string> foreign;
  for (const auto& [name, tensor] : tensors) {
    if (layers.count(layer_of(name.rfind(momentum_name(""), 0) == 0 ? name.substr(momentum_name("").size()) : name)) ==
        0) {
      foreign.push_back(name);
    }
  }
  return foreign;
}

void load(StateArenas& state, const TensorFile& file, const std::string& origin, bool whole) {
  const ParameterStore& store = state.parameters();
  const auto tensors = by_name(file);
  auto values = state.values();
  auto momenta = state.momenta();
  std::vector<std::string> missing, wrong;
  const auto take = [&](const std::string& name, const Parameter& parameter, bool needed, std::vector<float>& arena) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      if (needed) missing.push_back(name);
      return;
    }
    const NamedTensor& tensor = *found->second;
    if (tensor.shape != parameter.shape) {
      wrong.push_back(name + " is " + file_shape_text(tensor.shape) + ", the model's " +
                      file_shape_text(parameter.shape));
    } else if (!std::all_of(tensor.data.begin(), tensor.data.end(), [](float x) { return std::isfinite(x); })) {
      wrong.push_back(name + " holds a number that is not finite");
    } else {
      from_canonical(parameter, tensor.data, arena);
    }
  };
  for (const auto& parameter : store.all()) {
    take(parameter.name, parameter, whole || parameter.trained, values);
    if (whole && parameter.trained && state.keeps_momenta())
      take(momentum_name(parameter.name), parameter, true, momenta);
  }
  const auto foreign = foreign_tensors(store, tensors);
  if (!missing.empty() || !wrong.empty() || !foreign.empty()) {
    std::string text = origin + " does not fit the model " + state.model();
    const auto list = [&](const std::string& title, const std::vector<std::string>& items) {
      if (items.empty()) return;
      text += "\n  " + title;
      for (std::size_t i = 0; i < items.size() && i < 8; ++i) text += (i == 0 ? " " : "; ") + items[i];
      if (items.size() > 8) text += "; and " + std::to_string(items.size() - 8) + " more";
    };
    list("missing:", missing);
    list("wrong:", wrong);
    list("of layers that the model does not have:", foreign);
    throw std::runtime_error(text);
  }
  state.set_values(values);
  state.set_momenta(momenta);
}

/// Normal deviates of a tensor's stream, canonical order, times `deviation` (8.4).
std::vector<float> normal_weights(const Parameter& parameter, std::uint64_t seed, double deviation) {
  constexpr double kTwoPi = 0x1.921fb54442d18p+2;
  const auto stream = philox_stream(seed, 0, RandomPurpose::kInitialisation, tensor_id(parameter.name));
  std::vector<float> values(static_cast<std::size_t>(parameter.size()));
  for (std::size_t pair = 0; 2 * pair < values.size(); ++pair) {
    const PhiloxBlock block = philox_block(stream, pair);
    const double u1 = (static_cast<double>(block.word[0]) + 1.0) * 0x1p-32;
    const double u2 = static_cast<double>(block.word[1]) * 0x1p-32;
    const double radius = std::sqrt(-2.0 * log_f64(u1));
    const double angle = kTwoPi * u2;
    values[2 * pair] = static_cast<float>(radius * cos_f64(angle) * deviation);
    if (2 * pair + 1 < values.size()) values[2 * pair + 1] = static_cast<float>(radius * sin_f64(angle) * deviation);
  }
  return values;
}

/// Uniform in (-1, 1) as `scaled` has it (8.4).
template <typename Scale>
std::vector<float> uniform_scaled(const Parameter& parameter, std::uint64_t seed, const Scale& scaled) {
  const auto stream = philox_stream(seed, 0, RandomPurpose::kInitialisation, tensor_id(parameter.name));
  std::vector<float> values(static_cast<std::size_t>(parameter.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double word = static_cast<double>(philox_word(stream, i));
    values[i] = static_cast<float>(scaled(word * 0x1p-32 * 2.0 - 1.0));
  }
  return values;
}

/// Uniform in (-limit, limit), limit = 1 / sqrt(inputs) (8.4).
std::vector<float> uniform_values(const Parameter& parameter, std::uint64_t seed, double inputs) {
  return uniform_scaled(parameter, seed, [&](double u) { return u / std::sqrt(inputs); });
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::vector<float> initial_values(const ParameterStore& store, const Parameter& parameter, std::uint64_t seed) {
  const auto& shape = parameter.shape;
  const auto constant = [&](float x) { return std::vector<float>(static_cast<std::size_t>(parameter.size()), x); };
  if (!parameter.trained) return constant(ends_with(parameter.name, ".running_var") ? 1.0F : 0.0F);
  const double scale = parameter.initial.scale;
  switch (parameter.initial.kind) {
    case InitialValues::Kind::kByKind: break;
    case InitialValues::Kind::kUniform: return uniform_scaled(parameter, seed, [&](double u) { return u * scale; });
    case InitialValues::Kind::kNormal: return normal_weights(parameter, seed, scale);
    case InitialValues::Kind::kConstant: return constant(static_cast<float>(scale));
  }
  if (store.initial == ParameterStore::Initial::kUniform && shape.size() >= 2) {
    return uniform_values(parameter, seed, static_cast<double>(parameter.size() / shape[0]));
  }
  if (shape.size() == 4) {
    const double fan = static_cast<double>(shape[2] * shape[3] * shape[0]);
    return normal_weights(parameter, seed, std::sqrt(2.0 / fan));
  }
  if (shape.size() == 2) {
    return normal_weights(parameter, seed, std::sqrt(2.0 / static_cast<double>(shape[0] * shape[1])));
  }
  if (!ends_with(parameter.name, ".bias")) return constant(1.0F);
  const Parameter* weight = store.find(parameter.name.substr(0, parameter.name.size() - 5) + ".weight");
  const bool classifier = weight != nullptr && weight->shape.size() == 2;
  return classifier ? uniform_values(parameter, seed, static_cast<double>(weight->shape[1])) : constant(0.0F);
}

}  // namespace

std::string momentum_name(const std::string& parameter) { return "momentum/" + parameter; }

void initialise(StateArenas& state, std::uint64_t seed) {
  const ParameterStore& store = state.parameters();
  std::vector<float> values(static_cast<std::size_t>(store.size()));
  for (const auto& parameter : store.all()) {
    from_canonical(parameter, initial_values(store, parameter, seed), values);
  }
  state.set_values(values);
  state.set_momenta(std::vector<float>(static_cast<std::size_t>(store.trained_size())));
}

std::vector<NamedTensor> save_state(StateArenas& state) {
  std::vector<NamedTensor> tensors;
  const Visit add = [&](const std::string& name, const Parameter& parameter, std::vector<float>&& canonical) {
    tensors.push_back({name, parameter.shape, std::move(canonical)});
  };
  visit_part(state, Part::kValue, add);
  visit_part(state, Part::kMomentum, add);
  return tensors;
}

std::vector<TensorEntry> state_entries(StateArenas& state) {
  std::vector<TensorEntry> entries;
  const auto add = [&](const std::string& name, const Parameter& parameter) {
    entries.push_back({name, "F32", parameter.shape, sizeof(float) * static_cast<std::uint64_t>(parameter.size())});
  };
  for (const auto& parameter : state.parameters().all()) add(parameter.name, parameter);
  for (const auto& parameter : state.parameters().all()) {
    if (parameter.trained && state.keeps_momenta()) add(momentum_name(parameter.name), parameter);
  }
  return entries;
}

void visit_state(StateArenas& state, const std::function<void(const std::vector<float>& canonical)>& visit) {
  const Visit each = [&](const std::string&, const Parameter&, std::vector<float>&& canonical) { visit(canonical); };
  visit_part(state, Part::kValue, each);
  visit_part(state, Part::kMomentum, each);
}

std::vector<NamedTensor> save_gradients(StateArenas& state) {
  std::vector<NamedTensor> tensors;
  visit_part(state, Part::kGradient,
             [&](const std::string& name, const Parameter& parameter, std::vector<float>&& canonical) {
               tensors.push_back({name, parameter.shape, std::move(canonical)});
             });
  return tensors;
}

void load_weights(StateArenas& state, const TensorFile& file, const std::string& origin) {
  load(state, file, origin, false);
}

void load_state(StateArenas& state, const TensorFile& file, const std::string& origin) {
  load(state, file, origin, true);
}

StateDigest digest_state(StateArenas& state) {
  StateDigest digest;
  const Visit add = [&](const std::string& name, const Parameter&, std::vector<float>&& canonical) {
    digest.tensors.emplace_back(name, digest_of(canonical));
  };
  visit_part(state, Part::kValue, add);
  visit_part(state, Part::kMomentum, add);
  std::sort(digest.tensors.begin(), digest.tensors.end());
  RootDigest root;
  for (const auto& [name, tensor] : digest.tensors) root.add(name, tensor);
  digest.root = root.value();
  return digest;
}

std::string non_finite_state(StateArenas& state) {
  std::string first;
  const Visit look = [&](const std::string& name, const Parameter&, std::vector<float>&& canonical) {
    const bool finite = std::all_of(canonical.begin(), canonical.end(), [](float x) { return std::isfinite(x); });
    if (!finite && first.empty()) first = name;
  };
  visit_part(state, Part::kValue, look);
  visit_part(state, Part::kMomentum, look);
  return first;
}

}  // namespace bitcycle
