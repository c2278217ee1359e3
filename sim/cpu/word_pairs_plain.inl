// SPDX-License-Identifier: Apache-2.0
// Pairs of 16-bit words in plain C++, for depthwise.inl. Included inside an unnamed namespace.

constexpr int kKernelRowsAtOnce = 1;  // of a weight gradient

inline Ints load_codes(const std::uint8_t* p) {
  return lanes_of<std::int32_t>([&](int i) { return std::int32_t{p[i]}; });
}
inline Ints load_codes(const std::uint8_t* p, std::int64_t count) {
  return lanes_of<std::int32_t>([&](int i) { return i < count ? std::int32_t{p[i]} : 0; });
}
/// sums[i] += codes[i] of 16.
inline void add_codes_of_block(const std::uint8_t* codes, std::uint16_t* sums) {
  for (int i = 0; i < kLanes; ++i) sums[i] = static_cast<std::uint16_t>(sums[i] + codes[i]);
}
inline Ints pair_words(const Ints& low, const Ints& high) {
  return lanes_of<std::int32_t>([&](int i) { return wrapped(word(low.v[i]) | word(high.v[i]) << 16); });
}
/// sum + both products of a lane, of signed words.
inline Ints dot_words(const Ints& sum, const Ints& x, const Ints& w) {
  return lanes_of<std::int32_t>([&](int i) {
    const std::int32_t low = static_cast<std::int16_t>(x.v[i] & 0xFFFF) * static_cast<std::int16_t>(w.v[i] & 0xFFFF);
    return sum.v[i] + low + (x.v[i] >> 16) * (w.v[i] >> 16);
  });
}
