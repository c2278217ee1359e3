// SPDX-License-Identifier: Apache-2.0
// One step of one convolution with everything around it, on any backend: what it writes, as bytes by name, is compared
// between backends.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "sim/number/philox.h"
#include "tests/exact/backend_fixture.h"

namespace bitcycle::test {

struct StepVariant {
  ErrorWeights reading = ErrorWeights::kShared;
  int grid_bits = 16;
  bool stochastic = true;
  bool fused_input = false;  // input is norm and ReLU of an earlier output
  int mask = 0;              // 0 none, 1 bits, 2 norm
};

/// Everything a step writes, as bytes by name.
using StepOutcome = std::map<std::string, std::vector<std::uint8_t>>;

template <typename T>
void keep(StepOutcome& outcome, const std::string& name, Backend& backend, const Buffer& buffer, std::int64_t count) {
  const auto values = download<T>(backend, buffer.as<T>(), count);
  auto& bytes = outcome[name];
  bytes.resize(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
}

template <typename T>
Buffer zeros(Backend& backend, std::int64_t count) {
  return Buffer(backend, static_cast<std::size_t>(count) * sizeof(T));
}

/// Batch norm channels with signs of both kinds.
inline std::vector<NormChannel> channels_of(std::int64_t count, std::uint64_t seed) {
  TestRandom random(seed);
  std::vector<NormChannel> channels(static_cast<std::size_t>(count));
  for (auto& c : channels) {
    c.mean = random.uniform();
    c.inverse_deviation = 0.5F + std::fabs(random.uniform());
    c.a = random.uniform() * c.inverse_deviation;
    c.beta = 0.3F * random.uniform();
    c.t_bound = 8.0F;
  }
  return channels;
}

/// An input's scale and codes, a forward pass with them, and what it wrote.
struct ForwardPass {
  Buffer affine, codes, y, statistics;
  ConvForward args;
};
inline ForwardPass run_forward(Backend& backend, const ConvShape& s, BitWidth width, const ConvInput& input,
                               const Buffer& range, const QuantisedWeights& weights) {
  ForwardPass pass{zeros<Affine>(backend, 1),
                   code_buffer(backend, width, s.input_size()),
                   zeros<float>(backend, s.output_size()),
                   zeros<ChannelStatistics>(backend, s.o),
                   {}};
  Buffer running = zeros<float>(backend, 2);
  backend.activation_scale({range.as<Range>(), running.as<float>(), true, width, MinScale{}, pass.affine.as<Affine>()});
  pass.args.input = input;
  pass.args.codes = {pass.codes.as<void>(), pass.affine.as<Affine>(), width};
  pass.args.weights = &weights;
  pass.args.shape = s;
  pass.args.y = pass.y.as<float>();
  pass.args.statistics = pass.statistics.as<ChannelStatistics>();
  pass.args.input_range = range.as<Range>();
  backend.conv_forward(pass.args);
  return pass;
}

inline StepOutcome run_step(Backend& backend, const ConvShape& s, const WidthPair& widths, const StepVariant& variant) {
  StepOutcome outcome;
  const std::int64_t in = s.input_size(), out = s.output_size(), positions = s.n * s.h * s.w;
  const std::int64_t out_positions = s.n * s.out_h() * s.out_w();
  const MinScale min_scale;

  auto weights = backend.make_weights(s);
  const Buffer master = upload(backend, random_normal(s.weight_size(), 1, 0.3F));
  backend.quantise_weights({master.as<float>(), widths.forward, variant.reading, variant.grid_bits, min_scale, true},
                           *weights);
  keep<std::uint32_t>(outcome, "weight codes", backend, weights->codes, s.weight_size());

  // Forward.
  // Of both signs, as images are: where the smallest value is 0, offsets that its scale multiplies are never looked at.
  const Buffer x = upload(backend, random_normal(in, 2));
  const Buffer input_norm = upload(backend, channels_of(s.c, 3));
  Buffer x_range = zeros<Range>(backend, 1);
  if (variant.fused_input) {
    const std::vector<Range> wide{{0.0F, 3.0F}};
    backend.to_device(x_range.as<Range>(), wide.data(), sizeof(Range));
  } else {
    backend.tensor_range(x.as<float>(), in, x_range.as<Range>());
  }
  ForwardPass pass =
      run_forward(backend, s, widths.forward,
                  {x.as<float>(), variant.fused_input ? input_norm.as<NormChannel>() : nullptr}, x_range, *weights);
  const ConvForward& forward = pass.args;
  Buffer &codes = pass.codes, &y = pass.y, &statistics = pass.statistics;
  keep<std::uint8_t>(outcome, "x codes", backend, codes,
                     in * static_cast<std::int64_t>(bytes_of(widths.forward.container())));
  keep<float>(outcome, "y", backend, y, out);
  keep<ChannelStatistics>(outcome, "statistics", backend, statistics, s.o);

  // Its batch norm, with a shortcut.
  const std::vector<float> ones(static_cast<std::size_t>(s.o), 1.25F);
  const Buffer gamma = upload(backend, ones), beta = upload(backend, random_normal(s.o, 4));
  Buffer mean = zeros<float>(backend, s.o), variance = zeros<float>(backend, s.o),
         norm = zeros<NormChannel>(backend, s.o);
  Buffer relu_range = zeros<Range>(backend, 1), z = zeros<float>(backend, out), z_range = zeros<Range>(backend, 1);
  Buffer mask = zeros<std::uint32_t>(backend, out / 32 + 1);
  backend.norm_prepare({s.o, static_cast<std::uint64_t>(out_positions), statistics.as<ChannelStatistics>(),
                        gamma.as<float>(), beta.as<float>(), mean.as<float>(), variance.as<float>(),
                        norm.as<NormChannel>(), relu_range.as<Range>()});
  const Buffer shortcut = upload(backend, random_normal(out, 5));
  const Buffer shortcut_norm = upload(backend, channels_of(s.o, 6));
  NormForward apply;
  apply.positions = out_positions;
  apply.channels = s.o;
  apply.y = y.as<float>();
  apply.norm = norm.as<NormChannel>();
  apply.shortcut = shortcut.as<float>();
  apply.shortcut_norm = variant.mask == 2 ? shortcut_norm.as<NormChannel>() : nullptr;
  apply.z = z.as<float>();
  apply.mask_bits = mask.as<std::uint32_t>();
  apply.range = z_range.as<Range>();
  backend.norm_forward(apply);
  keep<NormChannel>(outcome, "norm", backend, norm, s.o);
  keep<Range>(outcome, "relu range", backend, relu_range, 1);
  keep<float>(outcome, "z", backend, z, out);
  keep<Range>(outcome, "z range", backend, z_range, 1);
  keep<std::uint32_t>(outcome, "mask", backend, mask, out / 32 + 1);

  // Backward: gradient of the norm, weight gradient, error pass, join with a second contribution.
  const Buffer u = upload(backend, random_normal(out, 7, 1e-2F));
  TestRandom random(8);
  std::vector<NormGradientChannel> of_channels(static_cast<std::size_t>(s.o));
  for (auto& c : of_channels) c = {random.uniform(), 1e-3F * random.uniform(), 1e-4F * random.uniform()};
  const Buffer norm_gradient = upload(backend, of_channels);
  const ConvGradient gradient{u.as<float>(), y.as<float>(), norm.as<NormChannel>(),
                              norm_gradient.as<NormGradientChannel>()};
  Buffer g_range = zeros<Range>(backend, 1), g_affine = zeros<Affine>(backend, 1);
  backend.gradient_scale(gradient, out_positions, s.o, widths.gradient, min_scale, false, g_range.as<Range>(),
                         g_affine.as<Affine>());
  Buffer g = code_buffer(backend, widths.gradient, out);
  Buffer dw = zeros<float>(backend, s.weight_size()), dx = zeros<float>(backend, in),
         dx_bound = zeros<float>(backend, 1);
  const Buffer other = upload(backend, random_normal(in, 9, 1e-2F));
  const Buffer other_bound = upload(backend, std::vector<float>{0.05F});
  const Buffer mask_y = upload(backend, random_normal(in, 10));
  const Buffer mask_norm = upload(backend, channels_of(s.c, 11));
  std::vector<std::uint32_t> words(static_cast<std::size_t>(in / 32 + 1));
  for (auto& word : words) word = random.word();
  const Buffer mask_bits = upload(backend, words);
  const Buffer sum_y[2] = {upload(backend, random_normal(in, 12)), upload(backend, random_normal(in, 13))};
  const Buffer sum_norm[2] = {upload(backend, channels_of(s.c, 14)), upload(backend, channels_of(s.c, 15))};
  Buffer sums[2] = {zeros<NormGradientSums>(backend, s.c), zeros<NormGradientSums>(backend, s.c)};
  Buffer joined = zeros<float>(backend, in), joined_bound = zeros<float>(backend, 1);
  GradientJoin join;
  if (variant.mask != 0) {
    join.other = other.as<float>();
    join.other_bound = other_bound.as<float>();
  }
  if (variant.mask == 1) join.mask_bits = mask_bits.as<std::uint32_t>();
  if (variant.mask == 2) {
    join.mask_y = mask_y.as<float>();
    join.mask_norm = mask_norm.as<NormChannel>();
  }
  join.u = joined.as<float>();
  join.u_bound = joined_bound.as<float>();
  for (int i = 0; i <= variant.mask && i < 2; ++i) {
    join.norm[i] = {sum_y[i].as<float>(), sum_norm[i].as<NormChannel>(), sums[i].as<NormGradientSums>()};
  }
  ConvBackward backward;
  backward.gradient = gradient;
  backward.g = {g.as<void>(), g_affine.as<Affine>(), widths.gradient};
  backward.g_range = g_range.as<Range>();
  backward.stochastic = variant.stochastic;
  backward.noise = philox_stream(99, 3, RandomPurpose::kGradientRounding, 17);
  backward.x = forward.codes;
  backward.x_range = x_range.as<Range>();
  backward.weights = weights.get();
  backward.shape = s;
  backward.dw = dw.as<float>();
  backward.dx = dx.as<float>();
  backward.dx_bound = dx_bound.as<float>();
  backward.join = &join;
  backend.conv_backward(backward);
  keep<Affine>(outcome, "g affine", backend, g_affine, 1);
  keep<std::uint8_t>(outcome, "g codes", backend, g,
                     out * static_cast<std::int64_t>(bytes_of(widths.gradient.container())));
  keep<float>(outcome, "dw", backend, dw, s.weight_size());
  keep<float>(outcome, "dx", backend, dx, in);
  keep<float>(outcome, "dx bound", backend, dx_bound, 1);
  keep<float>(outcome, "u", backend, joined, in);
  keep<float>(outcome, "u bound", backend, joined_bound, 1);
  for (int i = 0; i < 2; ++i) keep<NormGradientSums>(outcome, "sums " + std::to_string(i), backend, sums[i], s.c);

  // A pool's backward pass joins in the same way.
  const Buffer dpooled = upload(backend, random_normal(s.n * s.c, 16));
  AveragePoolBackward pool;
  pool.n = s.n;
  pool.positions = s.h * s.w;
  pool.channels = s.c;
  pool.dpooled = dpooled.as<float>();
  join.other = nullptr;
  pool.join = &join;
  backend.average_pool_backward(pool);
  keep<float>(outcome, "pool u", backend, joined, in);
  keep<NormGradientSums>(outcome, "pool sums", backend, sums[0], s.c);

  // SGD on the gradient.
  Buffer momentum = upload(backend, random_normal(s.weight_size(), 17)),
         parameter = upload(backend, random_normal(s.weight_size(), 18));
  backend.sgd_update({s.weight_size(), dw.as<float>(), momentum.as<float>(), parameter.as<float>(), 0.1F, 0.9F, 1e-4F});
  keep<float>(outcome, "momentum", backend, momentum, s.weight_size());
  keep<float>(outcome, "parameter", backend, parameter, s.weight_size());
  static_cast<void>(positions);
  return outcome;
}

/// Floats, all that are not finite alike: which of them a sum is, is the hardware's.
inline void keep_finite(StepOutcome& outcome, const std::string& name, std::vector<float> values) {
  for (float& v : values) v = std::isfinite(v) ? v : std::numeric_limits<float>::infinity();
  auto& bytes = outcome[name];
  bytes.resize(values.size() * sizeof(float));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
}

/// A forward and an error pass whose results are beyond binary32's range in channels of even number, or, with
/// `infinite`, not numbers at all, because the input and the gradient have an infinity: what extremes and bounds say of
/// it, which is how the step finds out (docs/numerics.md, 11.1), and the sums of the channels that are finite.
inline StepOutcome run_overflowing_step(Backend& backend, const ConvShape& s, const WidthPair& widths,
                                        ErrorWeights reading, bool infinite) {
  StepOutcome outcome;
  const std::int64_t in = s.input_size(), out = s.output_size(), out_positions = s.n * s.out_h() * s.out_w();
  const MinScale min_scale;
  constexpr float kLarge = 1e19F;
  auto weights = backend.make_weights(s);
  std::vector<float> of_weights = random_normal(s.weight_size(), 1);
  const std::int64_t c = s.c / s.groups, row = s.kh * s.kw * c;
  for (std::int64_t i = 0; i < s.weight_size(); ++i) {
    if (i / row % 2 == 0 && i % c % 2 == 0) of_weights[static_cast<std::size_t>(i)] *= kLarge;
  }
  const auto with_infinity = [&](std::vector<float> values) {
    if (infinite && !values.empty()) values[values.size() / 2] = std::numeric_limits<float>::infinity();
    return values;
  };
  const Buffer master = upload(backend, of_weights);
  backend.quantise_weights({master.as<float>(), widths.forward, reading, 16, min_scale, true}, *weights);
  const Buffer x = upload(backend, with_infinity(random_normal(in, 2, kLarge)));
  Buffer x_range = zeros<Range>(backend, 1);
  backend.tensor_range(x.as<float>(), in, x_range.as<Range>());
  ForwardPass pass = run_forward(backend, s, widths.forward, {x.as<float>(), nullptr}, x_range, *weights);
  const ConvForward& forward = pass.args;
  const Buffer &y = pass.y, &statistics = pass.statistics;
  keep_finite(outcome, "y", download<float>(backend, y.as<float>(), out));
  std::vector<float> extremes;
  std::vector<std::int64_t> finite_sums;
  for (const auto& channel : download(backend, statistics.as<ChannelStatistics>(), s.o)) {
    extremes.insert(extremes.end(), {channel.lo, channel.hi});
    if (!std::isfinite(channel.lo) || !std::isfinite(channel.hi)) continue;
    finite_sums.insert(finite_sums.end(), {channel.s1, static_cast<std::int64_t>(channel.s2)});
  }
  keep_finite(outcome, "extremes", extremes);

  const Buffer u = upload(backend, with_infinity(random_normal(out, 7, kLarge)));
  const ConvGradient gradient{u.as<float>(), nullptr, nullptr, nullptr};
  Buffer g_range = zeros<Range>(backend, 1), g_affine = zeros<Affine>(backend, 1);
  backend.gradient_scale(gradient, out_positions, s.o, widths.gradient, min_scale, false, g_range.as<Range>(),
                         g_affine.as<Affine>());
  Buffer g = code_buffer(backend, widths.gradient, out), dx = zeros<float>(backend, in),
         dx_bound = zeros<float>(backend, 1), joined = zeros<float>(backend, in), bound = zeros<float>(backend, 1);
  const Buffer sum_y = upload(backend, random_normal(in, 12)), sum_norm = upload(backend, channels_of(s.c, 14));
  Buffer sums = zeros<NormGradientSums>(backend, s.c);
  GradientJoin join;
  join.u = joined.as<float>();
  join.u_bound = bound.as<float>();
  join.norm[0] = {sum_y.as<float>(), sum_norm.as<NormChannel>(), sums.as<NormGradientSums>()};
  ConvBackward backward;
  backward.gradient = gradient;
  backward.g = {g.as<void>(), g_affine.as<Affine>(), widths.gradient};
  backward.g_range = g_range.as<Range>();
  backward.stochastic = true;
  backward.noise = philox_stream(99, 3, RandomPurpose::kGradientRounding, 17);
  backward.x = forward.codes;
  backward.x_range = x_range.as<Range>();
  backward.weights = weights.get();
  backward.shape = s;
  backward.dx = dx.as<float>();
  backward.dx_bound = dx_bound.as<float>();
  backward.join = &join;
  backend.conv_backward(backward);
  keep_finite(outcome, "dx", download<float>(backend, dx.as<float>(), in));
  keep_finite(outcome, "bounds", {download<float>(backend, dx_bound)[0], download<float>(backend, bound)[0]});
  const auto of_sums = download(backend, sums.as<NormGradientSums>(), s.c);
  for (std::int64_t i = 0; i < s.c && !infinite; ++i) {
    const NormGradientSums& channel = of_sums[static_cast<std::size_t>(i)];
    if (i % c % 2 != 0) finite_sums.insert(finite_sums.end(), {channel.s_u, channel.s_ut});
  }
  keep_finite(outcome, "u", download<float>(backend, joined.as<float>(), in));
  auto& bytes = outcome["finite sums"];
  bytes.resize(finite_sums.size() * sizeof(std::int64_t));
  if (!bytes.empty()) std::memcpy(bytes.data(), finite_sums.data(), bytes.size());
  return outcome;
}

}  // namespace bitcycle::test
