// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 lanes in plain C++: the small vocabulary that the elementwise rows are written in. Included inside an
// unnamed namespace of kernels_portable.cpp.

constexpr int kFloatAccumulators = 2, kDoubleAccumulators = 1;  // as many as the registers hold
constexpr int kFloatLaneBlocks = 1;                             // of 16 lanes beside one another, for each of them
constexpr bool kFusedIsFast = false;                            // fused multiply-add of binary32 is an instruction
constexpr int kNoiseSets = 1;                                   // of 16 Philox blocks that are made together

template <typename T>
struct Lanes {
  T v[kLanes];
};
using Floats = Lanes<float>;
using Ints = Lanes<std::int32_t>;
using Doubles = Lanes<double>;
using Longs = Lanes<std::int64_t>;
struct Mask {
  std::uint32_t bits;
};

template <typename Out, typename Function>
inline Lanes<Out> lanes_of(Function function) {
  Lanes<Out> out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = function(i);
  return out;
}

template <typename T>
inline Lanes<T> load(const T* p) {
  return lanes_of<T>([&](int i) { return p[i]; });
}
template <typename T>
inline void store(T* p, const Lanes<T>& x) {
  for (int i = 0; i < kLanes; ++i) p[i] = x.v[i];
}
inline Floats load_some(const float* p, std::int64_t count) {
  return lanes_of<float>([&](int i) { return i < count ? p[i] : 0.0F; });
}
inline void store_some(float* p, const Floats& x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) p[i] = x.v[i];
}
inline Floats all(float x) {
  return lanes_of<float>([&](int) { return x; });
}
inline Doubles all(double x) {
  return lanes_of<double>([&](int) { return x; });
}
inline Ints all_ints(std::int32_t x) {
  return lanes_of<std::int32_t>([&](int) { return x; });
}
inline Longs no_longs() {
  return lanes_of<std::int64_t>([](int) { return std::int64_t{0}; });
}

inline std::int32_t wrapped(std::uint32_t x) { return static_cast<std::int32_t>(x); }
inline std::uint32_t word(std::int32_t x) { return static_cast<std::uint32_t>(x); }

inline Floats add(const Floats& a, const Floats& b) {
  return lanes_of<float>([&](int i) { return a.v[i] + b.v[i]; });
}
inline Doubles add(const Doubles& a, const Doubles& b) {
  return lanes_of<double>([&](int i) { return a.v[i] + b.v[i]; });
}
inline Longs add(const Longs& a, const Longs& b) {
  return lanes_of<std::int64_t>([&](int i) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a.v[i]) + static_cast<std::uint64_t>(b.v[i]));
  });
}
inline Ints add(const Ints& a, const Ints& b) {
  return lanes_of<std::int32_t>([&](int i) { return wrapped(word(a.v[i]) + word(b.v[i])); });
}
inline Floats sub(const Floats& a, const Floats& b) {
  return lanes_of<float>([&](int i) { return a.v[i] - b.v[i]; });
}
inline Floats mul(const Floats& a, const Floats& b) {
  return lanes_of<float>([&](int i) { return a.v[i] * b.v[i]; });
}
inline Floats div(const Floats& a, const Floats& b) {
  return lanes_of<float>([&](int i) { return a.v[i] / b.v[i]; });
}
inline Floats fused(const Floats& a, const Floats& b, const Floats& c) {
  return lanes_of<float>([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline Doubles fused(const Doubles& a, const Doubles& b, const Doubles& c) {
  return lanes_of<double>([&](int i) { return __builtin_fma(a.v[i], b.v[i], c.v[i]); });
}
/// a > b ? a : b, b where either is NaN.
template <typename T>
inline Lanes<T> larger(const Lanes<T>& a, const Lanes<T>& b) {
  return lanes_of<T>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
template <typename T>
inline Lanes<T> smaller(const Lanes<T>& a, const Lanes<T>& b) {
  return lanes_of<T>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Mask positive(const Floats& a) {
  Mask m{0};
  for (int i = 0; i < kLanes; ++i) m.bits |= (a.v[i] > 0.0F ? 1U : 0U) << i;
  return m;
}
inline Mask mask_of_bits(std::uint32_t bits) { return {bits & 0xFFFFU}; }
inline std::uint32_t bits_of_mask(Mask m) { return m.bits; }
inline Floats where(Mask m, const Floats& a) {
  return lanes_of<float>([&](int i) { return ((m.bits >> i) & 1U) != 0 ? a.v[i] : 0.0F; });
}

inline Ints exclusive_or(const Ints& a, const Ints& b) {
  return lanes_of<std::int32_t>([&](int i) { return a.v[i] ^ b.v[i]; });
}
inline Ints both(const Ints& a, const Ints& b) {
  return lanes_of<std::int32_t>([&](int i) { return a.v[i] & b.v[i]; });
}
/// a ^ (b & c).
inline Ints exclusive_or_both(const Ints& a, const Ints& b, const Ints& c) { return exclusive_or(a, both(b, c)); }
template <int kBits>
inline Ints shift_right(const Ints& a) {
  return lanes_of<std::int32_t>([&](int i) { return wrapped(word(a.v[i]) >> kBits); });
}
inline Ints sign_of(const Ints& a) {
  return lanes_of<std::int32_t>([&](int i) { return a.v[i] < 0 ? -1 : 0; });
}
inline Ints bits_of(const Floats& a) {
  Ints out;
  __builtin_memcpy(&out, &a, sizeof out);
  return out;
}
inline Floats floats_of(const Ints& a) {
  Floats out;
  __builtin_memcpy(&out, &a, sizeof out);
  return out;
}
/// All ones where equal.
inline Ints equal_lanes(const Ints& a, const Ints& b) {
  return lanes_of<std::int32_t>([&](int i) { return a.v[i] == b.v[i] ? -1 : 0; });
}
/// rint: ties to even by adding and subtracting 1.5 * 2^23 where the magnitude is below 2^22, by the library above.
/// Non-finite and out-of-range numbers give the smallest integer, as the vector instructions do.
inline std::int32_t rounded_one(float x) {
  const float r = __builtin_rintf(x);
  return r >= -2147483648.0F && r < 2147483648.0F ? static_cast<std::int32_t>(r) : INT32_MIN;
}
inline Ints rounded(const Floats& a) {
  return lanes_of<std::int32_t>([&](int i) { return rounded_one(a.v[i]); });
}
inline Floats to_floats(const Ints& a) {
  return lanes_of<float>([&](int i) { return static_cast<float>(a.v[i]); });
}
inline std::int32_t largest_of(const Ints& a) {
  std::int32_t largest = a.v[0];
  for (const std::int32_t lane : a.v) largest = lane > largest ? lane : largest;
  return largest;
}
inline std::int32_t smallest_of(const Ints& a) {
  std::int32_t smallest = a.v[0];
  for (const std::int32_t lane : a.v) smallest = lane < smallest ? lane : smallest;
  return smallest;
}
inline void store_bytes(std::uint8_t* p, const Ints& a) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint8_t>(a.v[i]);
}
/// 64 signed numbers, in order, clamped to 0..most, which is at most 255.
inline void store_clamped_bytes(std::uint8_t* p, const Ints (&x)[4], std::int32_t most) {
  for (int i = 0; i < 4 * kLanes; ++i) {
    const std::int32_t number = x[i / kLanes].v[i % kLanes];
    p[i] = static_cast<std::uint8_t>(number < 0 ? 0 : number < most ? number : most);
  }
}
inline void store_words(std::uint16_t* p, const Ints& a) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint16_t>(a.v[i]);
}

inline Doubles to_doubles(const Ints& a) {
  return lanes_of<double>([&](int i) { return static_cast<double>(a.v[i]); });
}
inline Doubles div(const Doubles& a, const Doubles& b) {
  return lanes_of<double>([&](int i) { return a.v[i] / b.v[i]; });
}
inline Ints rounded(const Doubles& a) {
  return lanes_of<std::int32_t>([&](int i) {
    const double r = __builtin_rint(a.v[i]);
    return r >= -2147483648.0 && r < 2147483648.0 ? static_cast<std::int32_t>(r) : INT32_MIN;
  });
}
inline Floats to_floats(const Doubles& a) {
  return lanes_of<float>([&](int i) { return static_cast<float>(a.v[i]); });
}
/// The same to memory.
inline void store_floats(float* p, const Doubles& a) { store(p, to_floats(a)); }
inline Longs to_longs(const Ints& a) {
  return lanes_of<std::int64_t>([&](int i) { return std::int64_t{a.v[i]}; });
}
/// Squares of signed 32-bit numbers.
inline Longs squares(const Ints& a) {
  return lanes_of<std::int64_t>([&](int i) { return std::int64_t{a.v[i]} * a.v[i]; });
}
/// Adds squares of signed 32-bit numbers to sums, which are in order here.
inline Longs add_squares(const Longs& sums, const Ints& a) { return add(sums, squares(a)); }
inline Longs squares_in_order(const Longs& sums) { return sums; }
/// rint of binary32 numbers below 2^51 in magnitude; others give the smallest integer.
inline Longs rounded_long(const Floats& a) {
  return lanes_of<std::int64_t>([&](int i) {
    const float r = __builtin_rintf(a.v[i]);
    return r >= -0x1p62F && r <= 0x1p62F ? static_cast<std::int64_t>(r) : INT64_MIN;
  });
}

// Philox words, one block a 64-bit lane: the low 32 bits of a lane count, the others are left over.
inline Longs all_longs(std::uint64_t x) {
  return lanes_of<std::int64_t>([&](int) { return static_cast<std::int64_t>(x); });
}
inline Longs multiply_words(const Longs& a, const Longs& b) {
  return lanes_of<std::int64_t>([&](int i) {
    const std::uint64_t x = static_cast<std::uint32_t>(a.v[i]), y = static_cast<std::uint32_t>(b.v[i]);
    return static_cast<std::int64_t>(x * y);
  });
}
inline Longs high_words(const Longs& a) {
  return lanes_of<std::int64_t>(
      [&](int i) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a.v[i]) >> 32); });
}
inline Longs exclusive_or(const Longs& a, const Longs& b, const Longs& c) {
  return lanes_of<std::int64_t>([&](int i) { return a.v[i] ^ b.v[i] ^ c.v[i]; });
}
inline Longs exclusive_or(const Longs& a, const Longs& b) {
  return lanes_of<std::int64_t>([&](int i) { return a.v[i] ^ b.v[i]; });
}
/// Two words of a block after its last round, in order: the high word of a product exclusive-ored with two others, and
/// the product's low word.
inline Longs last_words(const Longs& product, const Longs& other, const Longs& key) {
  const Longs first = exclusive_or(high_words(product), other, key);
  return lanes_of<std::int64_t>([&](int i) {
    const auto low = static_cast<std::uint32_t>(first.v[i]);
    return static_cast<std::int64_t>(low | static_cast<std::uint64_t>(product.v[i]) << 32);
  });
}
/// Words of 16 blocks, in order, of their first and last two; lane i holds block kBlockOfLane[i].
inline void words_of_blocks(const Longs& first, const Longs& last, Ints (&words)[4]) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::int64_t block = kBlockOfLane[lane];
    const std::uint64_t pairs[2] = {static_cast<std::uint64_t>(first.v[lane]),
                                    static_cast<std::uint64_t>(last.v[lane])};
    for (int word = 0; word < 4; ++word) {
      words[block / 4].v[4 * (block % 4) + word] =
          static_cast<std::int32_t>(static_cast<std::uint32_t>(pairs[word / 2] >> 32 * (word % 2)));
    }
  }
}
