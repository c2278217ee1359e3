// SPDX-License-Identifier: Apache-2.0
// Compound steps where fused multiply-add is an instruction. Included inside an unnamed namespace, after a vocabulary
// of vectors (simd_*.inl); fused_sse2.inl is the same without the instruction.

/// x * y + z of integers whose product and sum stay below 2^53.
inline Doubles fused_integers(const Doubles& x, const Doubles& y, const Doubles& z) { return fused(x, y, z); }

/// fl32(fma64(a, acc, fma64(b, sum, e))).
inline Floats rescaled(const Doubles& a, const Doubles& acc, const Doubles& b, const Doubles& sum, const Doubles& e) {
  return to_floats(fused(a, acc, fused(b, sum, e)));
}

/// fl32(fma64(a, acc, e)).
inline Floats rescaled(const Doubles& a, const Doubles& acc, const Doubles& e) { return to_floats(fused(a, acc, e)); }

/// The same to memory.
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& b, const Doubles& sum,
                           const Doubles& e) {
  store_floats(out, fused(a, acc, fused(b, sum, e)));
}
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& e) {
  store_floats(out, fused(a, acc, e));
}

/// x * y + z of binary32 numbers whose product and sum are exact.
inline Floats exact_fused(const Floats& x, const Floats& y, const Floats& z) { return fused(x, y, z); }
