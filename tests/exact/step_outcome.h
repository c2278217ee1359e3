// SPDX-License-Identifier: Apache-2.0
// One step of one convolution with everything around it, on any library: what it writes, as bytes by name, is compared
// between libraries.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "sim/number/philox.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle::test {

struct StepVariant {
  ErrorWeights error_weights = ErrorWeights::kShared;
  int grid_bits = 16;
  bool stochastic = true;
  bool fused_input = false;  // input is norm and ReLU of an earlier output
  int mask = 0;              // 0 none, 1 bits, 2 norm
};

/// Everything a step writes, as bytes by name.
using StepOutcome = std::map<std::string, std::vector<std::uint8_t>>;

template <typename T>
void keep(StepOutcome& outcome, const std::string& name, KernelLibrary& library, const Buffer& buffer,
          std::int64_t count) {
  const auto values = download<T>(library, buffer.as<T>(), count);
  auto& bytes = outcome[name];
  bytes.resize(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
}

/// Codes of weights in 32 bits: a library may keep bytes, which the memory's size tells.
inline void keep_weight_codes(StepOutcome& outcome, KernelLibrary& library, const Buffer& buffer, std::int64_t count) {
  if (static_cast<std::int64_t>(buffer.bytes()) != count) {
    keep<std::uint32_t>(outcome, "weight codes", library, buffer, count);
    return;
  }
  const auto bytes = download<std::uint8_t>(library, buffer.as<std::uint8_t>(), count);
  const std::vector<std::uint32_t> codes(bytes.begin(), bytes.end());
  auto& kept = outcome["weight codes"];
  kept.resize(codes.size() * sizeof(codes[0]));
  if (!kept.empty()) std::memcpy(kept.data(), codes.data(), kept.size());
}

template <typename T>
Buffer zeros(KernelLibrary& library, std::int64_t count) {
  return Buffer(library, static_cast<std::size_t>(count) * sizeof(T));
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
inline ForwardPass run_forward(KernelLibrary& library, const ConvShape& s, BitWidth width, const ConvInput& input,
                               const Buffer& range, const QuantisedWeights& weights) {
  ForwardPass pass{zeros<Affine>(library, 1),
                   code_buffer(library, width, s.input_size()),
                   zeros<float>(library, s.output_size()),
                   zeros<ChannelStatistics>(library, s.o),
                   {}};
  Buffer running = zeros<float>(library, 2);
  library.activation_scale({range.as<Range>(), running.as<float>(), true, width, MinScale{}, pass.affine.as<Affine>()});
  pass.args.input = input;
  pass.args.codes = {pass.codes.as<void>(), pass.affine.as<Affine>(), width};
  pass.args.weights = &weights;
  pass.args.shape = s;
  pass.args.y = pass.y.as<float>();
  pass.args.statistics = pass.statistics.as<ChannelStatistics>();
  pass.args.input_range = range.as<Range>();
  library.conv_forward(pass.args);
  return pass;
}

inline StepOutcome run_step(KernelLibrary& library, const ConvShape& s, const WidthPair& widths,
                            const StepVariant& variant) {
  StepOutcome outcome;
  const std::int64_t in = s.input_size(), out = s.output_size(), positions = s.n * s.h * s.w;
  const std::int64_t out_positions = s.n * s.out_h() * s.out_w();
  const MinScale min_scale;

  auto weights = library.make_weights(s);
  const Buffer master = upload(library, random_normal(s.weight_size(), 1, 0.3F));
  library.quantise_weights(
      {master.as<float>(), widths.forward, variant.error_weights, variant.grid_bits, min_scale, true}, *weights);
  keep_weight_codes(outcome, library, weights->codes, s.weight_size());

  // Forward.
  // Of both signs, as images are: where the smallest value is 0, offsets that its scale multiplies are never looked at.
  const Buffer x = upload(library, random_normal(in, 2));
  const Buffer input_norm = upload(library, channels_of(s.c, 3));
  Buffer x_range = zeros<Range>(library, 1);
  if (variant.fused_input) {
    const std::vector<Range> wide{{0.0F, 3.0F}};
    library.to_device(x_range.as<Range>(), wide.data(), sizeof(Range));
  } else {
    library.tensor_range(x.as<float>(), in, x_range.as<Range>());
  }
  ForwardPass pass =
      run_forward(library, s, widths.forward,
                  {x.as<float>(), variant.fused_input ? input_norm.as<NormChannel>() : nullptr}, x_range, *weights);
  const ConvForward& forward = pass.args;
  Buffer &codes = pass.codes, &y = pass.y, &statistics = pass.statistics;
  keep<std::uint8_t>(outcome, "x codes", library, codes,
                     in * static_cast<std::int64_t>(bytes_of(widths.forward.container())));
  keep<float>(outcome, "y", library, y, out);
  keep<ChannelStatistics>(outcome, "statistics", library, statistics, s.o);

  // Its batch norm, with a shortcut.
  const std::vector<float> ones(static_cast<std::size_t>(s.o), 1.25F);
  const Buffer gamma = upload(library, ones), beta = upload(library, random_normal(s.o, 4));
  Buffer mean = zeros<float>(library, s.o), variance = zeros<float>(library, s.o),
         norm = zeros<NormChannel>(library, s.o);
  Buffer relu_range = zeros<Range>(library, 1), z = zeros<float>(library, out), z_range = zeros<Range>(library, 1);
  Buffer mask = zeros<std::uint32_t>(library, out / 32 + 1);
  library.norm_prepare({s.o, static_cast<std::uint64_t>(out_positions), statistics.as<ChannelStatistics>(),
                        gamma.as<float>(), beta.as<float>(), mean.as<float>(), variance.as<float>(),
                        norm.as<NormChannel>(), relu_range.as<Range>()});
  const Buffer shortcut = upload(library, random_normal(out, 5));
  const Buffer shortcut_norm = upload(library, channels_of(s.o, 6));
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
  library.norm_forward(apply);
  keep<NormChannel>(outcome, "norm", library, norm, s.o);
  keep<Range>(outcome, "relu range", library, relu_range, 1);
  keep<float>(outcome, "z", library, z, out);
  keep<Range>(outcome, "z range", library, z_range, 1);
  keep<std::uint32_t>(outcome, "mask", library, mask, out / 32 + 1);

  // Backward: gradient of the norm, weight gradient, error pass, sum with a second contribution.
  const Buffer u = upload(library, random_normal(out, 7, 1e-2F));
  TestRandom random(8);
  std::vector<NormGradientChannel> of_channels(static_cast<std::size_t>(s.o));
  for (auto& c : of_channels) c = {random.uniform(), 1e-3F * random.uniform(), 1e-4F * random.uniform()};
  const Buffer norm_gradient = upload(library, of_channels);
  const ConvGradient gradient{u.as<float>(), y.as<float>(), norm.as<NormChannel>(),
                              norm_gradient.as<NormGradientChannel>()};
  Buffer g_range = zeros<Range>(library, 1), g_affine = zeros<Affine>(library, 1);
  library.gradient_scale({gradient, out_positions, s.o, widths.gradient, nullptr, min_scale, false, g_range.as<Range>(),
                          g_affine.as<Affine>()});
  Buffer g = code_buffer(library, widths.gradient, out);
  Buffer dw = zeros<float>(library, s.weight_size()), dx = zeros<float>(library, in),
         dx_bound = zeros<float>(library, 1);
  const Buffer other = upload(library, random_normal(in, 9, 1e-2F));
  const Buffer other_bound = upload(library, std::vector<float>{0.05F});
  const Buffer mask_y = upload(library, random_normal(in, 10));
  const Buffer mask_norm = upload(library, channels_of(s.c, 11));
  std::vector<std::uint32_t> words(static_cast<std::size_t>(in / 32 + 1));
  for (auto& word : words) word = random.word();
  const Buffer mask_bits = upload(library, words);
  const Buffer sum_y[2] = {upload(library, random_normal(in, 12)), upload(library, random_normal(in, 13))};
  const Buffer sum_norm[2] = {upload(library, channels_of(s.c, 14)), upload(library, channels_of(s.c, 15))};
  Buffer sums[2] = {zeros<NormGradientSums>(library, s.c), zeros<NormGradientSums>(library, s.c)};
  Buffer summed = zeros<float>(library, in), summed_bound = zeros<float>(library, 1);
  GradientSum gradient_sum;
  if (variant.mask != 0) {
    gradient_sum.other = other.as<float>();
    gradient_sum.other_bound = other_bound.as<float>();
  }
  if (variant.mask == 1) gradient_sum.mask_bits = mask_bits.as<std::uint32_t>();
  if (variant.mask == 2) {
    gradient_sum.mask_y = mask_y.as<float>();
    gradient_sum.mask_norm = mask_norm.as<NormChannel>();
  }
  gradient_sum.u = summed.as<float>();
  gradient_sum.u_bound = summed_bound.as<float>();
  for (int i = 0; i <= variant.mask && i < 2; ++i) {
    gradient_sum.norm[i] = {sum_y[i].as<float>(), sum_norm[i].as<NormChannel>(), sums[i].as<NormGradientSums>()};
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
  backward.gradient_sum = &gradient_sum;
  library.conv_backward(backward);
  keep<Affine>(outcome, "g affine", library, g_affine, 1);
  keep<std::uint8_t>(outcome, "g codes", library, g,
                     out * static_cast<std::int64_t>(bytes_of(widths.gradient.container())));
  keep<float>(outcome, "dw", library, dw, s.weight_size());
  keep<float>(outcome, "dx", library, dx, in);
  keep<float>(outcome, "dx bound", library, dx_bound, 1);
  keep<float>(outcome, "u", library, summed, in);
  keep<float>(outcome, "u bound", library, summed_bound, 1);
  for (int i = 0; i < 2; ++i) keep<NormGradientSums>(outcome, "sums " + std::to_string(i), library, sums[i], s.c);

  // A pool's gradient is added in the same way.
  const Buffer dpooled = upload(library, random_normal(s.n * s.c, 16));
  AveragePoolBackward pool;
  pool.n = s.n;
  pool.positions = s.h * s.w;
  pool.channels = s.c;
  pool.dpooled = dpooled.as<float>();
  gradient_sum.other = nullptr;
  pool.gradient_sum = &gradient_sum;
  library.average_pool_backward(pool);
  keep<float>(outcome, "pool u", library, summed, in);
  keep<NormGradientSums>(outcome, "pool sums", library, sums[0], s.c);

  // SGD on the gradient.
  Buffer momentum = upload(library, random_normal(s.weight_size(), 17)),
         parameter = upload(library, random_normal(s.weight_size(), 18));
  library.sgd_update({s.weight_size(), dw.as<float>(), momentum.as<float>(), parameter.as<float>(), 0.1F, 0.9F, 1e-4F});
  keep<float>(outcome, "momentum", library, momentum, s.weight_size());
  keep<float>(outcome, "parameter", library, parameter, s.weight_size());
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
inline StepOutcome run_overflowing_step(KernelLibrary& library, const ConvShape& s, const WidthPair& widths,
                                        ErrorWeights error_weights, bool infinite) {
  StepOutcome outcome;
  const std::int64_t in = s.input_size(), out = s.output_size(), out_positions = s.n * s.out_h() * s.out_w();
  const MinScale min_scale;
  constexpr float kLarge = 1e19F;
  auto weights = library.make_weights(s);
  std::vector<float> of_weights = random_normal(s.weight_size(), 1);
  const std::int64_t c = s.c / s.groups, row = s.kh * s.kw * c;
  for (std::int64_t i = 0; i < s.weight_size(); ++i) {
    if (i / row % 2 == 0 && i % c % 2 == 0) of_weights[static_cast<std::size_t>(i)] *= kLarge;
  }
  const auto with_infinity = [&](std::vector<float> values) {
    if (infinite && !values.empty()) values[values.size() / 2] = std::numeric_limits<float>::infinity();
    return values;
  };
  const Buffer master = upload(library, of_weights);
  library.quantise_weights({master.as<float>(), widths.forward, error_weights, 16, min_scale, true}, *weights);
  const Buffer x = upload(library, with_infinity(random_normal(in, 2, kLarge)));
  Buffer x_range = zeros<Range>(library, 1);
  library.tensor_range(x.as<float>(), in, x_range.as<Range>());
  ForwardPass pass = run_forward(library, s, widths.forward, {x.as<float>(), nullptr}, x_range, *weights);
  const ConvForward& forward = pass.args;
  const Buffer &y = pass.y, &statistics = pass.statistics;
  keep_finite(outcome, "y", download<float>(library, y.as<float>(), out));
  std::vector<float> extremes;
  std::vector<std::int64_t> finite_sums;
  for (const auto& channel : download(library, statistics.as<ChannelStatistics>(), s.o)) {
    extremes.insert(extremes.end(), {channel.lo, channel.hi});
    if (!std::isfinite(channel.lo) || !std::isfinite(channel.hi)) continue;
    finite_sums.insert(finite_sums.end(), {channel.s1, static_cast<std::int64_t>(channel.s2)});
  }
  keep_finite(outcome, "extremes", extremes);

  const Buffer u = upload(library, with_infinity(random_normal(out, 7, kLarge)));
  const ConvGradient gradient{u.as<float>(), nullptr, nullptr, nullptr};
  Buffer g_range = zeros<Range>(library, 1), g_affine = zeros<Affine>(library, 1);
  library.gradient_scale({gradient, out_positions, s.o, widths.gradient, nullptr, min_scale, false, g_range.as<Range>(),
                          g_affine.as<Affine>()});
  Buffer g = code_buffer(library, widths.gradient, out), dx = zeros<float>(library, in),
         dx_bound = zeros<float>(library, 1), summed = zeros<float>(library, in), bound = zeros<float>(library, 1);
  const Buffer sum_y = upload(library, random_normal(in, 12)), sum_norm = upload(library, channels_of(s.c, 14));
  Buffer sums = zeros<NormGradientSums>(library, s.c);
  GradientSum gradient_sum;
  gradient_sum.u = summed.as<float>();
  gradient_sum.u_bound = bound.as<float>();
  gradient_sum.norm[0] = {sum_y.as<float>(), sum_norm.as<NormChannel>(), sums.as<NormGradientSums>()};
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
  backward.gradient_sum = &gradient_sum;
  library.conv_backward(backward);
  keep_finite(outcome, "dx", download<float>(library, dx.as<float>(), in));
  keep_finite(outcome, "bounds", {download<float>(library, dx_bound)[0], download<float>(library, bound)[0]});
  const auto of_sums = download(library, sums.as<NormGradientSums>(), s.c);
  for (std::int64_t i = 0; i < s.c && !infinite; ++i) {
    const NormGradientSums& channel = of_sums[static_cast<std::size_t>(i)];
    if (i % c % 2 != 0) finite_sums.insert(finite_sums.end(), {channel.s_u, channel.s_ut});
  }
  keep_finite(outcome, "u", download<float>(library, summed.as<float>(), in));
  auto& bytes = outcome["finite sums"];
  bytes.resize(finite_sums.size() * sizeof(std::int64_t));
  if (!bytes.empty()) std::memcpy(bytes.data(), finite_sums.data(), bytes.size());
  return outcome;
}

}  // namespace bitcycle::test
