// SPDX-License-Identifier: Apache-2.0
// Transforms of winograd_kernels.h on words and on sums. Included inside an unnamed namespace, after word_pairs_*.inl.

/// out(i, B's row i), of words.
template <typename T, typename Out>
inline void transform_operand(const T& x0, const T& x1, const T& x2, const T& x3, const Out& out) {
  out(0, sub_words(x0, x2));
  out(1, add_words(x1, x2));
  out(2, sub_words(x2, x1));
  out(3, sub_words(x1, x3));
}

/// Row i of B times the rows at(0..3).
template <typename At>
inline Vector operand_row(int i, const At& at) {
  switch (i) {
    case 0: return sub_words(at(0), at(2));
    case 1: return add_words(at(1), at(2));
    case 2: return sub_words(at(2), at(1));
    default: return sub_words(at(1), at(3));
  }
}

void winograd_weights(const WinogradWeights& some) {
  // G's rows.
  const auto transform = [](const Ints& w0, const Ints& w1, const Ints& w2, Ints(&out)[4]) {
    const Ints outer = add_words(w0, w2);
    out[0] = add_words(w0, w0);
    out[1] = add_words(outer, w1);
    out[2] = sub_words(outer, w1);
    out[3] = add_words(w2, w2);
  };
  for (std::int64_t at = 0; at < some.bytes; at += kBlockBytes) {
    Ints columns[3][4];
    for (int j = 0; j < 3; ++j) {
      transform(load_pairs(some.tap[j] + at), load_pairs(some.tap[3 + j] + at), load_pairs(some.tap[6 + j] + at),
                columns[j]);
    }
    for (int i = 0; i < 4; ++i) {
      Ints row[4];
      transform(columns[0][i], columns[1][i], columns[2][i], row);
      for (int j = 0; j < 4; ++j) store_pairs(some.out + (4 * i + j) * some.pitch + at, row[j]);
    }
  }
}

void winograd_input(const WinogradInput& row) {
  for (std::int64_t g = 0; g < row.groups; ++g) {
    for (std::int64_t t = 0; t < row.tiles; t += kVectorLanes) {
      const char* x = row.x + g * row.plane + 8 * t;
      char* out = row.out + g * row.out_plane + 4 * t;
      constexpr std::int64_t kTile = 8, kVector = 4 * kVectorLanes;  // bytes of two columns, of a vector
      const auto columns = [&](int i, std::int64_t from) {
        return operand_row(i, [&](int r) { return load_vector(x + r * row.row_pitch + from); });
      };
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const Vector a = columns(i, 0), b = columns(i, kVector);
        const Vector c = columns(i, kTile), d = columns(i, kTile + kVector);
        char* to = out + 4 * i * row.pitch;
        transform_operand(even_lanes(a, b), odd_lanes(a, b), even_lanes(c, d), odd_lanes(c, d),
                          [&](int j, const Vector& v) { store_vector(to + j * row.pitch, v); });
      }
    }
  }
}

void winograd_output(const WinogradOutput& row) {
  for (std::int64_t t = 0; t < row.tiles; ++t) {
    for (std::int64_t lane = 0; lane < row.lanes; lane += kVectorLanes) {
      const std::int32_t* m = row.products + t * row.lanes + lane;
      Vector upper[4], lower[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const auto at = [&](int i) { return load_vector(m + (4 * i + j) * row.pitch); };
        const Vector m1 = at(1), m2 = at(2);
        upper[j] = add_lanes(at(0), add_lanes(m1, m2));
        lower[j] = sub_lanes(sub_lanes(m1, m2), at(3));
      }
      std::int32_t* out = row.out + 2 * t * row.lanes + lane;
      const auto put = [&](std::int32_t* to, const Vector(&s)[4]) {
        store_vector(to, quarter(add_lanes(s[0], add_lanes(s[1], s[2]))));
        store_vector(to + row.lanes, quarter(sub_lanes(sub_lanes(s[1], s[2]), s[3])));
      };
      put(out, upper);
      put(out + row.row_pitch, lower);
    }
  }
}

void winograd_gradient_x(const WinogradColumns& some) {
  for (std::int64_t at = 0; at < some.bytes; at += 4 * kVectorLanes) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const auto column = [&](int j) {
        return operand_row(
            i, [&](int r) { return load_vector(some.from + j * some.column_pitch + r * some.row_pitch + at); });
      };
      transform_operand(column(0), column(1), column(2), column(3),
                        [&](int j, const Vector& v) { store_vector(some.out + (4 * i + j) * some.pitch + at, v); });
    }
  }
}

void winograd_gradient_g(const WinogradColumns& some) {
  // H's rows.
  const auto transform = [](Vector g0, Vector g1, Vector(&out)[4]) {
    out[0] = add_words(g0, g0);
    out[1] = add_words(g0, g1);
    out[2] = sub_words(g0, g1);
    out[3] = add_words(g1, g1);
  };
  for (std::int64_t at = 0; at < some.bytes; at += 4 * kVectorLanes) {
    const auto g = [&](int r, int j) {
      return load_vector(some.from + j * some.column_pitch + r * some.row_pitch + at);
    };
    Vector first[4], second[4];
    transform(g(0, 0), g(1, 0), first);
    transform(g(0, 1), g(1, 1), second);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Vector row[4];
      transform(first[i], second[i], row);
      for (int j = 0; j < 4; ++j) store_vector(some.out + (4 * i + j) * some.pitch + at, row[j]);
    }
  }
}

constexpr KernelTable with_winograd(KernelTable table) {
  table.winograd = {winograd_weights, winograd_input, winograd_output, winograd_gradient_x, winograd_gradient_g};
  return table;
}
