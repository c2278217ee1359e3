// SPDX-License-Identifier: Apache-2.0
// Rows of codes as pairs of words (depthwise_kernels.h). Included inside an unnamed namespace, after elementwise.inl
// and word_pairs_*.inl.

/// Of lambdas in kernels: calls would keep vectors in memory.
#define BITCYCLE_INLINE __attribute__((always_inline))

inline Ints lanes_of_codes(const std::uint8_t* p, Whole) { return load_codes(p); }
inline Ints lanes_of_codes(const std::uint8_t* p, Part part) { return load_codes(p, part.count); }
inline Ints load_unit(const char* p) { return load(reinterpret_cast<const std::int32_t*>(p)); }

/// Brings the row of codes behind this one: blocks of channels walk over a row with a step that a processor does not
/// follow.
inline void fetch_next_row(const std::uint8_t* row, std::int64_t size) {
  for (std::int64_t i = 0; i < size; i += 64) __builtin_prefetch(row + size + i);
}

void stage_words(const StageWords& row) {
  fetch_next_row(row.row, row.pixels * row.channels);
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    char* out = row.out + c / kLanes * row.plane;
    const auto pixel = [&](std::int64_t p) {
      return p >= 0 && p < row.pixels ? lanes_of_codes(row.row + p * row.channels + c, count) : all_ints(0);
    };
    const auto put = [&](std::int64_t m, const Ints& low, const Ints& high) {
      store(reinterpret_cast<std::int32_t*>(out + m * kBlockBytes), pair_words(low, high));
    };
    const auto some = [&](std::int64_t m) {
      const std::int64_t p = m * row.step - row.margin;
      put(m, pixel(p), pixel(p + row.distance));
    };
    // Units whose two pixels are both there, between those at the edges.
    const std::int64_t whole = row.margin + row.pixels - row.distance;
    std::int64_t m = 0;
    for (; m * row.step < row.margin && m < row.units; ++m) some(m);
    const std::uint8_t* low = row.row + (m * row.step - row.margin) * row.channels + c;
    const std::uint8_t* high = low + row.distance * row.channels;
    const std::int64_t next = row.step * row.channels;
    for (; m * row.step < whole && m < row.units; ++m, low += next, high += next) {
      put(m, lanes_of_codes(low, count), lanes_of_codes(high, count));
    }
    for (; m < row.units; ++m) some(m);
  });
}
