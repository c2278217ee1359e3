// SPDX-License-Identifier: Apache-2.0
// Network: layers in topological order over a table of values, their parameters and memory, and the passes of a
// training step. Built by a model (nn/models), described without any memory, then allocated once; after that no pass
// allocates.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/layers/inference_graph.h"
#include "nn/layers/layer.h"
#include "nn/layers/memory_plan.h"
#include "nn/layers/parameter_store.h"
#include "nn/layers/quantised_conv.h"
#include "nn/layers/value.h"

namespace bitcycle {

/// A convolution and its batch norm, as a model writes them down.
struct ConvSpec {
  std::string conv;  // "group1_layer0.conv1"
  std::string norm;  // "group1_layer0.bn1"
  std::int64_t channels = 0;
  std::int64_t kernel = 3, stride = 1, padding = 1, groups = 1;
};

struct StepResult {
  double loss = 0.0;
  std::int64_t correct = 0;
  std::int64_t min_scale_bound = 0;
  std::string non_finite;  // the first tensor that holds a number that is not finite; empty: none
};

struct SgdRates {
  float lr = 0.0F, momentum = 0.0F, weight_decay = 0.0F;
};

class Network {
 public:
  explicit Network(std::string model) : model_(std::move(model)) {}

  // Building, in the order of the forward pass.
  Value* images(std::int64_t h, std::int64_t w, std::int64_t c);
  /// relu(norm(conv(input)))
  Value* conv_norm(Value* input, const ConvSpec& spec);
  /// relu(norm(conv(input)) + shortcut)
  Value* conv_norm(Value* input, const ConvSpec& spec, Value* shortcut);
  /// relu(norm(conv(input)) + norm(conv(source)))
  Value* conv_norm(Value* input, const ConvSpec& spec, Value* source, const ConvSpec& projection);
  Value* average_pool(const std::string& name, Value* input);
  /// The last layer: logits.
  void classifier(const std::string& name, Value* input, std::int64_t classes);

  const std::string& model() const { return model_; }
  std::int64_t classes() const { return logits_->c; }
  const Value& input() const { return *images_; }
  /// Names of the quantised convolutions, in the order in which StepContext::widths has them.
  const std::vector<std::string>& convolutions() const { return convolutions_; }
  Workload describe() const;
  /// The forward pass, for exporting.
  const InferenceGraph& graph() const { return graph_; }
  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }

  /// `widest`: by convolution, widths whose containers hold those of every later pass.
  void allocate(Backend& backend, std::int64_t batch, const std::vector<LayerWidths>& widest);
  std::int64_t batch() const { return batch_; }

  /// The next pass is of these host images (n, h, w, c) and labels (n), which are uploaded.
  void load(Backend& backend, const float* x, const std::int32_t* labels, std::int64_t n);
  /// The same from a set that the backend keeps, made by the next pass itself; x and labels of the batch are set here.
  void load(const ImageBatch& batch);
  /// Forward, loss and backward of the loaded images: gradients of all parameters; running statistics updated.
  StepResult compute_gradients(const StepContext& context) {
    start(context, nullptr);
    return finish(context);
  }
  /// The same, then SGD on all trained parameters, as one step of the backend, which the host waits for in finish().
  /// Gradients that are not finite leave the parameters as they were. Where the backend runs behind, the next step may
  /// be started before this one is finished.
  void start_training(const StepContext& context, const SgdRates& rates) { start(context, &rates); }
  /// What the oldest step that was started found; `context` is that step's.
  StepResult finish(const StepContext& context);
  /// Before the batches of an evaluation.
  void prepare_evaluation(const StepContext& context);
  /// Mean loss and correct samples of the loaded images; `losses`, host, gets the loss of each.
  LossRecord evaluate(const StepContext& context, float* losses);
  const float* logits() const { return logits_->z; }  // device, (n, classes)

 private:
  Value* new_value(const std::string& name, std::int64_t h, std::int64_t w, std::int64_t c);
  std::unique_ptr<QuantisedConv> new_conv(Value* input, const ConvSpec& spec);
  Value* new_conv_norm(Value* input, const ConvSpec& spec, Value* shortcut, Value* source, const ConvSpec* projection);
  int graph_value(const Value* value) const { return graph_values_[static_cast<std::size_t>(value->index)]; }
  /// Notes convolution and batch norm; the number of their result.
  int note_conv_norm(const Value* input, const ConvSpec& spec, const ConvShape& shape);
  int next_layer() const { return static_cast<int>(layers_.size()); }
  void plan_values(MemoryPlan& plan);
  void start(const StepContext& context, const SgdRates* rates);
  void forward(const StepContext& context);
  void loss(const StepContext& context);

  std::string model_;
  std::deque<Value> values_;  // addresses stay
  std::vector<std::unique_ptr<Layer>> layers_;
  ParameterStore parameters_;
  std::vector<std::string> convolutions_;
  InferenceGraph graph_;
  std::vector<int> graph_values_;  // numbers in the graph, by a value's index
  Value* images_ = nullptr;
  Value* logits_ = nullptr;

  std::int64_t batch_ = 0;
  ScratchPlan scratch_;
  RecordArena records_;
  Buffer labels_;
  Buffer losses_;                          // of an evaluation's images
  std::optional<ImageBatch> image_batch_;  // loaded by the next pass
  std::vector<Buffer> kept_;               // values that live longer than a step's scratch
  LossRecord* loss_ = nullptr;
  const LossRecord* host_loss_ = nullptr;
  /// The first number that is not finite, in logits, gradients and updated parameters.
  std::int64_t* places_ = nullptr;
  const std::int64_t* host_places_ = nullptr;
};

}  // namespace bitcycle
