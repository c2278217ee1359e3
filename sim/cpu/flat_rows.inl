// SPDX-License-Identifier: Apache-2.0
// Rows without channels: extremes, masks, sums on a grid, softmax, SGD. Part of elementwise.inl.

/// Elements of a long row that are fetched before they are needed: processors fetch ahead by themselves, but not
/// enough.
constexpr std::int64_t kReadAhead = 1024;

void range(const float* x, std::int64_t count, std::int32_t* lo, std::int32_t* hi) {
  if (count == 0) return;
  Ints least = all_ints(*lo), most = all_ints(*hi);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    __builtin_prefetch(x + i + kReadAhead);
    const Ints key = key_of(load(x + i));
    least = smaller(least, key);
    most = larger(most, key);
  }
  if (i < count) {
    float lanes[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] = x[i + j < count ? i + j : i];
    const Ints key = key_of(load(lanes));
    least = smaller(least, key);
    most = larger(most, key);
  }
  *lo = smallest_of(least);
  *hi = largest_of(most);
}

void magnitude(const float* x, std::int64_t count, std::int32_t* largest) {
  Ints most = all_ints(*largest);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    __builtin_prefetch(x + i + kReadAhead);
    most = larger(most, both(bits_of(load(x + i)), all_ints(INT32_MAX)));
  }
  if (i < count) most = larger(most, both(bits_of(load_some(x + i, count - i)), all_ints(INT32_MAX)));
  *largest = largest_of(most);
}

void positive_bits(const float* x, std::int64_t count, std::uint8_t* bits) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto word = static_cast<std::uint16_t>(bits_of_mask(positive(load(x + i))));
    __builtin_memcpy(bits + i / 8, &word, sizeof word);
  }
  if (i < count) {
    const std::uint32_t word = bits_of_mask(positive(load_some(x + i, count - i)));
    bits[i / 8] = static_cast<std::uint8_t>(word);
    if (count - i > 8) bits[i / 8 + 1] = static_cast<std::uint8_t>(word >> 8);
  }
}

/// sums[i] += rint(fl(value(x[i]) * scale)).
template <typename Value>
inline void add_values_on_grid(const float* x, std::int64_t count, float scale, std::int64_t* sums,
                               const Value& value) {
  const Floats to_grid = all(scale);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(sums + i, add(load(sums + i), rounded_long(mul(value(load(x + i)), to_grid))));
  }
  if (i == count) return;
  std::int64_t lanes[kLanes];
  store(lanes, rounded_long(mul(value(load_some(x + i, count - i)), to_grid)));
  // Modulo 2^64, as vectors add: what is not finite is the smallest integer on the grid.
  for (std::int64_t j = 0; i + j < count; ++j) {
    sums[i + j] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(sums[i + j]) + static_cast<std::uint64_t>(lanes[j]));
  }
}

void add_on_grid(const float* x, std::int64_t count, float scale, std::int64_t* sums) {
  add_values_on_grid(x, count, scale, sums, [](const Floats& v) { return v; });
}

void add_products_on_grid(const float* x, float factor, std::int64_t count, float scale, std::int64_t* sums) {
  const Floats by = all(factor);
  add_values_on_grid(x, count, scale, sums, [&](const Floats& v) { return mul(v, by); });
}

/// 16 lanes as the compiler's own vectors, for conversions that the vocabulary has not.
using FloatLanes = float __attribute__((vector_size(4 * kLanes)));
using IntLanes = std::int32_t __attribute__((vector_size(4 * kLanes)));
using LongLanes = std::int64_t __attribute__((vector_size(8 * kLanes)));
using DoubleLanes = double __attribute__((vector_size(8 * kLanes)));

/// e[j] = exp_f64(x[j]) of sim/number/elementary.h for a block of arguments of -104 to 0, for which 2^k is a normal
/// number, so that ldexp is an exact product.
inline void exponentials_of_block(const DoubleLanes& x, DoubleLanes& e) {
  const Doubles at = load(reinterpret_cast<const double*>(&x));
  const DoubleLanes product = x * 0x1.71547652b82fep+0;
  const Ints whole = rounded(load(reinterpret_cast<const double*>(&product)));
  IntLanes exponents;
  store(reinterpret_cast<std::int32_t*>(&exponents), whole);
  const DoubleLanes k = __builtin_convertvector(exponents, DoubleLanes), minus_k = -k;
  const DoubleLanes low = k * 0x1.a39ef35793c76p-33;
  DoubleLanes high;
  store(reinterpret_cast<double*>(&high),
        fused(load(reinterpret_cast<const double*>(&minus_k)), all(0x1.62e42fee00000p-1), at));
  const DoubleLanes r = high - low, tail = (high - r) - low, square = r * r;
  const Doubles rest_of = load(reinterpret_cast<const double*>(&r)),
                tails = load(reinterpret_cast<const double*>(&tail));
  Doubles p = all(0x1.93974a8c07c9dp-37);
  p = fused(p, rest_of, all(0x1.6124613a86d09p-33));
  p = fused(p, rest_of, all(0x1.1eed8eff8d898p-29));
  p = fused(p, rest_of, all(0x1.ae64567f544e4p-26));
  p = fused(p, rest_of, all(0x1.27e4fb7789f5cp-22));
  p = fused(p, rest_of, all(0x1.71de3a556c734p-19));
  p = fused(p, rest_of, all(0x1.a01a01a01a01ap-16));
  p = fused(p, rest_of, all(0x1.a01a01a01a01ap-13));
  p = fused(p, rest_of, all(0x1.6c16c16c16c17p-10));
  p = fused(p, rest_of, all(0x1.1111111111111p-7));
  p = fused(p, rest_of, all(0x1.5555555555555p-5));
  p = fused(p, rest_of, all(0x1.5555555555555p-3));
  p = fused(p, rest_of, all(0.5));
  DoubleLanes rest;
  store(reinterpret_cast<double*>(&rest),
        fused(load(reinterpret_cast<const double*>(&square)), p, fused(tails, rest_of, tails)));
  const LongLanes bits = (__builtin_convertvector(exponents, LongLanes) + 1023) << 52;
  DoubleLanes power;
  __builtin_memcpy(&power, &bits, sizeof power);
  e = (1.0 + (r + rest)) * power;
}
inline void exponentials_of_block(const double* x, double* e) {
  DoubleLanes at, made;
  __builtin_memcpy(&at, x, sizeof at);
  exponentials_of_block(at, made);
  __builtin_memcpy(e, &made, sizeof made);
}

/// Arguments from -104, whose exponential rounds to 0 in binary32, count as -104.
inline void exponentials_of_lanes(const float* z, float m, float* e, float (*plain)(float)) {
  const Floats at = sub(load(z), all(m));
  FloatLanes x;
  // Not above 0, and numbers.
  if (bits_of_mask(positive(at)) != 0 || bits_of_mask(positive(sub(all(1.0F), at))) != 0xFFFFU) {
    store(reinterpret_cast<float*>(&x), at);
    for (std::int64_t j = 0; j < kLanes; ++j) e[j] = plain(x[j]);
    return;
  }
  store(reinterpret_cast<float*>(&x), larger(at, all(-104.0F)));
  const DoubleLanes wide = __builtin_convertvector(x, DoubleLanes);
  DoubleLanes made;
  exponentials_of_block(wide, made);
  const FloatLanes values = __builtin_convertvector(made, FloatLanes);
  __builtin_memcpy(e, &values, sizeof values);
}

void exponentials(const float* z, float m, std::int64_t count, float* e, float (*plain)(float)) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    __builtin_prefetch(z + i + kReadAhead);
    exponentials_of_lanes(z + i, m, e + i, plain);
  }
  if (i == count) return;
  float some[kLanes], made[kLanes];
  for (std::int64_t j = 0; j < kLanes; ++j) some[j] = z[i + j < count ? i + j : i];
  exponentials_of_lanes(some, m, made, plain);
  for (std::int64_t j = 0; i + j < count; ++j) e[i + j] = made[j];
}

void softmax_gradients(float* e, std::int64_t count, float sum, float inverse_n) {
  for (std::int64_t i = 0; i < count; ++i) e[i] = e[i] / sum * inverse_n;
}

void sgd(const float* g, float* m, float* w, std::int64_t count, float lr, float mu, float wd) {
  const auto update = [&](std::int64_t i, auto lanes) {
    const Floats weight = load_lanes(w + i, lanes);
    const Floats d = add(load_lanes(g + i, lanes), mul(all(wd), weight));
    const Floats momentum = add(mul(all(mu), load_lanes(m + i, lanes)), d);
    store_lanes(m + i, momentum, lanes);
    store_lanes(w + i, sub(weight, mul(all(lr), momentum)), lanes);
  };
  for_each_block(count, update);
}

bool non_finite(const float* x, std::int64_t count) {
  std::int32_t largest = 0;
  magnitude(x, count, &largest);
  return largest >= 0x7F800000;
}
