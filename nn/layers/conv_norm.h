// SPDX-License-Identifier: Apache-2.0
// ConvNorm: z = [relu](norm(conv(input)) [+ shortcut]). The shortcut is a value as it is, or a projection: another
// convolution and batch norm without ReLU.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nn/layers/layer.h"
#include "nn/layers/quantised_conv.h"
#include "nn/layers/value.h"

namespace bitcycle {

class ConvNorm : public Layer {
 public:
  ConvNorm(int layer, std::unique_ptr<QuantisedConv> main, std::unique_ptr<QuantisedConv> projection, Value* shortcut,
           bool relu, Value* output);

  const std::string& name() const override { return main_->name(); }
  void plan(MemoryPlan& plan) override;
  void prepare(const StepContext& context) override;
  void forward(const StepContext& context) override;
  void backward(const StepContext& context) override;
  void inspect_forward(const StepContext& context, StepFindings& findings) override;
  void inspect_backward(const StepContext& context, StepFindings& findings) override;
  void describe(Workload& workload) const override;

 private:
  bool needs_mask_bits() const { return relu_ && (projection_ || shortcut_ != nullptr); }

  int layer_;
  std::unique_ptr<QuantisedConv> main_;
  std::unique_ptr<QuantisedConv> projection_;  // or null
  Value* shortcut_;                            // or null
  bool relu_;
  Value* output_;
  Buffer mask_;  // bits, where z cannot be recomputed from y
};

}  // namespace bitcycle
