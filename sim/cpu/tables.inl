// SPDX-License-Identifier: Apache-2.0
// Sums over taps, and the table of one instruction set. Included inside an unnamed namespace; kGroup is defined before.

void box_sums(const BoxSums& row) {
  for (std::int64_t p = 0; p < row.pixels; ++p) row.out[p] = row.addend[p];
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const std::int32_t* sums = row.sums + row.offsets[t];
    if (row.step == 1) {
      for (std::int64_t p = 0; p < row.pixels; ++p) row.out[p] += sums[p];
    } else {
      for (std::int64_t p = 0; p < row.pixels; ++p) row.out[p] += sums[p * row.step];
    }
  }
}

void split_words(const std::uint16_t* codes, std::int64_t count, std::uint8_t* low, std::uint8_t* high) {
  for (std::int64_t i = 0; i < count; ++i) {
    low[i] = static_cast<std::uint8_t>(codes[i] & 0xFF);
    high[i] = static_cast<std::uint8_t>(codes[i] >> 8);
  }
}

/// Of bytes, whose channels lie side by side: a lane's four are a word already.
inline void pack_bytes_of_channels(const PackTap& tap) {
  for (std::int64_t lane = 0; lane < tap.lanes; ++lane) {
    const std::uint8_t* codes = tap.codes8 + lane * tap.out_step;
    char* out = tap.out + 4 * lane;
    std::int64_t i = 0;
    for (; i + 4 <= tap.channels; i += 4) __builtin_memcpy(out + i * kLanes, codes + i, 4);
    if (i < tap.channels) {
      char word[4] = {};
      for (std::int64_t j = i; j < tap.channels; ++j) word[j - i] = static_cast<char>(codes[j]);
      __builtin_memcpy(out + i * kLanes, word, 4);
    }
    if (tap.sums == nullptr) continue;
    std::int32_t sum = 0;
    for (i = 0; i < tap.channels; ++i) sum += codes[i];
    tap.sums[lane] = sum;
  }
  for (std::int64_t lane = tap.lanes; lane < kLanes; ++lane) {
    for (std::int64_t i = 0; i < tap.channels; i += 4) __builtin_memset(tap.out + i * kLanes + 4 * lane, 0, 4);
    if (tap.sums != nullptr) tap.sums[lane] = 0;
  }
}

/// Of bytes, whose 16 lanes lie side by side.
inline void pack_bytes_of_lanes(const PackTap& tap) {
  std::uint32_t sums[kLanes] = {};
  for (std::int64_t first = 0; first < tap.channels; first += 4) {
    std::uint32_t words[kLanes] = {};
    for (std::int64_t i = first; i < first + 4 && i < tap.channels; ++i) {
      std::uint8_t codes[kLanes];
      __builtin_memcpy(codes, tap.codes8 + i * tap.in_step, kLanes);
      const int position = 8 * static_cast<int>(i - first);
#pragma GCC ivdep
      for (int lane = 0; lane < kLanes; ++lane) {
        const std::uint32_t code = codes[lane];
        words[lane] |= code << position;
        sums[lane] += code;
      }
    }
    __builtin_memcpy(tap.out + first * kLanes, words, sizeof words);
  }
  if (tap.sums == nullptr) return;
  for (int lane = 0; lane < kLanes; ++lane) tap.sums[lane] = sums[lane];
}

void pack_tap(const PackTap& tap) {
  if constexpr (kGroup == 4) {
    if (tap.codes8 != nullptr && tap.in_step == 1) return pack_bytes_of_channels(tap);
    if (tap.codes8 != nullptr && tap.out_step == 1 && tap.lanes == kLanes) return pack_bytes_of_lanes(tap);
  }
  constexpr int kElementBits = 32 / static_cast<int>(kGroup);
  std::int64_t sums[kLanes] = {};
  const auto offset = static_cast<std::uint32_t>(tap.offset);
  const std::uint32_t mask = tap.words ? 0xFFFFU : 0xFFU;
  for (std::int64_t first = 0; first < tap.channels; first += kGroup) {
    std::uint32_t words[kLanes] = {};
    const std::int64_t last = first + kGroup < tap.channels ? first + kGroup : tap.channels;
    for (std::int64_t i = first; i < last; ++i) {
      const int position = kElementBits * static_cast<int>(i - first);
      const auto put = [&](std::int64_t lane, std::int32_t code) {
        words[lane] |= element_of((static_cast<std::uint32_t>(code) + offset) >> tap.shift & mask) << position;
        sums[lane] += code;
      };
      if (tap.codes8 != nullptr) {
        const std::uint8_t* codes = tap.codes8 + i * tap.in_step;
        for (std::int64_t lane = 0; lane < tap.lanes; ++lane) put(lane, codes[lane * tap.out_step]);
      } else if (tap.out_step == 1 && tap.lanes == kLanes) {
        const std::int32_t* codes = tap.codes + i * tap.in_step;
        for (std::int64_t lane = 0; lane < kLanes; ++lane) put(lane, codes[lane]);
      } else {
        const std::int32_t* codes = tap.codes + i * tap.in_step;
        for (std::int64_t lane = 0; lane < tap.lanes; ++lane) put(lane, codes[lane * tap.out_step]);
      }
    }
    __builtin_memcpy(tap.out + first / kGroup * kBlockBytes, words, sizeof words);
  }
  if (tap.sums != nullptr) __builtin_memcpy(tap.sums, sums, sizeof sums);
}

constexpr KernelTable table_named(const char* name) {
  return {.name = name,
          .group = kGroup,
          .tiles = false,
          .row_product = row_product,
          .tap_gradient = tap_gradient,
          .stage_channels = stage_channels,
          .stage_pixels = stage_pixels,
          .stage_x_positions = nullptr,
          .stage_g_positions = nullptr,
          .channel_sums = channel_sums,
          .box_sums = box_sums,
          .pixel_sums = pixel_sums,
          .split_words = split_words,
          .rescale_narrow = rescale_narrow,
          .rescale_limbs = rescale_limbs,
          .statistics = statistics,
          .norm_rows = norm_rows,
          .gradient_rows = gradient_rows,
          .quantise = quantise,
          .column_range = column_range,
          .quantise_columns = quantise_columns,
          .grid_codes = grid_codes,
          .pack_tap = pack_tap,
          .noise = noise,
          .sum_gradients = sum_gradients,
          .ordered_row32 = ordered_row<float>,
          .ordered_row64 = ordered_row<double>,
          .ordered_gradient32 = ordered_gradient<float>,
          .ordered_gradient64 = ordered_gradient<double>,
          .float_product = float_product,
          .float_gradient = float_gradient,
          .rescale_sums = rescale_sums,
          .gradient_values = gradient_values,
          .norm_codes = norm_codes,
          .gradient_codes = gradient_codes,
          .stage_words = stage_words,
          .stage_quads = kStageQuads,
          .depthwise_row = depthwise_row,
          .depthwise_gradient = depthwise_gradient,
          .code_sums = code_sums,
          .add_codes = add_codes,
          .max_pool = max_pool,
          .range = range,
          .magnitude = magnitude,
          .positive_bits = positive_bits,
          .add_on_grid = add_on_grid,
          .add_products_on_grid = add_products_on_grid,
          .exponentials = exponentials,
          .softmax_gradients = softmax_gradients,
          .sgd = sgd,
          .non_finite = non_finite,
          .language = kLanguageRows};
}
