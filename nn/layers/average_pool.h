// SPDX-License-Identifier: Apache-2.0
// AveragePoolLayer: the mean over all positions of each channel (docs/numerics.md, 6.5).
#pragma once

#include <string>

#include "nn/layers/layer.h"
#include "nn/layers/value.h"

namespace bitcycle {

class AveragePoolLayer : public Layer {
 public:
  AveragePoolLayer(const std::string& name, Value* input, Value* output)
      : name_(name), input_(input), output_(output) {}

  const std::string& name() const override { return name_; }
  void plan(MemoryPlan&) override {}
  void prepare(const StepContext&) override {}
  void forward(const StepContext& context) override;
  void backward(const StepContext& context) override;
  void inspect_forward(const StepContext&, StepFindings&) override {}
  void inspect_backward(const StepContext&, StepFindings&) override {}
  void describe(Workload&) const override {}

 private:
  std::string name_;
  Value* input_;   // (n, h, w, c)
  Value* output_;  // (n, 1, 1, c)
};

}  // namespace bitcycle
