// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/network.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "nn/layers/average_pool.h"
#include "nn/layers/classifier.h"
#include "nn/layers/conv_norm.h"
#include "nn/layers/quantised_conv.h"
#include "nn/layers/tensor_id.h"

namespace bitcycle {

Value* Network::new_value(const std::string& name, std::int64_t h, std::int64_t w, std::int64_t c) {
  Value& value = values_.emplace_back();
  value.name = name;
  value.h = h;
  value.w = w;
  value.c = c;
  value.index = static_cast<int>(values_.size()) - 1;
  value.producer = next_layer();
  graph_values_.push_back(0);
  return &value;
}

Value* Network::images(std::int64_t h, std::int64_t w, std::int64_t c) {
  images_ = new_value("images", h, w, c);
  images_->producer = -1;
  images_->wants_gradient = false;
  graph_.h = h;
  graph_.w = w;
  graph_.c = c;
  return images_;
}

std::unique_ptr<QuantisedConv> Network::new_conv(Value* input, const ConvSpec& spec) {
  ConvShape shape;
  shape.h = input->h;
  shape.w = input->w;
  shape.c = input->c;
  shape.o = spec.channels;
  shape.kh = shape.kw = spec.kernel;
  shape.stride = spec.stride;
  shape.padding = spec.padding;
  shape.groups = spec.groups;
  const int index = static_cast<int>(convolutions_.size());
  convolutions_.push_back(spec.conv);
  input->readers.push_back({next_layer(), Value::Reader::Kind::kConvolution, index, nullptr});
  return std::make_unique<QuantisedConv>(spec.conv, spec.norm, shape, index, input, parameters_);
}

int Network::note_conv_norm(const Value* input, const ConvSpec& spec, const ConvShape& shape) {
  using Op = InferenceNode::Op;
  const int y = graph_.add({.op = Op::kConv, .name = spec.conv, .inputs = {graph_value(input)}, .shape = shape});
  return graph_.add({.op = Op::kNorm, .name = spec.norm, .inputs = {y}, .channels = shape.o});
}

Value* Network::new_conv_norm(Value* input, const ConvSpec& spec, Value* shortcut, Value* source,
                              const ConvSpec* projection) {
  auto main = new_conv(input, spec);
  auto projected = projection == nullptr ? nullptr : new_conv(source, *projection);
  const ConvShape& shape = main->shape();
  Value* output = new_value(spec.conv, shape.out_h(), shape.out_w(), shape.o);
  output->relu = true;
  output->has_shortcut = shortcut != nullptr || projected != nullptr;
  const auto fits = [&](std::int64_t h, std::int64_t w, std::int64_t c) {
    return h == output->h && w == output->w && c == output->c;
  };
  if (shortcut != nullptr) {
    if (!fits(shortcut->h, shortcut->w, shortcut->c)) {
      throw std::logic_error("the shortcut of " + spec.conv + " has another shape; it needs a projection");
    }
    shortcut->readers.push_back({next_layer(), Value::Reader::Kind::kShortcut, -1, output});
  }
  if (projected && !fits(projected->shape().out_h(), projected->shape().out_w(), projected->shape().o)) {
    throw std::logic_error("the projection " + projection->conv + " has another shape than " + spec.conv);
  }
  int z = note_conv_norm(input, spec, shape);
  if (output->has_shortcut) {
    const int other = projected ? note_conv_norm(source, *projection, projected->shape()) : graph_value(shortcut);
    z = graph_.add({.op = InferenceNode::Op::kAdd, .name = spec.conv + ".add", .inputs = {z, other}});
  }
  z = graph_.add({.op = InferenceNode::Op::kRelu, .name = spec.conv + ".relu", .inputs = {z}});
  graph_values_[static_cast<std::size_t>(output->index)] = z;
  layers_.push_back(
      std::make_unique<ConvNorm>(next_layer(), std::move(main), std::move(projected), shortcut, true, output));
  return output;
}

Value* Network::conv_norm(Value* input, const ConvSpec& spec) {
  return new_conv_norm(input, spec, nullptr, nullptr, nullptr);
}

Value* Network::conv_norm(Value* input, const ConvSpec& spec, Value* shortcut) {
  return new_conv_norm(input, spec, shortcut, nullptr, nullptr);
}

Value* Network::conv_norm(Value* input, const ConvSpec& spec, Value* source, const ConvSpec& projection) {
  return new_conv_norm(input, spec, nullptr, source, &projection);
}

Value* Network::average_pool(const std::string& name, Value* input) {
  input->readers.push_back({next_layer(), Value::Reader::Kind::kPool, -1, nullptr});
  Value* output = new_value(name, 1, 1, input->c);
  graph_values_.back() =
      graph_.add({.op = InferenceNode::Op::kAveragePool, .name = name, .inputs = {graph_value(input)}});
  layers_.push_back(std::make_unique<AveragePoolLayer>(name, input, output));
  return output;
}

void Network::classifier(const std::string& name, Value* input, std::int64_t classes) {
  input->readers.push_back({next_layer(), Value::Reader::Kind::kLinear, -1, nullptr});
  logits_ = new_value(name, 1, 1, classes);
  graph_values_.back() = graph_.add({.op = InferenceNode::Op::kLinear,
                                     .name = name,
                                     .inputs = {graph_value(input)},
                                     .shape = matmul_shape(1, classes, input->c),
                                     .channels = classes});
  layers_.push_back(std::make_unique<Classifier>(name, input, logits_, parameters_));
}

Workload Network::describe() const {
  Workload workload;
  workload.model = model_;
  for (const auto& layer : layers_) layer->describe(workload);
  return workload;
}

void Network::plan_values(MemoryPlan& plan) {
  using Kind = Value::Reader::Kind;
  for (auto& value : values_) {
    const std::size_t bytes = static_cast<std::size_t>(value.elements(plan.batch)) * sizeof(float);
    const auto& readers = value.readers;
    const bool first_completes = readers.empty() || readers[0].kind != Kind::kShortcut;
    const bool linear = !readers.empty() && readers[0].kind == Kind::kLinear;
    if (readers.size() > 2 || !first_completes || (linear && (readers.size() > 1 || value.relu))) {
      throw std::logic_error("the gradient of " + value.name +
                             " would need more than one error pass and one further contribution");
    }
    if (value.is_quantised()) plan.records.add(&value.range, &value.host_range, 1);

    // The images, pooled features and logits are small or come from outside; they stay.
    const bool stays = value.producer < 0 || value.h * value.w == 1;
    value.fused = value.relu && !value.has_shortcut && readers.size() == 1 && readers[0].kind == Kind::kConvolution;
    if (stays) {
      kept_.emplace_back(plan.backend, bytes);
      value.z = kept_.back().as<float>();
      value.fused = false;
    } else if (!value.fused) {
      plan.scratch.add(&value.z, bytes, plan.forward_event(value.producer), plan.forward_event(readers.back().layer));
    }
    if (!value.wants_gradient) continue;
    plan.records.add(&value.u_bound, 1);
    if (stays) {
      kept_.emplace_back(plan.backend, bytes);
      value.u = kept_.back().as<float>();
      continue;
    }
    // u lives until its producer has run backward, or, as a shortcut's contribution, until the sum is complete.
    int end = plan.backward_event(value.producer);
    for (const auto& source : values_) {
      if (source.readers.size() > 1 && source.readers[1].result == &value) {
        end = std::max(end, plan.backward_event(source.readers[0].layer));
      }
    }
    plan.scratch.add(&value.u, bytes, plan.backward_event(readers[0].layer), end);
    if (readers.size() > 1 && readers[1].kind == Kind::kConvolution) {
      plan.scratch.add(&value.side, bytes, plan.backward_event(readers[1].layer),
                       plan.backward_event(readers[0].layer));
      plan.records.add(&value.side_bound, 1);
    }
  }
}

void Network::allocate(Backend& backend, std::int64_t batch, const std::vector<LayerWidths>& widest) {
  if (logits_ == nullptr) throw std::logic_error("model " + model_ + " has no classifier");
  if (widest.size() != convolutions_.size()) throw std::logic_error("widths of every convolution are needed");
  if (batch < 1) throw std::invalid_argument("batch is " + std::to_string(batch) + ": at least 1 image is needed");
  std::vector<std::string> names;
  for (const auto& parameter : parameters_.all()) names.push_back(parameter.name);
  check_tensor_ids(names);
  batch_ = batch;
  parameters_.allocate(backend);
  labels_ = Buffer(backend, static_cast<std::size_t>(batch) * sizeof(std::int32_t));
  losses_ = Buffer(backend, static_cast<std::size_t>(batch) * sizeof(float));
  MemoryPlan plan{backend, batch, widest.data(), next_layer(), scratch_, records_};
  for (const auto& layer : layers_) layer->plan(plan);
  plan_values(plan);
  records_.add(&loss_, &host_loss_, 1);
  records_.add(&places_, &host_places_, 3);
  scratch_.allocate(backend);
  records_.allocate(backend);
}

void Network::load(Backend& backend, const float* x, const std::int32_t* labels, std::int64_t n) {
  if (n < 1 || n > batch_) throw std::logic_error("a batch of " + std::to_string(n) + " images was not allocated");
  backend.to_device(images_->z, x, static_cast<std::size_t>(images_->elements(n)) * sizeof(float));
  backend.to_device(labels_.as<std::int32_t>(), labels, static_cast<std::size_t>(n) * sizeof(std::int32_t));
}

void Network::load(const ImageBatch& batch) {
  if (batch.n < 1 || batch.n > batch_) {
    throw std::logic_error("a batch of " + std::to_string(batch.n) + " images was not allocated");
  }
  image_batch_ = batch;
  image_batch_->x = images_->z;
  image_batch_->labels = labels_.as<std::int32_t>();
}

void Network::forward(const StepContext& context) {
  if (image_batch_) context.backend.load_images(*image_batch_);
  image_batch_.reset();
  if (context.training) {
    context.backend.tensor_range(images_->z, images_->elements(context.batch), images_->range);
  }
  for (const auto& layer : layers_) layer->forward(context);
}

void Network::loss(const StepContext& context) {
  SoftmaxCrossEntropy softmax;
  softmax.n = context.batch;
  softmax.classes = logits_->c;
  softmax.logits = logits_->z;
  softmax.labels = labels_.as<std::int32_t>();
  softmax.dlogits = context.training ? logits_->u : nullptr;
  softmax.losses = losses_.as<float>();
  softmax.record = loss_;
  context.backend.softmax_cross_entropy(softmax);
}

void Network::start(const StepContext& context, const SgdRates* rates) {
  Backend& backend = context.backend;
  backend.begin_step(static_cast<std::uint32_t>(context.step));
  for (const auto& layer : layers_) layer->prepare(context);
  forward(context);
  loss(context);
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) (*layer)->backward(context);
  backend.find_non_finite(logits_->z, logits_->elements(context.batch), &places_[0]);
  backend.find_non_finite(parameters_.gradients(), parameters_.trained_size(), &places_[1]);
  if (rates == nullptr) {
    backend.find_non_finite(nullptr, 0, &places_[2]);
  } else {
    SgdUpdate sgd;
    sgd.size = parameters_.trained_size();
    sgd.gradient = parameters_.gradients();
    sgd.momentum_buffer = parameters_.momenta();
    sgd.parameter = parameters_.values();
    sgd.lr = rates->lr;
    sgd.momentum = rates->momentum;
    sgd.weight_decay = rates->weight_decay;
    sgd.guard = &places_[1];
    sgd.non_finite = &places_[2];
    backend.sgd_update(sgd);
  }
  backend.end_step();
  records_.start_fetch(backend);
}

StepResult Network::finish(const StepContext& context) {
  context.backend.finish_to_host();
  StepFindings findings;
  for (const auto& layer : layers_) layer->inspect_forward(context, findings);
  const double loss = host_loss_->loss;
  if (findings.non_finite.empty() && host_places_[0] >= 0) findings.non_finite = "output of " + logits_->name;
  if (findings.non_finite.empty() && !std::isfinite(loss)) findings.non_finite = "loss";
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    (*layer)->inspect_backward(context, findings);
  }
  if (findings.non_finite.empty() && host_places_[1] >= 0) {
    findings.non_finite = "gradient of " + parameters_.trained_at(host_places_[1]).name;
  }
  if (findings.non_finite.empty() && host_places_[2] >= 0) {
    findings.non_finite = parameters_.trained_at(host_places_[2]).name;
  }
  return {loss, host_loss_->correct, findings.min_scale_bound, std::move(findings.non_finite)};
}

void Network::prepare_evaluation(const StepContext& context) {
  context.backend.begin_step(static_cast<std::uint32_t>(context.step));
  for (const auto& layer : layers_) layer->prepare(context);
  context.backend.end_step();
}

LossRecord Network::evaluate(const StepContext& context, float* losses) {
  context.backend.begin_step(static_cast<std::uint32_t>(context.step));
  forward(context);
  loss(context);
  context.backend.end_step();
  records_.fetch(context.backend);
  context.backend.to_host(losses, losses_.as<float>(), static_cast<std::size_t>(context.batch) * sizeof(float));
  return *host_loss_;
}

}  // namespace bitcycle
