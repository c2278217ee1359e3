// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/conv_norm.h"

#include <utility>

namespace bitcycle {

ConvNorm::ConvNorm(int layer, std::unique_ptr<QuantisedConv> main, std::unique_ptr<QuantisedConv> projection,
                   Value* shortcut, bool relu, Value* output)
    : layer_(layer),
      main_(std::move(main)),
      projection_(std::move(projection)),
      shortcut_(shortcut),
      relu_(relu),
      output_(output) {}

void ConvNorm::plan(MemoryPlan& plan) {
  main_->plan(plan, layer_);
  if (projection_) projection_->plan(plan, layer_);
  if (needs_mask_bits()) {
    const auto words = static_cast<std::size_t>((output_->elements(plan.batch) + 31) / 32);
    mask_ = Buffer(plan.backend, words * sizeof(std::uint32_t));
  }
}

void ConvNorm::prepare(const StepContext& context) {
  main_->prepare(context);
  if (projection_) projection_->prepare(context);
}

void ConvNorm::forward(const StepContext& context) {
  output_->y = main_->y();
  output_->norm = main_->norm();
  output_->mask_bits = mask_.as<std::uint32_t>();
  output_->norms[0] = main_->join_norm();
  if (projection_) output_->norms[1] = projection_->join_norm();

  if (projection_) projection_->forward(context);
  main_->forward(context);
  if (context.training) {
    if (projection_) projection_->prepare_norm(context, nullptr);
    main_->prepare_norm(context, output_->fused ? output_->range : nullptr);
  }
  if (output_->fused) return;

  NormForward norm;
  norm.positions = context.batch * output_->h * output_->w;
  norm.channels = output_->c;
  norm.y = main_->y();
  norm.norm = main_->norm();
  if (projection_) {
    norm.shortcut = projection_->y();
    norm.shortcut_norm = projection_->norm();
  } else if (shortcut_ != nullptr) {
    norm.shortcut = shortcut_->z;
  }
  norm.relu = relu_;
  norm.z = output_->z;
  if (context.training) {
    norm.mask_bits = mask_.as<std::uint32_t>();
    norm.range = output_->range;
  }
  context.backend.norm_forward(norm);
}

void ConvNorm::backward(const StepContext& context) {
  // The projection first: where both read one value, its contribution is the second of the sum.
  if (projection_) projection_->backward(context, output_->u);
  main_->backward(context, output_->u);
}

void ConvNorm::inspect_forward(const StepContext& context, StepFindings& findings) {
  if (projection_) projection_->inspect_forward(context, findings);
  main_->inspect_forward(context, findings);
}

void ConvNorm::inspect_backward(const StepContext& context, StepFindings& findings) {
  if (projection_) projection_->inspect_backward(context, findings);
  main_->inspect_backward(context, findings);
}

void ConvNorm::describe(Workload& workload) const {
  main_->describe(workload);
  if (projection_) projection_->describe(workload);
}

}  // namespace bitcycle
