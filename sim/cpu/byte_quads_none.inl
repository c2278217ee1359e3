// SPDX-License-Identifier: Apache-2.0
// Where no instruction multiplies four bytes of a lane: depthwise.inl has pairs of words only. Included inside an
// unnamed namespace, after word_pairs_*.inl.

constexpr bool kByteQuads = false;

inline Doubles to_doubles_by_memory(const Ints& x) { return to_doubles(x); }

template <bool kBytes>
inline Ints dot_unit(const Ints& sum, const Ints& w, const Ints& x) {
  static_assert(!kBytes);
  return dot_words(sum, w, x);
}

constexpr void (*kStageQuads)(const StageQuads&) = nullptr;

/// Kernels of their own for rows of some kind: none.
inline bool depthwise_3x3(const DepthwiseRow&) { return false; }

inline std::int64_t wide_code_sums(const CodeSums&) { return 0; }
