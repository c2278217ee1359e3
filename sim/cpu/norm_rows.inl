// SPDX-License-Identifier: Apache-2.0
// Batch norm forward and backward, and sums of gradients with what the norms before them need. Part of elementwise.inl.

/// z = [relu](norm(y) [+ shortcut]). Elements in the order of memory, as a processor fetches them ahead.
void norm_rows(const NormRows& row) {
  const Floats zero = all(0.0F);
  const NormVectors& norm = row.norm;
  const auto each = [&](auto shortcut) {
    for (std::int64_t e = 0; e < row.pixels * row.channels; e += row.channels) {
      for_each_block(row.channels, [&](std::int64_t c, auto count) {
        Floats z =
            apply_norm(load_lanes(row.y + e + c, count), load(norm.mean + c), load(norm.a + c), load(norm.beta + c));
        z = shortcut(z, e, c, count);
        store_lanes(row.z + e + c, row.relu ? larger(z, zero) : z, count);
      });
    }
  };
  if (row.shortcut == nullptr) {
    each([](const Floats& z, std::int64_t, std::int64_t, auto) { return z; });
  } else if (row.shortcut_norm == nullptr) {
    each([&](const Floats& z, std::int64_t e, std::int64_t c, auto count) {
      return add(z, load_lanes(row.shortcut + e + c, count));
    });
  } else {
    const NormVectors& other = *row.shortcut_norm;
    each([&](const Floats& z, std::int64_t e, std::int64_t c, auto count) {
      return add(z, apply_norm(load_lanes(row.shortcut + e + c, count), load(other.mean + c), load(other.a + c),
                               load(other.beta + c)));
    });
  }
}

/// dy = fma(a, u, fma(k, fl(y - mean), c)). Elements in the order of memory.
void gradient_rows(const GradientRows& row) {
  Ints lo = all_ints(INT32_MAX), hi = all_ints(INT32_MIN);
  for (std::int64_t e = 0; e < row.pixels * row.channels; e += row.channels) {
    for_each_block(row.channels, [&](std::int64_t c, auto count) {
      const Floats t = sub(load_lanes(row.y + e + c, count), load(row.mean + c));
      const Floats dy =
          fused(load(row.a + c), load_lanes(row.u + e + c, count), fused(load(row.k + c), t, load(row.c + c)));
      if (row.dy != nullptr) store_lanes(row.dy + e + c, dy, count);
      if (row.lo != nullptr) {
        const Ints key = key_of(present_lanes(dy, count));
        lo = smaller(lo, key);
        hi = larger(hi, key);
      }
    });
  }
  if (row.lo != nullptr && row.pixels > 0) {
    const std::int32_t least = smallest_of(lo), most = largest_of(hi);
    *row.lo = least < *row.lo ? least : *row.lo;
    *row.hi = most > *row.hi ? most : *row.hi;
  }
}

// ---- Sums of gradients ----------------------------------------------------------------------------------------------

/// kOwnMask: the mask is that of the first norm, so that it costs no memory of its own.
template <int kNorms, bool kOwnMask, typename Count>
inline void sum_gradients_block(const GradientSumRows& row, std::int64_t c, Count count, Ints& magnitude) {
  const bool by_norm = row.mask_y != nullptr;
  const Floats mask_mean = by_norm ? load(row.mask_norm.mean + c) : all(0.0F);
  const Floats mask_a = by_norm ? load(row.mask_norm.a + c) : all(0.0F);
  const Floats mask_beta = by_norm ? load(row.mask_norm.beta + c) : all(0.0F);
  constexpr int kStored = kNorms == 0 ? 1 : kNorms;
  Floats mean[kStored], scale_u[kStored], scale_ut[kStored];
  Longs s_u[kStored], s_ut[kStored];
  for (int i = 0; i < kNorms; ++i) {
    mean[i] = load(row.norm[i].mean + c);
    scale_u[i] = all(row.norm[i].scale_u);
    scale_ut[i] = load(row.norm[i].scale_ut + c);
    s_u[i] = load(row.norm[i].s_u + c);
    s_ut[i] = load(row.norm[i].s_ut + c);
  }
  // What the next call will read: memory is slow to answer where channels are far apart.
  const std::int64_t ahead = row.pixels * row.channels, ahead_unless_fetched = row.fetched ? 0 : ahead;
  for (std::int64_t e = c; e < ahead; e += row.channels) {
    if (by_norm && !kOwnMask) __builtin_prefetch(row.mask_y + ahead + e);
    if (row.second != nullptr) __builtin_prefetch(row.second + ahead + e);
    __builtin_prefetch(row.u + ahead_unless_fetched + e, 1);
    Floats t[kStored];
    for (int i = 0; i < kNorms; ++i) {
      __builtin_prefetch(row.norm[i].y + (i == 0 ? ahead_unless_fetched : ahead) + e);
      t[i] = sub(load_lanes(row.norm[i].y + e, count), mean[i]);
    }
    Floats u = load_lanes(row.first + e, count);
    if (row.second != nullptr) u = add(u, load_lanes(row.second + e, count));
    if (kOwnMask) {
      u = where(positive(fused(t[0], mask_a, mask_beta)), u);
    } else if (by_norm) {
      u = where(positive(apply_norm(load_lanes(row.mask_y + e, count), mask_mean, mask_a, mask_beta)), u);
    } else if (row.mask_bits != nullptr) {
      const std::int64_t bit = row.mask_begin + e;
      std::uint32_t bits = 0;
      __builtin_memcpy(&bits, row.mask_bits + bit / 8, sizeof bits);
      u = where(mask_of_bits(bits >> (bit % 8)), u);
    }
    store_lanes(row.u + e, u, count);
    magnitude = larger(magnitude, both(bits_of(u), all_ints(INT32_MAX)));
    for (int i = 0; i < kNorms; ++i) {
      s_u[i] = add(s_u[i], rounded_long(mul(u, scale_u[i])));
      s_ut[i] = add(s_ut[i], rounded_long(mul(mul(u, t[i]), scale_ut[i])));
    }
  }
  for (int i = 0; i < kNorms; ++i) {
    store(row.norm[i].s_u + c, s_u[i]);
    store(row.norm[i].s_ut + c, s_ut[i]);
  }
}

void sum_gradients(const GradientSumRows& row) {
  Ints magnitude = all_ints(*row.magnitude);
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    // Idle lanes of a last block: first, second and y read as 0 there, so that u is 0 and every sum stays.
    if (row.norms == 0) sum_gradients_block<0, false>(row, c, count, magnitude);
    if (row.norms == 1 && row.own_mask) sum_gradients_block<1, true>(row, c, count, magnitude);
    if (row.norms == 1 && !row.own_mask) sum_gradients_block<1, false>(row, c, count, magnitude);
    if (row.norms == 2) sum_gradients_block<2, false>(row, c, count, magnitude);
  });
  *row.magnitude = largest_of(magnitude);
}
