// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/quantised_conv.h"

#include "nn/layers/tensor_id.h"
#include "sim/number/ordered_key.h"

namespace bitcycle {
namespace {

bool is_finite(const Range& range) { return is_finite_bits(range.lo) && is_finite_bits(range.hi); }

void found(StepFindings& findings, const std::string& tensor) {
  if (findings.non_finite.empty()) findings.non_finite = tensor;
}

}  // namespace

QuantisedConv::QuantisedConv(const std::string& conv_name, const std::string& norm_name, const ConvShape& shape,
                             int index, Value* input, ParameterStore& parameters)
    : name_(conv_name),
      norm_name_(norm_name),
      shape_(shape),
      index_(index),
      input_(input),
      tensor_id_(tensor_id(conv_name + ".weight")) {
  check_shape(shape_);
  weight_ = parameters.add_trained(name_ + ".weight", {shape.o, shape.c_per_group(), shape.kh, shape.kw}, true);
  gamma_ = parameters.add_trained(norm_name + ".weight", {shape.o});
  beta_ = parameters.add_trained(norm_name + ".bias", {shape.o});
  running_mean_ = parameters.add_state(norm_name + ".running_mean", {shape.o});
  running_variance_ = parameters.add_state(norm_name + ".running_var", {shape.o});
  running_range_ = parameters.add_state(name_ + ".quantize_input.running_zero_point", {1, 1, 1, 1});
  parameters.add_adjacent_state(name_ + ".quantize_input.running_range", {1, 1, 1, 1});
}

ConvShape QuantisedConv::shape_of(std::int64_t batch) const {
  ConvShape shape = shape_;
  shape.n = batch;
  return shape;
}

void QuantisedConv::plan(MemoryPlan& plan, int layer) {
  Backend& backend = plan.backend;
  const ConvShape shape = shape_of(plan.batch);
  const LayerWidths widest = plan.widest[index_];
  const auto inputs = static_cast<std::size_t>(shape.input_size());
  const auto outputs = static_cast<std::size_t>(shape.output_size());
  const auto channels = static_cast<std::size_t>(shape.o);
  weights_ = backend.make_weights(shape);
  codes_ = Buffer(backend, inputs * bytes_of(widest.forward.container()));
  y_ = Buffer(backend, outputs * sizeof(float));
  statistics_ = Buffer(backend, channels * sizeof(ChannelStatistics));
  sums_ = Buffer(backend, channels * sizeof(NormGradientSums));
  gradient_ = Buffer(backend, channels * sizeof(NormGradientChannel));
  const int event = plan.backward_event(layer);
  plan.scratch.add(&g_codes_, outputs * bytes_of(widest.gradient.container()), event, event);
  plan.records.add(&norm_, &host_norm_, channels);
  plan.records.add(&affine_, &host_affine_, 2);
  plan.records.add(&g_range_, &host_g_range_, 1);
  plan.records.add(&weight_step_bound_, &host_weight_step_bound_, 2);
}

void QuantisedConv::prepare(const StepContext& context) {
  const QuantisationOptions& options = context.quantisation;
  const BitWidth width = context.widths[index_].forward;
  QuantiseWeights quantise;
  quantise.master = weight_->value;
  quantise.width = width;
  quantise.reading = options.error_weights;
  quantise.error_grid_bits = options.error_grid_bits;
  quantise.min_scale = options.min_scale;
  quantise.for_error_pass = context.training && needs_error_pass();
  quantise.step_bound = weight_step_bound_;
  context.backend.quantise_weights(quantise, *weights_);
  if (context.training) return;
  ActivationScale scale;
  scale.running = running_range_->value;
  scale.training = false;
  scale.width = width;
  scale.min_scale = options.min_scale;
  scale.affine = &affine_[0];
  context.backend.activation_scale(scale);
  context.backend.norm_from_running(shape_.o, running_mean_->value, running_variance_->value, gamma_->value,
                                    beta_->value, norm_);
}

void QuantisedConv::forward(const StepContext& context) {
  const BitWidth width = context.widths[index_].forward;
  if (context.training) {
    ActivationScale scale;
    scale.now = input_->range;
    scale.running = running_range_->value;
    scale.width = width;
    scale.min_scale = context.quantisation.min_scale;
    scale.affine = &affine_[0];
    context.backend.activation_scale(scale);
  }
  ConvForward forward;
  forward.input = input_->source();
  forward.codes = {codes_.as<void>(), &affine_[0], width};
  forward.weights = weights_.get();
  forward.shape = shape_of(context.batch);
  forward.y = y_.as<float>();
  forward.statistics = context.training ? statistics_.as<ChannelStatistics>() : nullptr;
  forward.input_range = input_->range;
  context.backend.conv_forward(forward);
}

void QuantisedConv::prepare_norm(const StepContext& context, Range* relu_range) {
  NormPrepare prepare;
  prepare.channels = shape_.o;
  prepare.count = static_cast<std::uint64_t>(context.batch * shape_.out_h() * shape_.out_w());
  prepare.statistics = statistics_.as<ChannelStatistics>();
  prepare.gamma = gamma_->value;
  prepare.beta = beta_->value;
  prepare.running_mean = running_mean_->value;
  prepare.running_variance = running_variance_->value;
  prepare.norm = norm_;
  prepare.relu_range = relu_range;
  context.backend.norm_prepare(prepare);
}

void QuantisedConv::backward(const StepContext& context, const float* u) {
  const ConvShape shape = shape_of(context.batch);
  const std::int64_t positions = shape.n * shape.out_h() * shape.out_w();
  const QuantisationOptions& options = context.quantisation;
  const LayerWidths widths = context.widths[index_];

  NormGradientPrepare prepare;
  prepare.channels = shape.o;
  prepare.count = static_cast<std::uint64_t>(positions);
  prepare.norm = norm_;
  prepare.sums = sums_.as<NormGradientSums>();
  prepare.gradient = gradient_.as<NormGradientChannel>();
  prepare.dgamma = gamma_->gradient;
  prepare.dbeta = beta_->gradient;
  context.backend.norm_gradient_prepare(prepare);

  ConvBackward backward;
  backward.gradient = {u, y(), norm_, gradient_.as<NormGradientChannel>()};
  context.backend.gradient_scale(backward.gradient, positions, shape.o, widths.gradient, options.min_scale,
                                 options.zero_on_grid, g_range_, &affine_[1]);

  backward.g = {g_codes_, &affine_[1], widths.gradient};
  backward.g_range = g_range_;
  backward.stochastic = options.stochastic;
  backward.noise = philox_stream(context.seed, static_cast<std::uint32_t>(context.step),
                                 RandomPurpose::kGradientRounding, tensor_id_);
  backward.x = {codes_.as<void>(), &affine_[0], widths.forward};
  backward.x_range = input_->range;
  backward.weights = weights_.get();
  backward.shape = shape;
  backward.dw = weight_->gradient;
  GradientJoin join;
  if (needs_error_pass()) {
    if (input_->is_side_reader(index_)) {
      backward.dx = input_->side;
      backward.dx_bound = input_->side_bound;
    } else {
      join = input_->join();
      backward.join = &join;
    }
  }
  context.backend.conv_backward(backward);
}

void QuantisedConv::inspect_forward(const StepContext& context, StepFindings& findings) {
  if (!is_finite(*input_->host_range)) found(findings, "input of " + name_);
  for (std::int64_t o = 0; o < shape_.o; ++o) {
    if (!is_finite_bits(host_norm_[o].t_bound) || !is_finite_bits(host_norm_[o].a)) {
      found(findings, "output of " + name_ + ", channel " + std::to_string(o));
      break;
    }
  }
  const BitWidth width = context.widths[index_].forward;
  if (!width.is_integer()) return;
  findings.min_scale_bound += host_affine_[0].step_bound + host_weight_step_bound_[0] + host_weight_step_bound_[1];
}

void QuantisedConv::inspect_backward(const StepContext& context, StepFindings& findings) {
  if (!is_finite(*host_g_range_)) found(findings, "gradient at the output of " + name_);
  if (context.widths[index_].gradient.is_integer()) findings.min_scale_bound += host_affine_[1].step_bound;
}

void QuantisedConv::describe(Workload& workload) const {
  MatrixOperation operation;
  operation.layer = name_;
  operation.shape = shape_;
  operation.input_gradient = needs_error_pass();
  workload.matrix.push_back(operation);
  workload.elementwise.push_back({norm_name_, "batch_norm", shape_.output_size()});
}

}  // namespace bitcycle
