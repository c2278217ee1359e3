// SPDX-License-Identifier: Apache-2.0
// The head of a language model, 8 x 8 bits: a fully connected layer of 512 numbers to 267,744 words and the softmax
// cross-entropy of 512 words, all three passes, without an optimiser. Prints one JSON object: the least seconds of a
// step by the clock on the wall and of all threads together, and the bytes that a step keeps beside the weight's
// gradient, as a multiple of the logits.
//   bench_language_head [THREADS [STEPS [WORDS]]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "nn/builder/recurrent.h"
#include "sim/device/kernel_device.h"
#include "sim/number/philox.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kRows = 512, kSize = 512;

double thread_seconds() {
  std::timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec);
}
double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<float> values(std::int64_t size, float scale, std::uint32_t tensor) {
  const PhiloxStream stream = philox_stream(3, 0, RandomPurpose::kSyntheticData, tensor);
  std::vector<float> made(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = scale * rounding_noise(philox_word(stream, i));
  return made;
}

int measure(int threads, int steps, std::int64_t words) {
  using namespace builder;
  Options options;
  options.batch = kRows;
  const LayerWidths widths{BitWidth::integer(8), BitWidth::integer(8)};
  options.widest = [&](const std::string&) { return widths; };
  Builder b("head", options);
  Value* x = b.images(1, 1, kSize);
  x->wants_gradient = true;
  QuantisedLinear head(b, "head", kRows, kSize, words, Bias::kNone);
  softmax_loss(b, head(x));
  const auto network = b.finish();
  const Program& program = network->program;
  const std::vector<Tensor> kept{network->gradients.front(), program.find("head/dx 0")};

  const auto device = make_cpu_device(Isa::kAuto, threads);
  const auto state = device->make_state(program);
  const std::vector<float> weights = values(words * kSize, 0.1F, 1), inputs_of = values(kRows * kSize, 4.0F, 2);
  state->write("head.weight", weights.data());
  const auto executable = device->compile(program, {state, kept});
  std::vector<std::int32_t> labels;
  for (std::int64_t r = 0; r < kRows; ++r) labels.push_back(static_cast<std::int32_t>(r * 7919 % words));
  StepInputs inputs(program);
  inputs.point(network->images, inputs_of.data());
  inputs.point(network->labels, labels.data());
  inputs.set(network->step, std::uint32_t{1});
  inputs.set(network->layers.front().forward, widths.forward);
  inputs.set(network->layers.front().gradient, widths.gradient);
  double wall = 0.0, all_threads = 0.0;
  for (int step = 0; step <= steps; ++step) {
    const double from = wall_seconds(), spent = thread_seconds();
    executable->run(inputs);
    if (step == 0) continue;  // takes memory
    wall = step == 1 ? wall_seconds() - from : std::min(wall, wall_seconds() - from);
    all_threads = step == 1 ? thread_seconds() - spent : std::min(all_threads, thread_seconds() - spent);
  }
  const auto gradient = static_cast<double>(program.spec(kept.front()).bytes());
  const auto logits = static_cast<double>(program.spec(network->logits).bytes());
  const double step_bytes = static_cast<double>(device->step_bytes(program, kept));
  std::printf(
      "{\"threads\": %d, \"words\": %lld, \"seconds\": %.4f, \"thread_seconds\": %.4f, "
      "\"memory_of_logits\": %.3f}\n",
      device->threads(), static_cast<long long>(words), wall, all_threads, (step_bytes - gradient) / logits);
  return 0;
}

}  // namespace
}  // namespace bitcycle

int main(int count, char** arguments) {
  const auto number = [&](int at, int otherwise) { return count > at ? std::atoi(arguments[at]) : otherwise; };
  return bitcycle::measure(number(1, 0), number(2, 3), number(3, 267'744));
}
