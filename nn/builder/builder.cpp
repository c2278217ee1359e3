// SPDX-License-Identifier: Apache-2.0
#include "nn/builder/builder.h"

#include <stdexcept>
#include <utility>

#include "nn/models/tensor_id.h"

namespace bitcycle::builder {

Builder::Builder(const std::string& model, Options options)
    : options_(std::move(options)), result_(std::make_unique<NetworkProgram>(model, options_.batch)) {
  if (!options_.training) return;
  result_->step = tensor("", "step", Element::kUint32, {}, Lifetime::kInput);
  if (options_.optimises()) result_->rate = tensor("", "learning rate", Element::kFloat32, {}, Lifetime::kInput);
}

Value* Builder::value(const std::string& layer, Tensor tensor, std::int64_t h, std::int64_t w, std::int64_t c) {
  Value& value = values_.emplace_back();
  value.layer = layer;
  value.tensor = tensor;
  value.h = h;
  value.w = w;
  value.c = c;
  return &value;
}

Tensor Builder::tensor(const std::string& layer, const std::string& what, Element element,
                       std::vector<std::int64_t> shape, Lifetime lifetime) {
  TensorSpec spec;
  spec.name = layer.empty() ? what : layer + "/" + what;
  spec.element = element;
  spec.shape = std::move(shape);
  spec.lifetime = lifetime;
  return result_->program.add(std::move(spec));
}

Tensor Builder::samples(const std::string& layer, const std::string& what, Element element,
                        std::vector<std::int64_t> shape, Lifetime lifetime) {
  TensorSpec spec;
  spec.name = layer.empty() ? what : layer + "/" + what;
  spec.element = element;
  spec.shape = std::move(shape);
  spec.lifetime = lifetime;
  spec.sample_axis = 0;
  return result_->program.add(std::move(spec));
}

Value* Builder::images(std::int64_t h, std::int64_t w, std::int64_t c) {
  NetworkProgram& result = *result_;
  result.image_h = h;
  result.image_w = w;
  result.image_c = c;
  const Lifetime lifetime = options_.stored_images ? Lifetime::kStep : Lifetime::kInput;
  result.images = samples("", "images", Element::kFloat32, {batch(), h, w, c}, lifetime);
  result.labels = samples("", "labels", Element::kInt32, {batch()}, lifetime);
  if (options_.stored_images) load_images(*options_.stored_images);
  Value* images = value("images", result.images, h, w, c);
  images->wants_gradient = false;
  return images;
}

void Builder::load_images(const StoredImages& set) {
  NetworkProgram& result = *result_;
  const auto state = [&](const std::string& name, Element element, std::vector<std::int64_t> shape) {
    return tensor("", name, element, std::move(shape), Lifetime::kState);
  };
  result.first_index = tensor("", "first index", Element::kUint32, {}, Lifetime::kInput);
  ops::LoadImages load;
  load.pixels =
      state(set.name + " pixels", Element::kUint8, {set.count, result.image_h, result.image_w, result.image_c});
  load.set_labels = state(set.name + " labels", Element::kInt32, {set.count});
  load.indices = state(set.name + " indices", Element::kImageIndex, {set.indices});
  load.values = state("pixel values", Element::kFloat32, {3, 256});
  load.first = result.first_index;
  load.x = result.images;
  load.labels = result.labels;
  load.augment = set.augment;
  load.seed = options_.seed;
  write("images", std::nullopt, load);
}

Builder::Parameter Builder::trained(const std::string& name, std::vector<std::int64_t> shape,
                                    std::vector<std::int64_t> device_shape, bool ohwi, const InitialValues& initial) {
  result_->parameters.add_trained(name, std::move(shape), ohwi)->initial = initial;
  result_->parameter_slices.push_back({name, 0});
  Parameter parameter;
  parameter.value = tensor("", name, Element::kFloat32, device_shape, Lifetime::kState);
  if (!training() || !options_.backward) return parameter;
  parameter.gradient = tensor("gradient", name, Element::kFloat32, std::move(device_shape));
  result_->gradients.push_back(parameter.gradient);
  return parameter;
}

Tensor Builder::running(const std::string& name, std::int64_t size) {
  result_->parameters.add_state(name, {size});
  result_->parameter_slices.push_back({name, 0});
  return tensor("", name, Element::kFloat32, {size}, Lifetime::kState);
}

Tensor Builder::running_range(const std::string& layer, std::size_t dimensions, const std::string& operand) {
  const std::string name = layer + "." + operand + ".";
  const std::vector<std::int64_t> shape(dimensions, 1);
  result_->parameters.add_state(name + "running_zero_point", shape);
  result_->parameters.add_state(name + "running_range", shape);
  const Tensor running = tensor("", name + "running", Element::kFloat32, {2}, Lifetime::kState);
  result_->parameter_slices.push_back({name + "running", 0});
  result_->parameter_slices.push_back({name + "running", 1});
  return running;
}

Tensor Builder::range_of(Value* value) {
  if (!value->range) {
    const std::string& name = result_->program.spec(value->tensor).name;
    value->range = tensor(name, "range", Element::kRange, {}, Lifetime::kReport);
    write(value->layer, Pass::kForward, ops::Range{value->tensor, *value->range, ops::one_group()});
  }
  return *value->range;
}

Tensor Builder::magnitude_of(const std::string& layer, const std::string& what, Pass pass, Tensor x) {
  const Tensor bound = tensor(layer, what, Element::kFloat32);
  write(layer, pass, ops::Magnitude{x, bound});
  return bound;
}

void Builder::backward(std::function<void()> write) {
  if (training() && options_.backward) backward_.push_back(std::move(write));
}

void Builder::contribute(Value* value, Gradient part) {
  if (value->wants_gradient) value->contributions.push_back(std::move(part));
}

Gradient Builder::gradient(Value* value) {
  auto& parts = value->contributions;
  const std::string name = result_->program.spec(value->tensor).name;
  if (parts.empty()) throw std::logic_error("nothing reads " + name + ", so it has no gradient");
  const auto exact = [this, name, layer = value->layer](const std::string& what, Tensor x) -> Bound {
    return [this, name, layer, what, x] {
      const Tensor bound = tensor(name, what + " magnitude", Element::kFloat32);
      write(layer, Pass::kError, ops::Magnitude{x, bound});
      return bound;
    };
  };
  Gradient whole = parts.front();
  if (!whole.bound) whole.bound = exact("gradient", whole.tensor);
  // The first reader's part comes last; its own bound and the exact one of the rest bound the sum.
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string number = parts.size() == 2 ? "" : " " + std::to_string(i);
    Gradient sum;
    sum.tensor = samples(name, "gradient" + number, Element::kFloat32, result_->program.spec(value->tensor).shape);
    write(value->layer, Pass::kError, ops::Add{parts[i].tensor, whole.tensor, sum.tensor});
    const Bound own = parts[i].bound ? parts[i].bound : exact("part" + number, parts[i].tensor);
    const Bound rest = exact("rest" + number, whole.tensor);
    sum.bound = [this, name, number, own, rest, layer = value->layer] {
      const Tensor a = own(), b = rest();
      const Tensor bound = tensor(name, "gradient" + number + " bound", Element::kFloat64);
      write(layer, Pass::kError, ops::SumBound{a, b, bound});
      return bound;
    };
    whole = sum;
  }
  // Written once, however many ask.
  whole.bound = [made = std::make_shared<Tensor>(), make = whole.bound] {
    if (!*made) *made = make();
    return *made;
  };
  return whole;
}

void Builder::write_sgd() {
  NetworkProgram& result = *result_;
  const auto position = [&](const std::string& what) {
    return tensor("", what, Element::kInt64, {}, Lifetime::kReport);
  };
  const Tensor gradients_position = position("gradients not finite");
  write("", std::nullopt, ops::FindNonFinite{result.gradients, gradients_position});
  result.watches.push_back({Watch::What::kPosition, gradients_position, "gradient of ", true});
  if (options_.adamw) write_adamw(gradients_position);
  if (options_.nag) write_nag(gradients_position);
  if (!options_.sgd) return;
  if (options_.sgd->plateau) running(kPlateauState, 2);
  if (options_.sgd->clip > 0.0) {
    ops::SgdClipped sgd;
    sgd.gradients = result.gradients;
    sgd.rate = result.rate;
    sgd.guard = gradients_position;
    sgd.clip = options_.sgd->clip;
    sgd.norm = result.gradient_norm = tensor("", "gradient norm", Element::kFloat64, {}, Lifetime::kReport);
    for (const auto& parameter : result.parameters.all()) {
      if (parameter.trained) sgd.parameters.push_back(result.program.find(parameter.name));
    }
    write("", std::nullopt, sgd);
    return watch_parameters(sgd.parameters);
  }
  ops::SgdUpdate sgd;
  sgd.gradients = result.gradients;
  sgd.rate = result.rate;
  sgd.guard = gradients_position;
  sgd.momentum = options_.sgd->momentum;
  sgd.weight_decay = options_.sgd->weight_decay;
  for (const auto& parameter : result.parameters.all()) {
    if (!parameter.trained) continue;
    const Tensor value = result.program.find(parameter.name);
    sgd.parameters.push_back(value);
    sgd.momenta.push_back(
        tensor("momentum", parameter.name, Element::kFloat32, result.program.spec(value).shape, Lifetime::kState));
  }
  write("", std::nullopt, sgd);
  watch_parameters(sgd.parameters);
}

void Builder::watch_parameters(const std::vector<Tensor>& parameters) {
  const Tensor position = tensor("", "parameters not finite", Element::kInt64, {}, Lifetime::kReport);
  write("", std::nullopt, ops::FindNonFinite{parameters, position});
  result_->watches.push_back({Watch::What::kPosition, position, "", true});
}

std::unique_ptr<NetworkProgram> Builder::finish() {
  if (!result_->loss) throw std::logic_error("model " + result_->program.name() + " has no loss");
  std::vector<std::string> names;
  for (const auto& parameter : result_->parameters.all()) names.push_back(parameter.name);
  check_tensor_ids(names);
  if (training() && options_.backward) {
    for (auto write = backward_.rbegin(); write != backward_.rend(); ++write) (*write)();
    write_sgd();
  }
  result_->parameters.finish();
  result_->program.validate();
  return std::move(result_);
}

}  // namespace bitcycle::builder
