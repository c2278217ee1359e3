// SPDX-License-Identifier: Apache-2.0
// The noise of stochastic rounding: Philox4x32-10 (docs/numerics.md, 8.1 and 8.2). Part of elementwise.inl.
//
// A block is a 64-bit lane, of which the low 32 bits count. A round takes 6 instructions: multiply, bring the high word
// down, exclusive or, of two halves. Two of a block's four words are the same in all blocks, and the high word of its
// number is in nearly all, so that of the first two rounds five instructions have the same result everywhere.

constexpr std::uint64_t kPhiloxM0 = 0xD2511F53U, kPhiloxM1 = 0xCD9E8D57U;

/// Keys of the rounds, and what the first three have in common for blocks whose number has this high word.
struct NoiseSchedule {
  std::uint64_t keys[20];
  std::uint64_t first2 = 0, second0 = 0, second2 = 0, third2 = 0;  // round, and the word that it is exclusive-ored to

  NoiseSchedule(const NoiseRow& row, std::uint64_t high) {
    constexpr std::uint64_t kLow = 0xFFFFFFFFU;
    std::uint32_t k0 = static_cast<std::uint32_t>(row.seed), k1 = static_cast<std::uint32_t>(row.seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
      keys[2 * round] = k0;
      keys[2 * round + 1] = k1;
    }
    const std::uint64_t of_step = row.step * kPhiloxM1;
    const std::uint64_t after_first = ((of_step >> 32) ^ (high & kLow) ^ keys[0]) * kPhiloxM0;
    first2 = row.purpose_and_tensor ^ keys[1];
    second0 = (of_step & kLow) ^ keys[2];
    second2 = (after_first >> 32) ^ keys[3];
    third2 = (after_first & kLow) ^ keys[5];
  }
};

constexpr std::int64_t kNoiseBlocks = kNoiseSets * kLanes;  // made at once, since rounds wait for one another
constexpr std::int64_t kNoiseAtOnce = 4 * kNoiseBlocks;     // elements

/// Noise of the elements of blocks first.., whose numbers' high word is that of the schedule.
inline void noise_of_blocks(const NoiseSchedule& schedule, std::uint64_t first, Floats (&noise)[4 * kNoiseSets]) {
  const Longs m0 = all_longs(kPhiloxM0), m1 = all_longs(kPhiloxM1);
  const auto key = [&](int i) { return all_longs(schedule.keys[i]); };
  Longs c[kNoiseSets][4], p0[kNoiseSets], p1[kNoiseSets];
#pragma GCC unroll 4
  for (int s = 0; s < kNoiseSets; ++s) {
    const Longs block = add(all_longs(first + static_cast<std::uint64_t>(s * kLanes)), load(kBlockOfLane));
    p0[s] = multiply_words(block, m0);
    c[s][2] = exclusive_or(high_words(p0[s]), all_longs(schedule.first2));
    p1[s] = multiply_words(c[s][2], m1);
    c[s][0] = exclusive_or(high_words(p1[s]), all_longs(schedule.second0));
    c[s][2] = exclusive_or(p0[s], all_longs(schedule.second2));
    c[s][1] = p1[s];
    p0[s] = multiply_words(c[s][0], m0);
    p1[s] = multiply_words(c[s][2], m1);
    c[s][0] = exclusive_or(high_words(p1[s]), c[s][1], key(4));
    c[s][2] = exclusive_or(high_words(p0[s]), all_longs(schedule.third2));
    c[s][1] = p1[s];
    c[s][3] = p0[s];
  }
#pragma GCC unroll 6
  for (int round = 3; round < 9; ++round) {
#pragma GCC unroll 4
    for (int s = 0; s < kNoiseSets; ++s) {
      p0[s] = multiply_words(c[s][0], m0);
      p1[s] = multiply_words(c[s][2], m1);
      c[s][0] = exclusive_or(high_words(p1[s]), c[s][1], key(2 * round));
      c[s][2] = exclusive_or(high_words(p0[s]), c[s][3], key(2 * round + 1));
      c[s][1] = p1[s];
      c[s][3] = p0[s];
    }
  }
  const Floats scale = all(0x1p-24F), half = all(-0.5F);
#pragma GCC unroll 4
  for (int s = 0; s < kNoiseSets; ++s) {
    p0[s] = multiply_words(c[s][0], m0);
    p1[s] = multiply_words(c[s][2], m1);
    Ints words[4];
    words_of_blocks(last_words(p1[s], c[s][1], key(18)), last_words(p0[s], c[s][3], key(19)), words);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      noise[4 * s + j] = exact_fused(to_floats(shift_right<8>(words[j])), scale, half);
    }
  }
}

/// A batch that begins before the row, or whose blocks' numbers have two high words.
__attribute__((noinline)) void noise_at_edges(const NoiseRow& row, const NoiseSchedule& schedule, std::uint64_t block,
                                              std::int64_t i) {
  float lanes[2][kNoiseAtOnce];
  const auto make = [&](const NoiseSchedule& of, float(&out)[kNoiseAtOnce]) {
    Floats batch[4 * kNoiseSets];
    noise_of_blocks(of, block, batch);
    for (int j = 0; j < 4 * kNoiseSets; ++j) store(out + j * kLanes, batch[j]);
  };
  const auto high = [&](std::int64_t blocks) { return (block + static_cast<std::uint64_t>(blocks)) >> 32; };
  make(schedule, lanes[0]);
  if (high(kNoiseBlocks - 1) != high(0)) make(NoiseSchedule(row, high(kNoiseBlocks - 1)), lanes[1]);
  for (std::int64_t j = i < 0 ? -i : 0; j < kNoiseAtOnce && i + j < row.count; ++j) {
    row.noise[i + j] = lanes[high(j / 4) - high(0)][j];
  }
}

void noise(const NoiseRow& row) {
  std::uint64_t block = row.begin / 4, high = block >> 32;
  NoiseSchedule schedule(row, high);
  for (std::int64_t i = -static_cast<std::int64_t>(row.begin % 4); i < row.count; i += kNoiseAtOnce) {
    if (block >> 32 != high) {
      high = block >> 32;
      schedule = NoiseSchedule(row, high);
    }
    if (i < 0 || (block + kNoiseBlocks - 1) >> 32 != high) {
      noise_at_edges(row, schedule, block, i);
    } else {
      for (const float* const next : row.fetch) {
        if (next == nullptr) continue;
#pragma GCC unroll 8
        for (std::int64_t j = 0; j < kNoiseAtOnce; j += kLanes) __builtin_prefetch(next + i + j);
      }
      Floats batch[4 * kNoiseSets];
      noise_of_blocks(schedule, block, batch);
      const std::int64_t left = row.count - i;
#pragma GCC unroll 8
      for (int j = 0; j < 4 * kNoiseSets; ++j) {
        if (left >= (j + 1) * kLanes) {
          store(row.noise + i + j * kLanes, batch[j]);
        } else if (left > j * kLanes) {
          store_some(row.noise + i + j * kLanes, batch[j], left - j * kLanes);
        }
      }
    }
    block += kNoiseBlocks;
  }
}
