// SPDX-License-Identifier: Apache-2.0
// Every kernel of a device against the reference: a small network's step and evaluation are compiled for the device,
// and every tensor that any of its kernels writes has the bytes that the reference device gives it. A kernel is tested
// by being in the table: an entry that no program here uses fails the test.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "nn/builder/recurrent.h"
#include "sim/device/device.h"
#include "sim/device/fused/fused_entry.h"
#include "sim/number/philox.h"
#include "sim/ops/loss_record.h"
#include "tests/golden/devices.h"

namespace bitcycle::test {

namespace {

using namespace builder;

Value* block(Builder& b, Value* x, const std::string& conv_name, const std::string& norm, std::int64_t channels,
             std::int64_t kernel = 3, std::int64_t stride = 1, std::int64_t groups = 1) {
  return batch_norm(b, conv(b, x, {conv_name, channels, kernel, stride, kernel / 2, groups}), norm);
}

/// Stem, identity shortcut, projected shortcut with a stride, groups, pool, classifier.
std::unique_ptr<NetworkProgram> small_program(const Options& options) {
  Builder b("small", options);
  Value* x = relu(b, block(b, b.images(8, 8, 3), "conv1", "bn1", 8));
  Value* hidden = relu(b, block(b, x, "a.conv1", "a.bn1", 8));
  x = relu(b, add(b, block(b, hidden, "a.conv2", "a.bn2", 8), x));
  hidden = relu(b, block(b, x, "b.conv1", "b.bn1", 12, 3, 2));
  Value* main = block(b, hidden, "b.conv2", "b.bn2", 12, 3, 1, 4);
  x = relu(b, add(b, main, block(b, x, "b.downsample", "b.bn3", 12, 1, 2)));
  softmax_loss(b, linear(b, average_pool(b, x, "pool"), "fc", 5));
  return b.finish();
}

/// Max pool behind a stem with a rectifier, whose gradient comes from two readers; blocks without a rectifier behind
/// them, depthwise convolutions, the last one's output read once.
std::unique_ptr<NetworkProgram> pooled_program(const Options& options) {
  Builder b("pooled", options);
  Value* x = relu(b, block(b, b.images(9, 8, 3), "conv1", "bn1", 20, 3, 1));
  x = max_pool(b, x, "maxpool", {3, 2, 1});
  Value* hidden = relu(b, block(b, x, "a.conv1", "a.bn1", 20, 3, 1, 20));
  x = add(b, block(b, hidden, "a.conv2", "a.bn2", 20, 1), x);
  hidden = relu(b, block(b, x, "b.conv1", "b.bn1", 40, 1));
  hidden = relu(b, block(b, hidden, "b.conv2", "b.bn2", 40, 3, 1, 40));
  x = add(b, block(b, hidden, "b.conv3", "b.bn3", 20, 1), x);
  x = relu(b, block(b, x, "c.conv", "c.bn", 16, 3, 2));
  softmax_loss(b, linear(b, average_pool(b, x, "pool"), "fc", 5));
  return b.finish();
}

/// A fully connected layer that is used four times, each time behind what it made before.
std::unique_ptr<NetworkProgram> recurrent_program(const Options& options, std::int64_t size) {
  Builder b("recurrent", options);
  Value* x = b.images(1, 1, size);
  QuantisedLinear layer(b, "layer", options.batch, size, size, Bias::kFloat32);
  for (int use = 0; use < 4; ++use) x = relu(b, layer(x));
  softmax_loss(b, linear(b, x, "fc", 5));
  return b.finish();
}

struct Case {
  const char* name;
  LayerWidths widths;
  void (*change)(Options&);
};

const BitWidth kFloat = BitWidth::float32();
BitWidth bits(int n) { return BitWidth::integer(n); }

const Case kCases[] = {
    {"shared", {bits(8), bits(8)}, [](Options&) {}},
    {"requantised_3_6",
     {bits(3), bits(6)},
     [](Options& o) { o.quantisation.error_weights = ErrorWeights::kRequantised; }},
    {"wide", {bits(12), bits(16)}, [](Options& o) { o.quantisation.error_grid_bits = 24; }},
    {"widest_requantised",
     {bits(32), bits(32)},
     [](Options& o) { o.quantisation.error_weights = ErrorWeights::kRequantised; }},
    {"float32", {kFloat, kFloat}, [](Options&) {}},
    {"float32_gradient", {bits(8), kFloat}, [](Options&) {}},
    {"float32_forward", {kFloat, bits(8)}, [](Options&) {}},
    {"accumulators", {bits(4), bits(8)}, [](Options& o) { o.accumulators = true; }},
    {"stored_images",
     {bits(8), bits(8)},
     [](Options& o) {
       o.stored_images = StoredImages{"training", 6, 9, o.training};
     }},
    {"nearest",
     {bits(8), bits(4)},
     [](Options& o) {
       o.quantisation.stochastic = false;
       o.quantisation.zero_on_grid = true;
     }},
};

/// Values that tests fill tensors with.
std::vector<float> noise(std::size_t size, std::uint32_t tensor) {
  const auto stream = philox_stream(3, 0, RandomPurpose::kSyntheticData, tensor);
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = 2.0F * rounding_noise(philox_word(stream, i));
  return values;
}

/// A device with the state and the program of a case.
struct CompiledStep {
  CompiledStep(Device& device, const NetworkProgram& network, const NetworkProgram& owner,
               const std::vector<Tensor>& kept)
      : state(device.make_state(owner.program)), executable(nullptr) {
    for (std::size_t id = 0; id < owner.program.tensors().size(); ++id) {
      const TensorSpec& spec = owner.program.tensors()[id];
      if (spec.lifetime != Lifetime::kState) continue;
      if (spec.element != Element::kFloat32) {
        write_images(spec);
        continue;
      }
      std::vector<float> values = noise(static_cast<std::size_t>(spec.size()), static_cast<std::uint32_t>(id));
      const bool positive = spec.name.find("running") != std::string::npos;
      for (float& value : values) value = positive ? std::abs(value) + 0.25F : value;
      state->write(spec.name, values.data());
    }
    executable = device.compile(network.program, {state, kept});
  }
  /// Of a stored set: any pixels, labels below 5, indices in any order.
  void write_images(const TensorSpec& spec) {
    const auto size = static_cast<std::size_t>(spec.size());
    std::vector<std::uint8_t> pixels(size);
    std::vector<std::int32_t> labels(size);
    std::vector<ImageIndex> indices(size);
    for (std::size_t i = 0; i < size; ++i) {
      pixels[i] = static_cast<std::uint8_t>(i * 37 % 251);
      labels[i] = static_cast<std::int32_t>(i * 3 % 5);
      indices[i] = {static_cast<std::uint32_t>(i * 5 % 6), static_cast<std::uint32_t>(i / 3)};
    }
    if (spec.element == Element::kUint8) state->write(spec.name, pixels.data());
    if (spec.element == Element::kInt32) state->write(spec.name, labels.data());
    if (spec.element == Element::kImageIndex) state->write(spec.name, indices.data());
  }

  std::shared_ptr<State> state;
  std::unique_ptr<Executable> executable;
};

/// The inputs of a step.
void give(StepInputs& inputs, const NetworkProgram& network, const std::vector<float>& x,
          const std::vector<std::int32_t>& labels, const LayerWidths& widths) {
  if (network.first_index) {
    inputs.set(network.first_index, std::uint32_t{3});
  } else {
    inputs.point(network.images, x.data());
    inputs.point(network.labels, labels.data());
  }
  for (const auto& layer : network.layers) {
    if (layer.forward) inputs.set(layer.forward, widths.forward);
    if (layer.gradient) inputs.set(layer.gradient, widths.gradient);
  }
  if (network.step) inputs.set(network.step, std::uint32_t{7});
  if (network.rate) inputs.set(network.rate, 0.125F);
}

/// Steps with the whole batch and with fewer samples, as the reference has them.
void expect_the_reference(Device& device, const NetworkProgram& network, const NetworkProgram& owner,
                          const LayerWidths& widths, std::set<std::string>& used, bool all_fused = true) {
  const Program& program = network.program;
  std::set<std::int32_t> kept_ids;
  std::vector<Tensor> sums;  // nobody but a probe reads them
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(program.tensors().size()); ++id) {
    if (program.spec({id}).name.ends_with(" accumulators")) sums.push_back({id});
  }
  for (const KernelUse& kernel : device.explain(program, sums)) {
    used.insert(kernel.kernel);
    if (kernel.kernel == "reference loops" && all_fused) {
      ADD_FAILURE() << device.name() << ": no kernel for " << node_text(program.node(kernel.nodes.front()));
    }
    for (const Tensor tensor : kernel.writes) kept_ids.insert(tensor.id);
  }
  std::vector<Tensor> kept;
  for (const auto id : kept_ids) {
    if (program.spec({id}).lifetime == Lifetime::kStep) kept.push_back({id});
  }
  CompiledStep expected(*make_reference_device(), network, owner, kept), actual(device, network, owner, kept);
  ASSERT_EQ(device.explain(program, sums).size(), actual.executable->kernels().size());
  StepInputs inputs(program);
  const std::vector<float> x = noise(static_cast<std::size_t>(program.spec(network.images).size()), 1000);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < program.batch(); ++i) labels.push_back(static_cast<std::int32_t>(3 * i % 5));
  give(inputs, network, x, labels, widths);
  for (const std::int64_t samples : {program.batch(), program.batch() - 1}) {
    inputs.set_samples(samples);
    expected.executable->run(inputs);
    actual.executable->run(inputs);
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(program.tensors().size()); ++id) {
      const TensorSpec& spec = program.spec({id});
      if (spec.lifetime == Lifetime::kInput || (spec.lifetime == Lifetime::kStep && kept_ids.count(id) == 0)) continue;
      std::vector<std::byte> one(spec.bytes()), other(spec.bytes());
      expected.executable->read({id}, one.data());
      actual.executable->read({id}, other.data());
      ASSERT_EQ(std::memcmp(one.data(), other.data(), one.size()), 0)
          << device.name() << ": " << spec.name << " of " << samples << " samples";
    }
  }
}

/// One and several blocks of outputs, and more rows than a tile has positions.
void expect_recurrent_steps(Device& device, Options options, const LayerWidths& widths, std::set<std::string>& used) {
  for (const auto& [batch, size] : {std::pair<std::int64_t, std::int64_t>{3, 21}, {70, 37}, {5, 72}}) {
    options.batch = batch;
    const auto network = recurrent_program(options, size);
    expect_the_reference(device, *network, *network, widths, used, false);
  }
}

/// A probe: every tensor of the step is asked for, so that nothing is fused across it; what no kernel makes is computed
/// by the reference loops, on a device with memory of its own too.
TEST(KernelEntries, AnyTensorOfAStepCanBeAskedFor) {
  Options options;
  options.batch = 3;
  options.seed = 11;
  options.sgd = Options::Sgd{0.5F, 0.125F};
  const LayerWidths widths{bits(5), bits(8)};
  options.widest = [&](const std::string&) { return widths; };
  const auto network = small_program(options);
  for (const auto& device : tested_devices()) {
    for (const char* name : {"a.conv2/y sums", "b.conv1/dx sums", "a.bn1/z", "b.conv2/x codes", "a.conv1/w codes",
                             "a.conv1/w grid", "a.conv1/error w codes", "b.bn2/dy", "fc/products"}) {
      const Tensor tensor = network->program.find(name);
      ASSERT_TRUE(tensor) << name;
      CompiledStep expected(*make_reference_device(), *network, *network, {tensor}),
          actual(*device, *network, *network, {tensor});
      StepInputs inputs(network->program);
      const auto x = noise(static_cast<std::size_t>(network->program.spec(network->images).size()), 1000);
      const std::vector<std::int32_t> labels{1, 4, 2};
      give(inputs, *network, x, labels, widths);
      expected.executable->run(inputs);
      actual.executable->run(inputs);
      std::vector<std::byte> one(network->program.spec(tensor).bytes()), other(one.size());
      expected.executable->read(tensor, one.data());
      actual.executable->read(tensor, other.data());
      EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size()), 0) << device->name() << ": " << name;
      double loss[2];
      loss[0] = expected.executable->run(inputs).at<LossRecord>(network->loss)->loss;
      loss[1] = actual.executable->run(inputs).at<LossRecord>(network->loss)->loss;
      EXPECT_EQ(loss[0], loss[1]) << device->name() << ": " << name;
    }
  }
}

TEST(KernelEntries, GiveTheBytesOfTheNodesThatTheyStandFor) {
  for (const auto& device : tested_devices()) {
    std::set<std::string> used;
    for (const Case& c : kCases) {
      SCOPED_TRACE(c.name);
      Options options;
      options.batch = 3;
      options.seed = 11;
      options.sgd = Options::Sgd{0.5F, 0.125F};
      options.widest = [&](const std::string&) { return c.widths; };
      c.change(options);
      const auto training = small_program(options);
      expect_the_reference(*device, *training, *training, c.widths, used);
      const auto pooled = pooled_program(options);
      expect_the_reference(*device, *pooled, *pooled, c.widths, used);
      if (!options.stored_images) expect_recurrent_steps(*device, options, c.widths, used);
      options.training = false;
      expect_the_reference(*device, *small_program(options), *training, c.widths, used);
      expect_the_reference(*device, *pooled_program(options), *pooled, c.widths, used);
    }
    for (const FusedEntry& entry : fused_entries(device->name().starts_with("cpu"))) {
      EXPECT_TRUE(used.count(entry.entry.name)) << device->name() << ": no program uses " << entry.entry.name;
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
