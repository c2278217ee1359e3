// SPDX-License-Identifier: Apache-2.0
// A row of a max pool's windows. Included inside an unnamed namespace, after elementwise.inl.

void max_pool(const MaxPoolRow& row) {
  const std::int64_t pitch = row.w * row.channels;
  const std::int64_t top = row.first_row > 0 ? row.first_row : 0;
  const std::int64_t bottom = row.first_row + row.kernel < row.h ? row.first_row + row.kernel : row.h;
  for (std::int64_t p = 0; p < row.windows; ++p) {
    const std::int64_t column = row.first_column + p * row.stride;
    const std::int64_t left = column > 0 ? column : 0;
    const std::int64_t right = column + row.kernel < row.w ? column + row.kernel : row.w;
    const std::int64_t first = top * pitch + left * row.channels;
    for_each_block(row.channels, [&](std::int64_t c, auto count) {
      Floats most = load_lanes(row.x + first + c, count);
      for (std::int64_t i = top; i < bottom; ++i) {
        for (std::int64_t j = left; j < right; ++j) {
          // The largest so far stays where both are equal or one is NaN.
          most = larger(load_lanes(row.x + i * pitch + j * row.channels + c, count), most);
        }
      }
      if (row.dz == nullptr) {
        store_lanes(row.z + p * row.channels + c, most, count);
        return;
      }
      // The first element with the maximum's bits takes the gradient, and leaves 0 for the others: no sum from +0 is
      // -0, so that adding +0 changes none.
      const Ints wanted = bits_of(most);
      Ints left_over = bits_of(load_lanes(row.dz + p * row.channels + c, count));
      for (std::int64_t i = top; i < bottom; ++i) {
        for (std::int64_t j = left; j < right; ++j) {
          const std::int64_t at = i * pitch + j * row.channels + c;
          const Ints here = both(left_over, equal_lanes(bits_of(load_lanes(row.x + at, count)), wanted));
          left_over = exclusive_or(left_over, here);
          store_lanes(row.dx + at, add(load_lanes(row.dx + at, count), floats_of(here)), count);
        }
      }
    });
  }
}
