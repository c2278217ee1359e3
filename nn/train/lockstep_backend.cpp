// SPDX-License-Identifier: Apache-2.0
#include "nn/train/lockstep_backend.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace bitcycle {
namespace {

/// Weights on both.
struct LockstepWeights final : QuantisedWeights {
  using QuantisedWeights::QuantisedWeights;
  std::unique_ptr<QuantisedWeights> of[2];
  const float* master = nullptr;
};

LockstepWeights& pair(QuantisedWeights& weights) { return static_cast<LockstepWeights&>(weights); }
const LockstepWeights& pair(const QuantisedWeights* weights) { return static_cast<const LockstepWeights&>(*weights); }

std::string text_of(const std::byte* bytes, std::size_t each, bool is_float) {
  std::string hex;
  for (std::size_t i = each; i-- > 0;) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(bytes[i]));
    hex += two;
  }
  if (is_float && each == sizeof(float)) {
    float value = 0.0F;
    std::memcpy(&value, bytes, sizeof value);
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
    return std::string(text) + " (0x" + hex + ")";
  }
  return "0x" + hex;
}

}  // namespace

void* LockstepBackend::allocate(std::size_t bytes) {
  void* a = first_.allocate(bytes);
  void* b = second_.allocate(bytes);
  memory_[static_cast<const std::byte*>(a)] = {static_cast<std::byte*>(b), bytes};
  return a;
}
void LockstepBackend::release(void* data) noexcept {
  const auto known = memory_.find(static_cast<const std::byte*>(data));
  if (known == memory_.end()) return;
  second_.release(known->second.mate);
  memory_.erase(known);
  first_.release(data);
}
const void* LockstepBackend::mate_of(const void* p) const {
  if (p == nullptr) return nullptr;
  const auto* at = static_cast<const std::byte*>(p);
  auto found = memory_.upper_bound(at);
  if (found != memory_.begin() &&
      static_cast<std::size_t>(at - std::prev(found)->first) <= std::prev(found)->second.bytes) {
    --found;
    return found->second.mate + (at - found->first);
  }
  throw std::logic_error("an operation was given memory that its backend did not allocate");
}
void LockstepBackend::to_device(void* device, const void* host, std::size_t bytes) {
  first_.to_device(device, host, bytes);
  second_.to_device(mate(device), host, bytes);
}
void LockstepBackend::fill_zero(void* device, std::size_t bytes) {
  first_.fill_zero(device, bytes);
  second_.fill_zero(mate(device), bytes);
}
void LockstepBackend::synchronise() {
  first_.synchronise();
  second_.synchronise();
}

void LockstepBackend::move(Operand& operand) const {
  move(operand.codes);
  move(operand.affine);
}
void LockstepBackend::move(ConvGradient& gradient) const {
  move(gradient.u);
  move(gradient.y);
  move(gradient.norm);
  move(gradient.gradient);
}
void LockstepBackend::move(GradientJoin& join) const {
  move(join.other);
  move(join.other_bound);
  move(join.mask_y);
  move(join.mask_norm);
  move(join.mask_bits);
  move(join.u);
  move(join.u_bound);
  for (auto& norm : join.norm) {
    move(norm.y);
    move(norm.channels);
    move(norm.sums);
  }
}

void LockstepBackend::begin(const std::string& operation, const void* named, const std::string& shape) {
  ++result_.operation;
  ++result_.operations;
  result_.what = operation;
  const std::string name = name_of_ && named != nullptr ? name_of_(named) : "";
  if (!name.empty()) result_.what += " of " + name;
  if (!shape.empty()) result_.what += ", " + shape;
}

void LockstepBackend::compare_memories(const char* tensor, const void* a, const void* b, std::size_t each,
                                       std::int64_t count, bool floats) {
  if (a == nullptr || count == 0) return;
  ++result_.tensors;
  const std::size_t size = each * static_cast<std::size_t>(count);
  for (auto& bytes : bytes_) bytes.resize(size);
  first_.synchronise();
  second_.synchronise();
  first_.to_host(bytes_[0].data(), a, size);
  second_.to_host(bytes_[1].data(), b, size);
  if (std::memcmp(bytes_[0].data(), bytes_[1].data(), size) == 0) return;
  result_.equal = false;
  result_.tensor = tensor;
  result_.elements = count;
  result_.different = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t at = static_cast<std::size_t>(i) * each;
    if (std::memcmp(&bytes_[0][at], &bytes_[1][at], each) == 0) continue;
    if (result_.different++ > 0) continue;
    result_.element = i;
    result_.first = text_of(&bytes_[0][at], each, floats);
    result_.second = text_of(&bytes_[1][at], each, floats);
  }
  throw LockstepDifference();
}
void LockstepBackend::compare_bytes(const char* tensor, const void* p, std::size_t each, std::int64_t count,
                                    bool floats) {
  if (p != nullptr) compare_memories(tensor, p, mate_of(p), each, count, floats);
}
template <typename T>
void LockstepBackend::compare(const char* tensor, const T* p, std::int64_t count) {
  compare_bytes(tensor, p, sizeof(T), count, std::is_same_v<T, float>);
}
void LockstepBackend::compare_codes(const char* tensor, const Operand& operand, std::int64_t count) {
  compare_bytes(tensor, operand.codes, bytes_of(operand.width.container()), count, operand.width.is_float32());
}
void LockstepBackend::compare_join(const GradientJoin& join, std::int64_t size, std::int64_t channels) {
  compare("u, the gradient behind the residual add and the ReLU", join.u, size);
  compare("bound of u", join.u_bound, 1);
  compare("sums of the first batch norm's gradient", join.norm[0].sums, channels);
  compare("sums of the second batch norm's gradient", join.norm[1].sums, channels);
}

std::unique_ptr<QuantisedWeights> LockstepBackend::make_weights(const ConvShape& shape) {
  auto weights = std::make_unique<LockstepWeights>(shape);
  weights->of[0] = first_.make_weights(shape);
  weights->of[1] = second_.make_weights(shape);
  return weights;
}

void LockstepBackend::quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  LockstepWeights& w = pair(weights);
  QuantiseWeights other = args;
  move(other.master);
  move(other.step_bound);
  first_.quantise_weights(args, *w.of[0]);
  second_.quantise_weights(other, *w.of[1]);
  w.width = args.width;
  w.reading = args.reading;
  w.error_grid_bits = args.error_grid_bits;
  w.master = args.master;
  begin("quantise weights", args.master, w.shape.text());
  const auto both = [&](const char* tensor, Buffer QuantisedWeights::*buffer, std::size_t each, std::int64_t count) {
    compare_memories(tensor, ((*w.of[0]).*buffer).as<void>(), ((*w.of[1]).*buffer).as<void>(), each, count, false);
  };
  const std::int64_t size = w.shape.weight_size();
  both("weight codes", &QuantisedWeights::codes, sizeof(std::uint32_t), size);
  if (args.width.is_float32()) return;
  both("scales of the weights", &QuantisedWeights::affine, sizeof(Affine), w.shape.o);
  if (!args.for_error_pass) return;
  both("codes of the error pass's weights", &QuantisedWeights::error_codes, sizeof(std::uint32_t), size);
  compare("weights whose step is the least one", args.step_bound, 2);
}

void LockstepBackend::tensor_range(const float* x, std::int64_t size, Range* range) {
  first_.tensor_range(x, size, range);
  second_.tensor_range(mate(x), size, mate(range));
  begin("range of a tensor", nullptr, std::to_string(size) + " elements");
  compare("range", range, 1);
}
void LockstepBackend::activation_scale(const ActivationScale& args) {
  ActivationScale other = args;
  move(other.now);
  move(other.running);
  move(other.affine);
  first_.activation_scale(args);
  second_.activation_scale(other);
  begin("scale of activations", args.running, args.width.text() + " bits");
  compare("scale", args.affine, 1);
  compare("running range", args.running, 2);
}
void LockstepBackend::gradient_scale(const ConvGradient& gradient, std::int64_t positions, std::int64_t channels,
                                     BitWidth width, MinScale min_scale, bool zero_on_grid, Range* range,
                                     Affine* affine) {
  ConvGradient other = gradient;
  move(other);
  first_.gradient_scale(gradient, positions, channels, width, min_scale, zero_on_grid, range, affine);
  second_.gradient_scale(other, positions, channels, width, min_scale, zero_on_grid, mate(range), mate(affine));
  begin("range and scale of a gradient", nullptr, std::to_string(positions) + " x " + std::to_string(channels));
  compare("constants of the batch norm's gradient", gradient.gradient, gradient.norm == nullptr ? 0 : channels);
  compare("range", range, 1);
  compare("scale", affine, 1);
}

void LockstepBackend::conv_forward(const ConvForward& args) {
  const LockstepWeights& w = pair(args.weights);
  ConvForward one = args, other = args;
  one.weights = w.of[0].get();
  other.weights = w.of[1].get();
  move(other.input.x);
  move(other.input.norm);
  move(other.codes);
  move(other.y);
  move(other.statistics);
  move(other.input_range);
  first_.conv_forward(one);
  second_.conv_forward(other);
  begin("convolution forward", w.master, args.shape.text());
  compare_codes("codes of the input", args.codes, args.shape.input_size());
  compare("y", args.y, args.shape.output_size());
  compare("statistics of y", args.statistics, args.shape.o);
}

void LockstepBackend::conv_backward(const ConvBackward& args) {
  const LockstepWeights& w = pair(args.weights);
  ConvBackward one = args, other = args;
  GradientJoin join;
  one.weights = w.of[0].get();
  other.weights = w.of[1].get();
  move(other.gradient);
  move(other.g);
  move(other.g_range);
  move(other.given_noise);
  move(other.x);
  move(other.x_range);
  move(other.dw);
  move(other.dx);
  move(other.dx_bound);
  if (args.join != nullptr) {
    join = *args.join;
    move(join);
    other.join = &join;
  }
  first_.conv_backward(one);
  second_.conv_backward(other);
  begin("convolution backward", w.master, args.shape.text());
  compare_codes("codes of the gradient", args.g, args.shape.output_size());
  compare("dw", args.dw, args.shape.weight_size());
  compare("dx", args.dx, args.shape.input_size());
  compare("bound of dx", args.dx_bound, 1);
  if (args.join != nullptr) compare_join(*args.join, args.shape.input_size(), args.shape.c);
}

void LockstepBackend::conv_accumulators(const ConvAccumulators& args) {
  const LockstepWeights* w = args.weights == nullptr ? nullptr : &pair(args.weights);
  ConvAccumulators one = args, other = args;
  if (w != nullptr) {
    one.weights = w->of[0].get();
    other.weights = w->of[1].get();
  }
  move(other.x);
  move(other.g);
  move(other.sums);
  first_.conv_accumulators(one);
  second_.conv_accumulators(other);
  begin("integer sums of a convolution", nullptr, args.shape.text());
  compare("sums", args.sums,
          args.pass == Pass::kForward ? args.shape.output_size()
          : args.pass == Pass::kError ? args.shape.input_size()
                                      : args.shape.weight_size());
}

void LockstepBackend::norm_prepare(const NormPrepare& args) {
  NormPrepare other = args;
  move(other.statistics);
  move(other.gamma);
  move(other.beta);
  move(other.running_mean);
  move(other.running_variance);
  move(other.norm);
  move(other.relu_range);
  first_.norm_prepare(args);
  second_.norm_prepare(other);
  begin("batch norm's statistics", args.gamma, std::to_string(args.channels) + " channels");
  compare("normalisation", args.norm, args.channels);
  compare("running mean", args.running_mean, args.channels);
  compare("running variance", args.running_variance, args.channels);
  compare("range behind the ReLU", args.relu_range, 1);
}
void LockstepBackend::norm_from_running(std::int64_t channels, const float* mean, const float* variance,
                                        const float* gamma, const float* beta, NormChannel* norm) {
  first_.norm_from_running(channels, mean, variance, gamma, beta, norm);
  second_.norm_from_running(channels, mate(mean), mate(variance), mate(gamma), mate(beta), mate(norm));
  begin("batch norm from running statistics", gamma, std::to_string(channels) + " channels");
  compare("normalisation", norm, channels);
}
void LockstepBackend::norm_forward(const NormForward& args) {
  NormForward other = args;
  move(other.y);
  move(other.norm);
  move(other.shortcut);
  move(other.shortcut_norm);
  move(other.z);
  move(other.mask_bits);
  move(other.range);
  first_.norm_forward(args);
  second_.norm_forward(other);
  const std::int64_t size = args.positions * args.channels;
  begin("batch norm forward", nullptr, std::to_string(args.positions) + " x " + std::to_string(args.channels));
  compare("z", args.z, size);
  compare("mask of the ReLU", args.mask_bits, (size + 31) / 32);
  compare("range of z", args.range, 1);
}
void LockstepBackend::norm_gradient_prepare(const NormGradientPrepare& args) {
  NormGradientPrepare other = args;
  move(other.norm);
  move(other.sums);
  move(other.gradient);
  move(other.dgamma);
  move(other.dbeta);
  first_.norm_gradient_prepare(args);
  second_.norm_gradient_prepare(other);
  // The constants are compared with the gradient's range, where a device may make them.
  begin("batch norm's gradient", args.dgamma, std::to_string(args.channels) + " channels");
  compare("constants", args.gradient, args.channels);
  compare("dgamma", args.dgamma, args.channels);
  compare("dbeta", args.dbeta, args.channels);
}

void LockstepBackend::average_pool(const AveragePool& args) {
  AveragePool other = args;
  move(other.x);
  move(other.pooled);
  first_.average_pool(args);
  second_.average_pool(other);
  begin("average pool", nullptr, std::to_string(args.n) + " x " + std::to_string(args.channels));
  compare("pooled", args.pooled, args.n * args.channels);
}
void LockstepBackend::average_pool_backward(const AveragePoolBackward& args) {
  AveragePoolBackward other = args;
  GradientJoin join;
  move(other.dpooled);
  move(other.dx);
  if (args.join != nullptr) {
    join = *args.join;
    move(join);
    other.join = &join;
  }
  first_.average_pool_backward(args);
  second_.average_pool_backward(other);
  const std::int64_t size = args.n * args.positions * args.channels;
  begin("average pool backward", nullptr, std::to_string(args.n) + " x " + std::to_string(args.channels));
  compare("dx", args.dx, size);
  if (args.join != nullptr) compare_join(*args.join, size, args.channels);
}
void LockstepBackend::linear_forward(const LinearForward& args) {
  LinearForward other = args;
  move(other.x);
  move(other.w);
  move(other.bias);
  move(other.y);
  first_.linear_forward(args);
  second_.linear_forward(other);
  begin("linear forward", args.w, "");
  compare("y", args.y, args.n * args.outputs);
}
void LockstepBackend::linear_backward(const LinearBackward& args) {
  LinearBackward other = args;
  move(other.x);
  move(other.w);
  move(other.dy);
  move(other.dx);
  move(other.dw);
  move(other.dbias);
  first_.linear_backward(args);
  second_.linear_backward(other);
  begin("linear backward", args.w, "");
  compare("dw", args.dw, args.inputs * args.outputs);
  compare("dbias", args.dbias, args.outputs);
  compare("dx", args.dx, args.n * args.inputs);
}
void LockstepBackend::softmax_cross_entropy(const SoftmaxCrossEntropy& args) {
  SoftmaxCrossEntropy other = args;
  move(other.logits);
  move(other.labels);
  move(other.dlogits);
  move(other.losses);
  move(other.record);
  first_.softmax_cross_entropy(args);
  second_.softmax_cross_entropy(other);
  begin("softmax cross-entropy", nullptr, std::to_string(args.n) + " x " + std::to_string(args.classes));
  compare("dlogits", args.dlogits, args.n * args.classes);
  compare("losses", args.losses, args.n);
  compare("loss and correct answers", args.record, 1);
}
void LockstepBackend::sgd_update(const SgdUpdate& args) {
  SgdUpdate other = args;
  move(other.gradient);
  move(other.momentum_buffer);
  move(other.parameter);
  move(other.guard);
  move(other.non_finite);
  first_.sgd_update(args);
  second_.sgd_update(other);
  begin("SGD", nullptr, std::to_string(args.size) + " parameters");
  compare("momenta", args.momentum_buffer, args.size);
  compare("parameters", args.parameter, args.size);
  compare("first parameter that is not finite", args.non_finite, 1);
}
void LockstepBackend::find_non_finite(const float* data, std::int64_t size, std::int64_t* place) {
  first_.find_non_finite(data, size, place);
  second_.find_non_finite(mate(data), size, mate(place));
  begin("search for numbers that are not finite", nullptr, std::to_string(size) + " elements");
  compare("place", place, 1);
}

}  // namespace bitcycle
