// SPDX-License-Identifier: Apache-2.0
// QuantisedConv: a convolution in integer arithmetic (or float32, where the schedule says so) and the batch norm behind
// it: their parameters, what is kept from the forward pass for the backward pass, and the operations of both.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nn/layers/layer.h"
#include "nn/layers/parameter_store.h"
#include "nn/layers/value.h"
#include "sim/backend.h"

namespace bitcycle {

class QuantisedConv {
 public:
  /// `shape` is that of one sample; `index` counts the network's convolutions.
  QuantisedConv(const std::string& conv_name, const std::string& norm_name, const ConvShape& shape, int index,
                Value* input, ParameterStore& parameters);

  const std::string& name() const { return name_; }
  const ConvShape& shape() const { return shape_; }
  Value& input() const { return *input_; }

  /// `layer` is the layer that owns this convolution.
  void plan(MemoryPlan& plan, int layer);
  void prepare(const StepContext& context);
  /// y and, in training, its statistics.
  void forward(const StepContext& context);
  /// Training: the batch norm of this batch; the range of relu(norm(y)) where wanted.
  void prepare_norm(const StepContext& context, Range* relu_range);
  /// u: gradient at the batch norm's output, whose sums are complete. Leaves the gradients of all parameters and this
  /// convolution's contribution to its input's gradient.
  void backward(const StepContext& context, const float* u);
  void inspect_forward(const StepContext& context, StepFindings& findings);
  void inspect_backward(const StepContext& context, StepFindings& findings);
  void describe(Workload& workload) const;

  const float* y() const { return y_.as<float>(); }
  const NormChannel* norm() const { return norm_; }
  GradientJoin::Norm join_norm() { return {y(), norm_, sums_.as<NormGradientSums>()}; }

 private:
  ConvShape shape_of(std::int64_t batch) const;
  bool needs_error_pass() const { return input_->wants_gradient; }

  std::string name_, norm_name_;
  ConvShape shape_;  // n = 1
  int index_;
  Value* input_;
  std::uint32_t tensor_id_;

  Parameter* weight_;
  Parameter* gamma_;
  Parameter* beta_;
  Parameter* running_mean_;
  Parameter* running_variance_;
  Parameter* running_range_;  // {zero point, range}: this one and the parameter behind it

  std::unique_ptr<QuantisedWeights> weights_;
  Buffer codes_;             // of the input, kept for the weight gradient
  Buffer y_;                 // (n, out_h, out_w, o)
  Buffer statistics_;        // ChannelStatistics (o)
  Buffer sums_;              // NormGradientSums (o)
  Buffer gradient_;          // NormGradientChannel (o)
  void* g_codes_ = nullptr;  // scratch

  // Records that the host looks at.
  NormChannel* norm_ = nullptr;  // (o)
  Affine* affine_ = nullptr;     // of the input, of the gradient
  Range* g_range_ = nullptr;
  const NormChannel* host_norm_ = nullptr;
  const Affine* host_affine_ = nullptr;
  const Range* host_g_range_ = nullptr;
  std::uint32_t* weight_step_bound_ = nullptr;  // of the weights' codes, of the error pass's
  const std::uint32_t* host_weight_step_bound_ = nullptr;
};

}  // namespace bitcycle
