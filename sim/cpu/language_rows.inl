// SPDX-License-Identifier: Apache-2.0
// Rows of language models' operations as plain loops, which the compiler makes vectors of for each instruction set:
// they have no order that vectors would change. Included inside an unnamed namespace, after elementwise.inl.

constexpr std::int64_t kRowLanes = 32;

template <bool kValue>
struct Constant {
  static constexpr bool value = kValue;
};

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

void nag_row(const NagRow& of) {
  const float* g = of.g;
  float *buffer = of.buffer, *w = of.w;
  const float factor = of.clips ? of.factor : 1.0F, decay = of.decays ? of.decay : 1.0F;  // 1 changes no number
#pragma GCC ivdep
  for (std::int64_t i = 0; i < of.count; ++i) {
    const float gradient = g[i] * factor, before = buffer[i];
    w[i] = w[i] * decay + of.ahead * before - of.far * gradient;
    buffer[i] = of.keep * before - of.rate * gradient;
  }
}

/// exp_f64 of -scale |x|, which counts as -104 below that: then the functions below are at their ends in binary32.
inline void decays_of_block(const float* x, double scale, double* e) {
  double arguments[kLanes];
  for (std::int64_t j = 0; j < kLanes; ++j) {
    const double v = static_cast<double>(x[j]), argument = v < 0.0 ? scale * v : -scale * v;
    arguments[j] = argument < -104.0 ? -104.0 : argument;
  }
  exponentials_of_block(arguments, e);
}

inline bool has_nan(const float* x) {
  int all = 1;
  for (std::int64_t j = 0; j < kLanes; ++j) all &= x[j] == x[j] ? 1 : 0;
  return all == 0;
}

inline void sigmoids_of_block(const float* x, float (*plain)(float), float* y) {
  if (has_nan(x)) {
    for (std::int64_t j = 0; j < kLanes; ++j) y[j] = plain(x[j]);
    return;
  }
  double e[kLanes];
  decays_of_block(x, 1.0, e);
  for (std::int64_t j = 0; j < kLanes; ++j) {
    const double above = x[j] < 0.0F ? e[j] : 1.0;
    y[j] = static_cast<float>(above / (1.0 + e[j]));
  }
}

inline void tangents_of_block(const float* x, float (*plain)(float), float* y) {
  if (has_nan(x)) {
    for (std::int64_t j = 0; j < kLanes; ++j) y[j] = plain(x[j]);
    return;
  }
  double e[kLanes];
  decays_of_block(x, 2.0, e);
  for (std::int64_t j = 0; j < kLanes; ++j) {
    const double v = static_cast<double>(x[j]), t = (1.0 - e[j]) / (1.0 + e[j]);
    const float usual = static_cast<float>(v < 0.0 ? -t : t);
    const float small = static_cast<float>(__builtin_fma(v * v * v, -0x1.5555555555555p-2, v));
    const float made = v < 0x1p-12 && v > -0x1p-12 ? small : usual;
    y[j] = x[j] == 0.0F ? x[j] : made;
  }
}

void lstm_cell_row(const LstmCellRow& of) {
  const std::int64_t c = of.count;
  for (std::int64_t begin = 0; begin < c; begin += kLanes) {
    const std::int64_t lanes = c - begin < kLanes ? c - begin : kLanes;
    float gate[4][kLanes], sum[kLanes] = {}, next[kLanes], squashed[kLanes], output[kLanes], cell[kLanes] = {};
    for (std::int64_t g = 0; g < 4; ++g) {
      const float *x = of.x + g * c + begin, *h = of.h + g * c + begin;
      for (std::int64_t j = 0; j < lanes; ++j) sum[j] = x[j] + h[j];
      if (g == 2) {
        tangents_of_block(sum, of.tangent, gate[g]);
      } else {
        sigmoids_of_block(sum, of.sigmoid, gate[g]);
      }
      __builtin_memcpy(of.gates + g * c + begin, gate[g], static_cast<std::size_t>(lanes) * sizeof(float));
    }
    __builtin_memcpy(cell, of.cell + begin, static_cast<std::size_t>(lanes) * sizeof(float));
    for (std::int64_t j = 0; j < kLanes; ++j) {
      const float kept = gate[1][j] * cell[j], added = gate[0][j] * gate[2][j];
      next[j] = kept + added;
    }
    tangents_of_block(next, of.tangent, squashed);
    for (std::int64_t j = 0; j < kLanes; ++j) output[j] = gate[3][j] * squashed[j];
    const std::size_t bytes = static_cast<std::size_t>(lanes) * sizeof(float);
    __builtin_memcpy(of.next_cell + begin, next, bytes);
    __builtin_memcpy(of.squashed + begin, squashed, bytes);
    __builtin_memcpy(of.output + begin, output, bytes);
  }
}

void lstm_gradient_row(const LstmGradientRow& of) {
  const std::int64_t c = of.count;
  const float *gi = of.gates, *gf = gi + c, *gg = gf + c, *go = gg + c;
  float *di = of.dgates, *df = di + c, *dg = df + c, *d_o = dg + c;
  const float *cell = of.cell, *squashed = of.squashed, *doutput = of.doutput, *dnext = of.dnext_cell;
  const auto element = [&](std::int64_t j, auto has_next) {
    const float i = gi[j], f = gf[j], g = gg[j], o = go[j], t = squashed[j], dh = doutput[j];
    const float square = t * t, slope = 1.0F - square, through = dh * o;
    float dc = through * slope;
    if constexpr (decltype(has_next)::value) dc = dnext[j] + dc;
    const float i_rest = 1.0F - i, f_rest = 1.0F - f, o_rest = 1.0F - o;
    const float i_slope = i * i_rest, f_slope = f * f_rest, o_slope = o * o_rest;
    const float g_square = g * g, g_slope = 1.0F - g_square;
    const float at_i = dc * g, at_f = dc * cell[j], at_g = dc * i, at_o = dh * t;
    di[j] = at_i * i_slope;
    df[j] = at_f * f_slope;
    dg[j] = at_g * g_slope;
    d_o[j] = at_o * o_slope;
    of.dcell[j] = dc * f;
  };
  if (dnext == nullptr) {
#pragma GCC ivdep
    for (std::int64_t j = 0; j < c; ++j) element(j, Constant<false>{});
  } else {
#pragma GCC ivdep
    for (std::int64_t j = 0; j < c; ++j) element(j, Constant<true>{});
  }
}

/// Every sum is an integer below 2^53, so that binary64 holds it.
void add_gradient_rows(const GradientAddend& of) {
  const Doubles a = all(of.a), b = all(of.b), g = load(of.g_sums), shifted = fused_integers(all(128.0), g, all(0.0));
  const auto value = [&](std::int64_t i) {
    return rescaled(a, add(shifted, to_doubles(load(of.sums + i * kLanes))), b, g, all(of.rest[i]));
  };
  if (of.is_first) {
    for (std::int64_t i = 0; i < of.channels; ++i) store(of.totals + i * kLanes, value(i));
    return;
  }
  for (std::int64_t i = 0; i < of.channels; ++i) {
    store(of.totals + i * kLanes, add(load(of.totals + i * kLanes), value(i)));
  }
}

void ordered_sums(const float* const* x, std::int64_t count, float* sums) {
  const float *a = x[0], *b = x[1], *c = x[2], *d = x[3], *e = x[4], *f = x[5], *g = x[6], *h = x[7];
  float of_a = sums[0], of_b = sums[1], of_c = sums[2], of_d = sums[3];
  float of_e = sums[4], of_f = sums[5], of_g = sums[6], of_h = sums[7];
  for (std::int64_t i = 0; i < count; ++i) {
    of_a = of_a + a[i];
    of_b = of_b + b[i];
    of_c = of_c + c[i];
    of_d = of_d + d[i];
    of_e = of_e + e[i];
    of_f = of_f + f[i];
    of_g = of_g + g[i];
    of_h = of_h + h[i];
  }
  const float all[kSummedRows] = {of_a, of_b, of_c, of_d, of_e, of_f, of_g, of_h};
  for (std::int64_t r = 0; r < kSummedRows; ++r) sums[r] = all[r];
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
                                     .nag = nag_row,
                                     .lstm_cell = lstm_cell_row,
                                     .lstm_cell_gradient = lstm_gradient_row,
                                     .add_gradient = add_gradient_rows,
                                     .ordered_sums = ordered_sums,
                                     .squares_on_grid = squares_on_grid,
                                     .sgd_clipped = sgd_clipped_row};
