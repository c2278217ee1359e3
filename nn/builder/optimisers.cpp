// SPDX-License-Identifier: Apache-2.0
// AdamW and NAG at the end of a step (docs/numerics.md, 9.4 and 9.5). First moments are momenta of the parameters;
// what else an optimiser keeps is state of its own: "square/NAME" and "learning rate before".
#include "nn/builder/builder.h"

namespace bitcycle::builder {

std::vector<std::string> Builder::trained_names() const {
  std::vector<std::string> names;
  for (const auto& parameter : result_->parameters.all()) {
    if (parameter.trained) names.push_back(parameter.name);
  }
  return names;
}

Tensor Builder::momentum_of(const std::string& parameter) {
  const Tensor value = result_->program.find(parameter);
  return tensor("momentum", parameter, Element::kFloat32, result_->program.spec(value).shape, Lifetime::kState);
}

void Builder::write_adamw(Tensor guard) {
  NetworkProgram& result = *result_;
  ops::Adamw op;
  op.rule = *options_.adamw;
  op.gradients = result.gradients;
  op.rate = result.rate;
  op.step = result.step;
  op.guard = guard;
  if (op.rule.clip > 0.0) {
    op.norm = result.gradient_norm = tensor("", "gradient norm", Element::kFloat64, {}, Lifetime::kReport);
  }
  for (const std::string& name : trained_names()) {
    const Tensor value = result.program.find(name);
    op.parameters.push_back(value);
    op.moments.push_back(momentum_of(name));
    const std::string square = "square/" + name;
    result.parameters.add_state(square, result.parameters.find(name)->shape);
    result.parameter_slices.push_back({square, 0});
    op.squares.push_back(tensor("", square, Element::kFloat32, result.program.spec(value).shape, Lifetime::kState));
  }
  write("", std::nullopt, op);
  watch_parameters(op.parameters);
}

void Builder::write_nag(Tensor guard) {
  NetworkProgram& result = *result_;
  ops::Nag op;
  op.rule = *options_.nag;
  op.gradients = result.gradients;
  op.rate = result.rate;
  op.guard = guard;
  op.rate_before = running("learning rate before", 1);
  if (op.rule.clip > 0.0) {
    op.norm = result.gradient_norm = tensor("", "gradient norm", Element::kFloat64, {}, Lifetime::kReport);
  }
  for (const std::string& name : trained_names()) {
    op.parameters.push_back(result.program.find(name));
    op.momenta.push_back(momentum_of(name));
  }
  write("", std::nullopt, op);
  watch_parameters(op.parameters);
}

}  // namespace bitcycle::builder
