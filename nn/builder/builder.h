// SPDX-License-Identifier: Apache-2.0
// Builder: writes a network's step as a program. A model calls functions (conv, batch_norm, relu, add, average_pool,
// linear, softmax_loss); each writes its forward nodes at once and records how to write its backward nodes. Backward
// they are written in the reverse order; the gradient of a value is the sum of its readers' contributions, the last
// reader's first, so that the first reader completes it (docs/numerics.md, 7.6).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/models/parameter_store.h"
#include "sim/ops/error_weights.h"
#include "sim/program/program.h"
#include "sim/quantisers/affine.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// How a run quantises, the widths apart.
struct QuantisationOptions {
  bool stochastic = true;
  bool zero_on_grid = false;
  ErrorWeights error_weights = ErrorWeights::kShared;
  int error_grid_bits = 16;
  MinScale min_scale;
  std::string quantiser = kAffine;  // of all operands (sim/quantisers), gradients with zero_on_grid apart
};

}  // namespace bitcycle

namespace bitcycle::builder {

/// A set of images that is part of a device's state, of which the step makes its own batches.
struct StoredImages {
  std::string name;          // of its tensors: "NAME pixels", "NAME labels", "NAME indices"
  std::int64_t count = 0;    // images
  std::int64_t indices = 0;  // image indices that are written at a time, at least a batch
  bool augment = false;
};

/// How a fully connected layer's bias is added.
enum class Bias : std::uint8_t {
  kNone,
  kFloat32,
  kQuantised,  // one range for the vector, at the layer's forward width
};

/// Which products of a Transformer are of integers.
enum class QuantisedParts : std::uint8_t {
  kFfnAndHead,           // fc1, fc2 and the output projection: what the paper's figures count
  kLinears,              // every fully connected layer
  kLinearsAndAttention,  // and both products of attention
};

/// The sizes of a language model.
struct LanguageSizes {
  std::int64_t vocabulary = 10'000, embedding = 800, hidden = 800, layers = 1;
  std::int64_t time_steps = 35;
  double dropout = 0.0;
  // Of Transformers.
  std::int64_t ffn = 2048, heads = 8;
  QuantisedParts quantised = QuantisedParts::kLinears;
  double attention_dropout = 0.0;   // of probabilities
  double activation_dropout = 0.0;  // behind the rectifier
  Bias bias = Bias::kFloat32;
  // Of a vocabulary in bands: the first words of bands 1, 2, ...; a word of band i is embedding / band_factor^i
  // numbers.
  std::vector<std::int64_t> cutoffs{2'000, 6'000};
  std::int64_t band_factor = 4;
  double head_dropout = 0.0;  // of what the head and the tails' second layers read
};

/// State of learning_rate.schedule plateau (2): the lowest validation loss so far, 0 where there was none; the falls.
inline constexpr const char* kPlateauState = "plateau";

/// Which of a kind of convolutions are quantised: those of the published network, all, or none.
enum class LayerChoice : std::uint8_t { kPublished, kQuantised, kFloat32 };

/// `published`: whether the published network quantises them.
inline bool is_quantised(LayerChoice choice, bool published) {
  return choice == LayerChoice::kPublished ? published : choice == LayerChoice::kQuantised;
}

/// What a network's step is to do, and how it quantises.
struct Options {
  std::int64_t batch = 1;
  /// Height and width of the images; 0: the model's own. A model may take one size alone.
  std::int64_t image_size = 0;
  /// Of image networks: the first convolution, and those of shortcuts.
  LayerChoice first_layer = LayerChoice::kPublished, projections = LayerChoice::kPublished;
  /// Of language models.
  LanguageSizes language;
  /// Forward, loss and gradients, with this batch's statistics and ranges; else forward and loss with running ones.
  bool training = true;
  /// Training: false leaves out gradients and optimiser, so that a step only moves statistics and ranges.
  bool backward = true;
  std::uint64_t seed = 0;
  QuantisationOptions quantisation;
  /// Widest widths of a layer over all steps that the program is for: containers and sums are made for these. float32:
  /// that operand of the layer is not quantised.
  std::function<LayerWidths(const std::string& layer)> widest;
  /// Training: SGD with momentum on all parameters at the end of the step.
  struct Sgd {
    float momentum = 0.0F, weight_decay = 0.0F;
    /// Above 0: gradients are clipped to this norm of all of them, and there is neither momentum nor weight decay.
    double clip = 0.0;
    /// Holds what the learning rate's falls follow from, kPlateauState, as state that no step changes.
    bool plateau = false;
  };
  std::optional<Sgd> sgd;
  /// Or one of these; their further moments are state too.
  std::optional<AdamwRule> adamw;
  std::optional<NagRule> nag;
  bool optimises() const { return sgd || adamw || nag; }
  /// Else the host gives images and labels.
  std::optional<StoredImages> stored_images;
  /// Every product's exact sums as int128 tensors too, "LAYER/y accumulators", of dx and dw as well, for whoever keeps
  /// them; they cost nothing else.
  bool accumulators = false;
};

/// A bound of a gradient's magnitude; nodes that make it are written when it is asked for.
using Bound = std::function<Tensor()>;

/// One reader's part of a value's gradient, or all of it. Without a bound, the exact largest magnitude is one.
struct Gradient {
  Tensor tensor;
  Bound bound;
};

/// A tensor between layers, (n, h, w, c).
struct Value {
  std::string layer;  // that made it
  Tensor tensor;
  std::int64_t h = 1, w = 1, c = 1;
  bool wants_gradient = true;
  /// Of the product that made it: a bound of each channel's magnitude, float64 (c) (7.2).
  std::function<Tensor()> channel_bound;

  std::optional<Tensor> range;          // once somebody needed it
  std::vector<Gradient> contributions;  // backward, the last reader's first
};

/// What the host learns from a step's report: where a number that is not finite came up first, in this order.
struct Watch {
  enum class What : std::uint8_t { kRange, kNorm, kPosition, kLoss } what = What::kRange;
  Tensor tensor;
  std::string name;  // "input of conv1"; kPosition over parameters: what the parameter's name is put behind
  bool parameters = false;
};

/// A network's step, and what running it needs to know.
struct NetworkProgram {
  NetworkProgram(const std::string& name, std::int64_t batch) : program(name, batch) {}

  Program program;
  ParameterStore parameters;  // names and layouts of the state, no memory
  /// Where the parameters lie, in the order of `parameters`: element `first` of the state tensor of this name.
  struct ParameterSlice {
    std::string tensor;
    std::size_t first = 0;
  };
  std::vector<ParameterSlice> parameter_slices;
  std::vector<Tensor> gradients;  // of the trained parameters, in their order
  /// State that a step begins with and hands on, which an epoch begins with zeros: names of state tensors.
  std::vector<std::string> carried;

  std::int64_t image_h = 0, image_w = 0, image_c = 0, classes = 0;
  Tensor images, labels;  // inputs, or made of a stored set
  Tensor tokens;          // input of language models; labels are the words that follow
  Tensor first_index;     // input, of a stored set: the index of the batch's first image
  Tensor step, rate;      // inputs, in training only
  Tensor logits, loss;
  Tensor gradient_norm;  // where gradients are clipped
  Tensor losses;         // evaluation only: of every sample
  /// Width records of the quantised layers, in the order of the forward pass; none where that operand is float32.
  struct Layer {
    std::string name;
    Tensor forward, gradient;
  };
  std::vector<Layer> layers;
  std::vector<Watch> watches;
  std::vector<Tensor> grids;        // grid (): their quantiser's step was min_scale where step_bound is set
  std::vector<Tensor> step_bounds;  // uint32: the same of weights' grids
};

class Builder {
 public:
  Builder(const std::string& model, Options options);

  const Options& options() const { return options_; }
  bool training() const { return options_.training; }
  std::int64_t batch() const { return options_.batch; }

  /// The images, float32 (n, h, w, c): an input, without a gradient.
  Value* images(std::int64_t h, std::int64_t w, std::int64_t c);
  /// Backward pass and optimiser where asked for, and what the host wants to know. Ends the building.
  std::unique_ptr<NetworkProgram> finish();

  // For the functions below.
  NetworkProgram& result() { return *result_; }
  Value* value(const std::string& layer, Tensor tensor, std::int64_t h, std::int64_t w, std::int64_t c);
  /// A tensor of the step, named layer/what.
  Tensor tensor(const std::string& layer, const std::string& what, Element element,
                std::vector<std::int64_t> shape = {}, Lifetime lifetime = Lifetime::kStep);
  /// A tensor whose first axis counts samples.
  Tensor samples(const std::string& layer, const std::string& what, Element element, std::vector<std::int64_t> shape,
                 Lifetime lifetime = Lifetime::kStep);
  template <typename Op>
  void write(const std::string& layer, std::optional<Pass> pass, const Op& op) {
    result_->program.add(Site{layer, pass}, op);
  }
  /// A parameter of canonical shape, as a state tensor of `device_shape`. Its gradient tensor in training.
  struct Parameter {
    Tensor value, gradient;
  };
  Parameter trained(const std::string& name, std::vector<std::int64_t> shape, std::vector<std::int64_t> device_shape,
                    bool ohwi = false, const InitialValues& initial = {});
  /// Running statistics.
  Tensor running(const std::string& name, std::int64_t size);
  /// Running zero point and range of a layer's input: two parameters, one tensor. dimensions: of the input in files,
  /// all of extent 1.
  Tensor running_range(const std::string& layer, std::size_t dimensions = 4,
                       const std::string& operand = "quantize_input");
  /// Exact range of a value, made once.
  Tensor range_of(Value* value);
  /// Exact largest magnitude of a tensor.
  Tensor magnitude_of(const std::string& layer, const std::string& what, Pass pass, Tensor x);

  /// Records how to write the backward nodes; ignored in evaluation.
  void backward(std::function<void()> write);
  /// Adds a reader's part of a value's gradient.
  void contribute(Value* value, Gradient part);
  /// The whole gradient, when all readers have contributed. Written once.
  Gradient gradient(Value* value);

 private:
  void load_images(const StoredImages& set);
  void write_sgd();
  /// Nothing is done where `guard` holds 0 or more.
  void write_adamw(Tensor guard);
  void write_nag(Tensor guard);
  std::vector<std::string> trained_names() const;
  Tensor momentum_of(const std::string& parameter);
  void watch_parameters(const std::vector<Tensor>& parameters);

  Options options_;
  std::unique_ptr<NetworkProgram> result_;
  std::deque<Value> values_;  // addresses stay
  std::vector<std::function<void()>> backward_;
};

/// A convolution as a model writes it down, without bias: quantised at the widths of its layer, or float32.
struct ConvSpec {
  std::string name;
  std::int64_t channels = 0;
  std::int64_t kernel = 3, stride = 1, padding = 1, groups = 1;
  bool quantised = true;  // false: float32 whatever the schedule says
};
Value* conv(Builder& builder, Value* x, const ConvSpec& spec);
/// Of a product's result, in training with the batch's statistics.
Value* batch_norm(Builder& builder, Value* x, const std::string& name);
Value* relu(Builder& builder, Value* x);
/// fl(a + b)
Value* add(Builder& builder, Value* a, Value* b);
/// Largest value of each window.
Value* max_pool(Builder& builder, Value* x, const std::string& name, const ops::PoolWindow& window);
/// Mean over all positions.
Value* average_pool(Builder& builder, Value* x, const std::string& name);
/// Fully connected, float32, with bias.
Value* linear(Builder& builder, Value* x, const std::string& name, std::int64_t outputs);
/// The end of a classifier: its labels and its loss.
void softmax_loss(Builder& builder, Value* logits);

}  // namespace bitcycle::builder
