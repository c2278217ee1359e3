// SPDX-License-Identifier: Apache-2.0
// Classifier: a fully connected layer in float32 (docs/numerics.md, 6.2).
#pragma once

#include <string>

#include "nn/layers/layer.h"
#include "nn/layers/parameter_store.h"
#include "nn/layers/value.h"

namespace bitcycle {

class Classifier : public Layer {
 public:
  Classifier(const std::string& name, Value* input, Value* output, ParameterStore& parameters);

  const std::string& name() const override { return name_; }
  void plan(MemoryPlan&) override {}
  void prepare(const StepContext&) override {}
  void forward(const StepContext& context) override;
  void backward(const StepContext& context) override;
  void inspect_forward(const StepContext&, StepFindings&) override {}
  void inspect_backward(const StepContext&, StepFindings&) override {}
  void describe(Workload& workload) const override;

 private:
  std::string name_;
  Value* input_;   // (n, 1, 1, inputs)
  Value* output_;  // (n, 1, 1, classes): the logits
  Parameter* weight_;
  Parameter* bias_;
};

}  // namespace bitcycle
