// SPDX-License-Identifier: Apache-2.0
// Lanes of rows of channels: whole blocks of 16, and the last one's part. Part of elementwise.inl.

/// Blocks of 16 channels: whole, or the last one's part.
struct Whole {};
struct Part {
  std::int64_t count;
};

/// visit(first channel, Whole or Part) for each block.
template <typename Visit>
inline void for_each_block(std::int64_t channels, Visit visit) {
  std::int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) visit(c, Whole{});
  if (c < channels) visit(c, Part{channels - c});
}

inline Floats load_lanes(const float* p, Whole) { return load(p); }
inline Floats load_lanes(const float* p, Part part) { return load_some(p, part.count); }
/// Idle lanes repeat the block's first, so that they change no extreme.
inline Floats present_lanes(Floats x, Whole) { return x; }
inline Floats present_lanes(Floats x, Part part) {
  float lanes[kLanes];
  store(lanes, x);
  for (std::int64_t i = part.count; i < kLanes; ++i) lanes[i] = lanes[0];
  return load(lanes);
}
inline void store_lanes(float* p, Floats x, Whole) { store(p, x); }
inline void store_lanes(float* p, Floats x, Part part) { store_some(p, x, part.count); }

/// Key of the same order as the number, -0 one below +0, NaN at the ends.
inline Ints key_of(Floats x) {
  const Ints bits = bits_of(x);
  return exclusive_or_both(bits, sign_of(bits), all_ints(INT32_MAX));
}

inline Floats apply_norm(Floats y, Floats mean, Floats a, Floats beta) { return fused(sub(y, mean), a, beta); }
