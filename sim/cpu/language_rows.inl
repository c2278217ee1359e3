// SPDX-License-Identifier: Apache-2.0
// Rows of language models' operations as plain loops, which the compiler makes vectors of for each instruction set:
// they have no order that vectors would change. Included inside an unnamed namespace, after elementwise.inl.

constexpr std::int64_t kRowLanes = 32;

template <typename Float>
inline Float joined(Float* lanes) {
  for (std::int64_t half = kRowLanes / 2; half > 0; half /= 2) {
    for (std::int64_t l = 0; l < half; ++l) lanes[l] = lanes[l] + lanes[l + half];
  }
  return lanes[0];
}

/// value(sum of the lane, i).
template <typename Float, typename Value>
inline Float lane_sum(std::int64_t count, const Value& value) {
  alignas(64) Float lanes[kRowLanes] = {};
  std::int64_t i = 0;
  for (; i + kRowLanes <= count; i += kRowLanes) {
    for (std::int64_t l = 0; l < kRowLanes; ++l) lanes[l] = value(lanes[l], i + l);
  }
  for (std::int64_t l = 0; i + l < count; ++l) lanes[l] = value(lanes[l], i + l);
  return joined(lanes);
}

void layer_norm(const LayerNormRow& row) {
  const float *x = row.x, *gamma = row.gamma, *beta = row.beta;
  const auto count = static_cast<double>(row.count);
  const double mean =
      lane_sum<double>(row.count, [&](double sum, std::int64_t i) { return sum + static_cast<double>(x[i]); }) / count;
  const double squares = lane_sum<double>(row.count, [&](double sum, std::int64_t i) {
    const double t = static_cast<double>(x[i]) - mean;
    return __builtin_fma(t, t, sum);
  });
  const auto mean32 = static_cast<float>(mean);
  const auto inverse = static_cast<float>(1.0 / __builtin_sqrt(squares / count + row.eps));
  row.statistics[0] = mean32;
  row.statistics[1] = inverse;
  float* y = row.y;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < row.count; ++i) y[i] = __builtin_fmaf((x[i] - mean32) * inverse, gamma[i], beta[i]);
}

void layer_norm_gradient(const LayerNormGradientRow& row) {
  const float *x = row.x, *dy = row.dy, *gamma = row.gamma;
  const float mean = row.mean, inverse = row.inverse_deviation;
  const auto count = static_cast<double>(row.count);
  const double sum =
      lane_sum<double>(row.count, [&](double s, std::int64_t i) { return s + static_cast<double>(dy[i] * gamma[i]); });
  const double with_value = lane_sum<double>(row.count, [&](double s, std::int64_t i) {
    return __builtin_fma(static_cast<double>(dy[i] * gamma[i]), static_cast<double>((x[i] - mean) * inverse), s);
  });
  const auto a = static_cast<float>(sum / count), b = static_cast<float>(with_value / count);
  float* dx = row.dx;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < row.count; ++i) {
    const float u = dy[i] * gamma[i], n = (x[i] - mean) * inverse;
    dx[i] = inverse * __builtin_fmaf(-n, b, u - a);
  }
}

void layer_norm_products(const LayerNormGradientRow& row) {
  const float *x = row.x, *dy = row.dy;
  float* out = row.dx;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < row.count; ++i) out[i] = dy[i] * ((x[i] - row.mean) * row.inverse_deviation);
}

float row_sum(const float* x, std::int64_t count) {
  return lane_sum<float>(count, [&](float sum, std::int64_t i) { return sum + x[i]; });
}
float row_dot(const float* a, const float* b, std::int64_t count) {
  return lane_sum<float>(count, [&](float sum, std::int64_t i) { return __builtin_fmaf(a[i], b[i], sum); });
}

float scale_row(const float* x, float factor, std::int64_t count, float* y) {
  float largest = x[0] * factor;
  for (std::int64_t i = 0; i < count; ++i) {
    const float scaled = x[i] * factor;
    y[i] = scaled;
    largest = scaled > largest ? scaled : largest;
  }
  return largest;
}

void divide_row(float* x, float by, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) x[i] = x[i] / by;
}

void softmax_errors(const float* y, const float* dy, float d, float factor, std::int64_t count, float* dx) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) dx[i] = y[i] * (dy[i] - d) * factor;
}

void add_rows(const float* a, const float* b, std::int64_t count, float* z) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) z[i] = a[i] + b[i];
}

void scale_and_add(const float* x, float factor, const float* b, std::int64_t count, float* y) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] * factor + b[i];
}

void relu_row(const float* x, std::int64_t count, float* z) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) z[i] = x[i] > 0.0F ? x[i] : 0.0F;
}

void masked_row(const float* dz, const std::uint8_t* bits, std::int64_t count, float* dx) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const std::uint32_t some = bits[i / 8] | static_cast<std::uint32_t>(bits[i / 8 + 1]) << 8;
    store(dx + i, where(mask_of_bits(some), load(dz + i)));
  }
  for (; i < count; ++i) dx[i] = (bits[i / 8] >> (i % 8) & 1) != 0 ? dz[i] : 0.0F;
}

void dropped_row(const float* x, const float* noise, float least, float factor, std::int64_t count, float* y) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) y[i] = noise[i] >= least ? x[i] * factor : 0.0F;
}

void values_of_bytes(const std::uint8_t* codes, const float* table, std::int64_t count, float* values) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = table[codes[i]];
}

void adamw_row(const AdamwRow& of) {
  const float* g = of.g;
  float *m = of.m, *v = of.v, *p = of.p;
  const float factor =
      of.clips ? of.factor : 1.0F;  // multiplied by 1 where nothing is clipped, which changes no number
#pragma GCC ivdep
  for (std::int64_t i = 0; i < of.count; ++i) {
    const float gradient = g[i] * factor;
    const float moment = of.beta1 * m[i] + of.rest1 * gradient;
    const float square = of.beta2 * v[i] + of.rest2 * gradient * gradient;
    const float kept = p[i] - of.decay * p[i];
    m[i] = moment;
    v[i] = square;
    p[i] = kept - of.size * (moment / (__builtin_sqrtf(square) + of.eps));
  }
}

std::int64_t squares_on_grid(const float* g, double scale, double grid, std::int64_t count) {
  // Adding 1.5 * 2^52 rounds to an integer, half to even, which the low bits then hold.
  constexpr double kMagic = 0x1.8p52;
  std::int64_t magic = 0;
  __builtin_memcpy(&magic, &kMagic, sizeof magic);
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double scaled = static_cast<double>(g[i]) * scale;
    const double shifted = scaled * scaled * grid + kMagic;
    std::int64_t bits = 0;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) + static_cast<std::uint64_t>(bits - magic));
  }
  return sum;
}

void sgd_clipped_row(const float* g, float factor, float rate, std::int64_t count, float* w) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) w[i] = w[i] - rate * (g[i] * factor);
}

constexpr LanguageRows kLanguageRows{.layer_norm = layer_norm,
                                     .layer_norm_gradient = layer_norm_gradient,
                                     .layer_norm_products = layer_norm_products,
                                     .row_sum = row_sum,
                                     .row_dot = row_dot,
                                     .scale = scale_row,
                                     .divide = divide_row,
                                     .softmax_errors = softmax_errors,
                                     .add = add_rows,
                                     .scale_and_add = scale_and_add,
                                     .relu = relu_row,
                                     .masked = masked_row,
                                     .dropped = dropped_row,
                                     .values_of_bytes = values_of_bytes,
                                     .adamw = adamw_row,
                                     .squares_on_grid = squares_on_grid,
                                     .sgd_clipped = sgd_clipped_row};
