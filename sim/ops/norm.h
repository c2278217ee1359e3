// SPDX-License-Identifier: Apache-2.0
// Batch normalisation, one channel at a time: from exact sums to mean and deviation, applying it, and its backward
// pass (docs/numerics.md, 7.2 to 7.6). Running momentum 0.1, epsilon 1e-5.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/host_device.h"
#include "sim/number/order_free_sum.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/rescale.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {

/// Per-channel statistics of a batch, exact (7.2): q = rint(y * 2^exponent), s1 = sum q, s2 = sum q^2; lo, hi =
/// extremes of y.
struct ChannelStatistics {
  std::int64_t s1 = 0;
  std::uint64_t s2 = 0;
  float lo = 0.0F, hi = 0.0F;
  std::int32_t exponent = 0;
  std::int32_t unused = 0;
};

/// Batch normalisation of one channel, ready for use: t = fl(y - mean); z = fma(t, a, beta).
struct NormChannel {
  float mean = 0.0F;
  float inverse_deviation = 0.0F;
  float a = 0.0F;  // fl32(gamma * inverse_deviation)
  float beta = 0.0F;
  float t_bound = 0.0F;  // max |t| over the batch, from the extremes
};

/// Backward of the same: dy = fma(a, u, fma(k, t, c)).
struct NormGradientChannel {
  float a = 0.0F, k = 0.0F, c = 0.0F;
};

/// Sums over a batch for the backward pass of batch normalisation, exact: s_u = sum rint(u * 2^eu),
/// s_ut = sum rint(fl(u * t) * 2^eut).
struct NormGradientSums {
  std::int64_t s_u = 0;
  std::int64_t s_ut = 0;
  std::int32_t exponent_u = 0;
  std::int32_t exponent_ut = 0;
};

/// relu(z) = z > 0 ? z : +0 (6.1).
BITCYCLE_HD float relu(float z) { return z > 0.0F ? z : 0.0F; }

/// fl(fl(0.9 * old) + fl(0.1 * now)), 0.9 and 0.1 rounded to binary32 (2.5, 7.3).
BITCYCLE_HD float running_update(float old, float now) {
  const float kept = 0.9F * old;
  const float added = 0.1F * now;
  return kept + added;
}

/// fl32(1 / sqrt(variance + 1e-5)), evaluated in binary64.
BITCYCLE_HD float inverse_deviation(double variance) { return static_cast<float>(1.0 / sqrt(variance + 1e-5)); }

/// t = fl(y - mean).
BITCYCLE_HD float norm_centre(float y, const NormChannel& norm) { return y - norm.mean; }

/// z = fma(fl(y - mean), a, beta) (7.4).
BITCYCLE_HD float norm_apply(float y, const NormChannel& norm) { return fmaf(norm_centre(y, norm), norm.a, norm.beta); }

struct MeanVariance {
  double mean = 0.0;
  double variance = 0.0;
};

/// mean = fl64(S1)/N * 2^-e, variance = (N*S2 - S1^2)/N^2 * 2^-2e, the difference exact (7.3). N = 0: zeros.
BITCYCLE_HD MeanVariance mean_variance(const ChannelStatistics& s, std::uint64_t count) {
  if (count == 0) return {};
  const auto n = static_cast<Int128>(count);
  const Int128 spread = n * static_cast<Int128>(s.s2) - static_cast<Int128>(s.s1) * static_cast<Int128>(s.s1);
  MeanVariance result;
  result.mean = ldexp(static_cast<double>(s.s1) / static_cast<double>(count), -s.exponent);
  result.variance = ldexp(to_binary64(spread) / to_binary64(n * n), -2 * s.exponent);
  return result;
}

/// The channel of a training step; running statistics are updated in place (7.3). N = 0 leaves them as they are.
BITCYCLE_HD NormChannel norm_prepare_channel(const ChannelStatistics& s, std::uint64_t count, float gamma, float beta,
                                             float* running_mean, float* running_variance) {
  const MeanVariance m = mean_variance(s, count);
  NormChannel norm;
  norm.mean = static_cast<float>(m.mean);
  norm.inverse_deviation = inverse_deviation(m.variance);
  norm.a = gamma * norm.inverse_deviation;
  norm.beta = beta;
  norm.t_bound = magnitude_of({s.lo - norm.mean, s.hi - norm.mean});
  if (count != 0) {
    const auto n = static_cast<double>(count);
    const double unbiased = count == 1 ? m.variance : m.variance * n / (n - 1.0);
    *running_mean = running_update(*running_mean, norm.mean);
    *running_variance = running_update(*running_variance, static_cast<float>(unbiased));
  }
  return norm;
}

/// The channel of an evaluation: mean32 and r from the running statistics (7.4).
BITCYCLE_HD NormChannel norm_running_channel(float mean, float variance, float gamma, float beta) {
  NormChannel norm;
  norm.mean = mean;
  norm.inverse_deviation = inverse_deviation(static_cast<double>(variance));
  norm.a = gamma * norm.inverse_deviation;
  norm.beta = beta;
  return norm;
}

/// relu(norm(y)) at both extremes of y: the extremes of relu(norm(y)) over the channel, a composition of monotone
/// operations.
BITCYCLE_HD void include_relu_range(KeyRange& range, const ChannelStatistics& s, const NormChannel& norm) {
  include(range, relu(norm_apply(s.lo, norm)));
  include(range, relu(norm_apply(s.hi, norm)));
}

/// Exponents of the backward sums: bounds U, resp. fl64(U * T), N addends each (7.5).
BITCYCLE_HD NormGradientSums norm_gradient_grid(double u_bound, const NormChannel& norm, std::uint64_t count) {
  NormGradientSums sums;
  sums.exponent_u = sum_exponent(u_bound, count);
  sums.exponent_ut = sum_exponent(u_bound * static_cast<double>(norm.t_bound), count);
  return sums;
}

/// What the sums of one channel become.
struct NormGradientResult {
  NormGradientChannel gradient;
  float dgamma = 0.0F;
  float dbeta = 0.0F;
};

/// dbeta = fl32(S_u); dgamma = fl32(r * S_ut); c = fl32(-(a * S_u) / N); k = fl32(-(((a * r) * r) * S_ut) / N) (7.5).
/// N = 0: c = k = 0.
BITCYCLE_HD NormGradientResult norm_gradient_channel(const NormGradientSums& sums, const NormChannel& norm,
                                                     std::uint64_t count) {
  const double s_u = sum_value(sums.s_u, sums.exponent_u);
  const double s_ut = sum_value(sums.s_ut, sums.exponent_ut);
  const auto a = static_cast<double>(norm.a);
  const auto r = static_cast<double>(norm.inverse_deviation);
  NormGradientResult result;
  result.dbeta = static_cast<float>(s_u);
  result.dgamma = static_cast<float>(r * s_ut);
  result.gradient.a = norm.a;
  if (count != 0) {
    const auto n = static_cast<double>(count);
    result.gradient.c = static_cast<float>(-(a * s_u) / n);
    result.gradient.k = static_cast<float>(-(((a * r) * r) * s_ut) / n);
  }
  return result;
}

/// dy = fma(a, u, fma(k, t, c)), t = fl(y - mean).
BITCYCLE_HD float norm_backward(float u, float y, const NormChannel& norm, const NormGradientChannel& gradient) {
  return fmaf(gradient.a, u, fmaf(gradient.k, norm_centre(y, norm), gradient.c));
}

}  // namespace bitcycle
