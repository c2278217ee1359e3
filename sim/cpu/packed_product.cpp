// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/packed_product.h"

#include <algorithm>
#include <cstdlib>
#include <map>

namespace bitcycle::cpu {
namespace {

/// Taps 0..kernel-1 that exist at each output position, as a list of distinct sets and the set of each position.
struct Classes {
  std::vector<std::vector<std::int64_t>> taps;  // (classes)
  std::vector<std::int64_t> of_position;
};

template <typename Exists>
Classes classes_of(std::int64_t positions, std::int64_t kernel, const Exists& exists) {
  Classes classes;
  std::map<std::vector<std::int64_t>, std::int64_t> known;
  for (std::int64_t p = 0; p < positions; ++p) {
    std::vector<std::int64_t> taps;
    for (std::int64_t k = 0; k < kernel; ++k) {
      if (exists(p, k)) taps.push_back(k);
    }
    const auto [entry, fresh] = known.emplace(taps, static_cast<std::int64_t>(classes.taps.size()));
    if (fresh) classes.taps.push_back(taps);
    classes.of_position.push_back(entry->second);
  }
  return classes;
}

/// Does tap k of output position p lie inside the operand of `size`?
bool exists_forward(std::int64_t p, std::int64_t k, std::int64_t stride, std::int64_t padding, std::int64_t size) {
  const std::int64_t i = p * stride - padding + k;
  return i >= 0 && i < size;
}
bool exists_error(std::int64_t p, std::int64_t k, std::int64_t stride, std::int64_t padding, std::int64_t size) {
  const std::int64_t i = p + padding - k;
  return i >= 0 && i % stride == 0 && i / stride < size;
}

}  // namespace

PackedProduct::PackedProduct(const ConvShape& s, bool error_pass, const KernelTable& kernels)
    : in_h(error_pass ? s.out_h() : s.h),
      in_w(error_pass ? s.out_w() : s.w),
      in_c(error_pass ? s.o : s.c),
      out_h(error_pass ? s.h : s.out_h()),
      out_w(error_pass ? s.w : s.out_w()),
      out_c(error_pass ? s.c : s.o),
      kh(s.kh),
      kw(s.kw),
      tiles(kernels.tiles),
      group(kernels.group),
      groups((in_c + group - 1) / group),
      lanes(lanes_for(out_c)),
      blocks(lanes / kLanes) {
  const std::int64_t stride = s.stride;
  if (error_pass) {
    margin_row = (kh - 1) / stride;
    margin_column = (kw - 1) / stride;
    staged_rows = margin_row + std::max(in_h, (s.h - 1 + s.padding) / stride + 1);
    columns = margin_column + std::max(in_w, (s.w - 1 + s.padding) / stride + 1);
  } else {
    margin_row = margin_column = s.padding;
    column_phases = tiles ? 1 : stride;
    staged_rows = in_h + 2 * s.padding;
    columns = (in_w + 2 * s.padding + column_phases - 1) / column_phases;
    column_step = stride / column_phases;
  }
  plane = columns * 4;
  phase_pitch = groups * plane;
  const std::int64_t column_bytes = tiles ? groups * 4 : 4;
  pixel_step = column_step * column_bytes;
  row_pitch = column_phases * phase_pitch;

  const auto exists = error_pass ? exists_error : exists_forward;
  const Classes rows = classes_of(out_h, kh, [&](auto p, auto k) { return exists(p, k, stride, s.padding, in_h); });
  const Classes cols = classes_of(out_w, kw, [&](auto p, auto k) { return exists(p, k, stride, s.padding, in_w); });
  row_class = rows.of_position;
  row_classes = static_cast<std::int64_t>(rows.taps.size());
  column_classes = static_cast<std::int64_t>(cols.taps.size());
  for (const auto& row_taps : rows.taps) {
    for (const auto& column_taps : cols.taps) {
      std::vector<std::int64_t> taps;
      for (const auto i : row_taps) {
        for (const auto j : column_taps) taps.push_back(i * kw + j);
      }
      terms.push_back(static_cast<double>(static_cast<std::int64_t>(taps.size()) * in_c));
      class_taps.push_back(std::move(taps));
    }
  }

  const std::int64_t count = error_pass ? stride : 1;
  for (std::int64_t ph = 0; ph < count; ++ph) {
    for (std::int64_t pw = 0; pw < count; ++pw) {
      ProductPhase phase;
      phase.step = count;
      if (error_pass) {
        phase.first_row = ((ph - s.padding) % stride + stride) % stride;
        phase.first_column = ((pw - s.padding) % stride + stride) % stride;
        phase.origin_row = (phase.first_row + s.padding - ph) / stride + margin_row;
        phase.origin_column = (phase.first_column + s.padding - pw) / stride + margin_column;
      } else {
        phase.row_step = stride;
      }
      phase.rows = phase.first_row < out_h ? (out_h - phase.first_row + count - 1) / count : 0;
      phase.pixels = phase.first_column < out_w ? (out_w - phase.first_column + count - 1) / count : 0;
      for (std::int64_t i = error_pass ? ph : 0; i < kh; i += count) {
        // In the order of memory, so that a kernel row is one run: the error pass reads what is left of a pixel.
        const std::int64_t in_row = error_pass ? (kw - pw + count - 1) / count : kw;
        for (std::int64_t k = 0; k < in_row; ++k) {
          std::int64_t offset = 0, sum_offset = 0;
          if (error_pass) {
            const std::int64_t up = (i - ph) / stride, left = in_row - 1 - k;
            phase.tap.push_back(i * kw + pw + left * count);
            offset = -up * row_pitch - left * column_bytes;
            sum_offset = -up * staged_columns() - left;
          } else {
            const std::int64_t column = k % column_phases;
            phase.tap.push_back(i * kw + k);
            offset = i * row_pitch + column * phase_pitch + k / column_phases * column_bytes;
            sum_offset = i * staged_columns() + column * columns + k / column_phases;
          }
          if (!tiles || k == 0) phase.offsets.push_back(offset);
          phase.sum_offsets.push_back(sum_offset);
        }
        if (tiles) phase.run_taps = in_row;
      }
      phase.run_groups = phase.run_taps * groups;
      if (tiles) {
        constexpr std::int64_t kTileGroups = 16, kTilePixels = 128;
        phase.run_groups = (phase.run_groups + kTileGroups - 1) / kTileGroups * kTileGroups;
        if (column_step == 1) phase.rows_at_once = std::max<std::int64_t>(1, kTilePixels / columns);
      }
      phase.weights_begin = limb_bytes;
      limb_bytes += blocks * phase.block_bytes();
      for (std::int64_t r = 0; r < row_classes; ++r) {
        for (std::int64_t p = 0; p < phase.pixels; ++p) {
          const std::int64_t column = cols.of_position[static_cast<std::size_t>(phase.first_column + p * count)];
          const std::int64_t index = r * column_classes + column;
          phase.columns.push_back(index * lanes);
          phase.addend.push_back(static_cast<std::int32_t>(128.0 * terms[static_cast<std::size_t>(index)]));
        }
      }
      phases.push_back(std::move(phase));
    }
  }
  has_winograd = kernels.winograd.weights != nullptr && kh == 3 && kw == 3 && stride == 1 &&
                 in_c <= kMaxWinogradChannels && out_h > 0 && out_w > 0;
  if (has_winograd) {
    winograd = WinogradProduct(phases.front().offsets.data(), row_pitch, plane, groups, blocks, out_h, out_w);
  }
}

bool fit_words(const KernelTable& kernels, const std::int32_t* codes, std::int64_t rows, std::int64_t channels,
               Scratch<std::int32_t>& sums) {
  constexpr std::int32_t kLargestCode = INT16_MAX, kLargestSum = (1 << 23) - 1;
  if (kernels.group != 2) return false;
  std::int32_t* const positive = sums.zeroed(2 * channels);
  std::int32_t* const negative = positive + channels;
  std::int32_t largest = 0;
  for (std::int64_t r = 0; r < rows; ++r, codes += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int32_t code = codes[c];
      largest = std::max(largest, std::abs(code));
      positive[c] += std::max(code, 0);
      negative[c] -= std::min(code, 0);
    }
    if (largest > kLargestCode) return false;
  }
  return std::all_of(positive, positive + 2 * channels, [](std::int32_t sum) { return sum <= kLargestSum; });
}

template <typename Code>
void PackedProduct::pack(const KernelTable& kernels, Workers& workers, int limb_count, std::int32_t offset,
                         const Code* codes, std::int64_t out_step, std::int64_t tap_step, std::int64_t in_step) {
  pack_limbs(kernels, workers, limb_count, false, offset, codes, out_step, tap_step, in_step);
}

void PackedProduct::pack_words(const KernelTable& kernels, Workers& workers, const std::int32_t* codes,
                               std::int64_t out_step, std::int64_t tap_step, std::int64_t in_step) {
  pack_limbs(kernels, workers, 1, true, 0, codes, out_step, tap_step, in_step);
}

template <typename Code>
void PackedProduct::pack_limbs(const KernelTable& kernels, Workers& workers, int limb_count, bool words,
                               std::int32_t offset, const Code* codes, std::int64_t out_step, std::int64_t tap_step,
                               std::int64_t in_step) {
  weight_offset = static_cast<double>(offset);
  // What fills up runs is 0, and lies elsewhere for another number of limbs.
  char* out = limbs == limb_count ? packed.need(limb_bytes * limb_count) : packed.zeroed(limb_bytes * limb_count);
  limbs = limb_count;
  std::int64_t* sums = tap_sums_.need(kh * kw * lanes);
  // Neighbouring blocks read the same cache lines where output channels lie side by side.
  constexpr std::int64_t kBlocksAtOnce = 4;
  workers.chunks(blocks, kBlocksAtOnce, [&](int, std::int64_t begin, std::int64_t end) {
    for (const auto& phase : phases) {
      const auto phase_taps = static_cast<std::int64_t>(phase.tap.size());
      for (std::int64_t i = 0; i < limbs * phase_taps * (end - begin); ++i) {
        const std::int64_t block = begin + i % (end - begin), t = i / (end - begin) % phase_taps;
        const std::int64_t limb = i / (end - begin) / phase_taps, tap = phase.tap[static_cast<std::size_t>(t)];
        PackTap row;
        const Code* const first = codes + block * kLanes * out_step + tap * tap_step;
        if constexpr (sizeof(Code) == 1) {
          row.codes8 = first;
        } else {
          row.codes = first;
        }
        row.out_step = out_step;
        row.in_step = in_step;
        row.lanes = std::min(kLanes, out_c - block * kLanes);
        row.channels = in_c;
        row.offset = offset;
        row.shift = 8 * static_cast<int>(limb);
        row.words = words;
        row.out = out + phase.weights_begin * limbs + (limb * blocks + block) * phase.block_bytes() +
                  (t / phase.run_taps * phase.run_groups + t % phase.run_taps * groups) * kBlockBytes;
        row.sums = limb == 0 ? sums + tap * lanes + block * kLanes : nullptr;
        kernels.pack_tap(row);
      }
    }
  });
  by_winograd = has_winograd && limbs == 1 && !words;
  if (by_winograd) winograd.set_weights(kernels, out);
  std::int32_t* narrow = correction32.zeroed(classes() * lanes);
  double* wide = correction.zeroed(classes() * lanes);
  double* true_sums = weight_sums.zeroed(classes() * lanes);
  for (std::int64_t c = 0; c < classes(); ++c) {
    const auto& existing = class_taps[static_cast<std::size_t>(c)];
    for (std::int64_t o = 0; o < out_c; ++o) {
      std::int64_t sum = 0;
      for (const std::int64_t t : existing) sum += sums[t * lanes + o];
      const std::int64_t terms_here = static_cast<std::int64_t>(existing.size()) * in_c;
      const std::int64_t shifted = 128 * (sum + offset * terms_here);
      true_sums[c * lanes + o] = static_cast<double>(sum);
      wide[c * lanes + o] = static_cast<double>(shifted);
      narrow[c * lanes + o] = limbs == 1 ? static_cast<std::int32_t>(shifted) : 0;
    }
  }
}

template void PackedProduct::pack(const KernelTable&, Workers&, int, std::int32_t, const std::int32_t*, std::int64_t,
                                  std::int64_t, std::int64_t);
template void PackedProduct::pack(const KernelTable&, Workers&, int, std::int32_t, const std::uint8_t*, std::int64_t,
                                  std::int64_t, std::int64_t);

}  // namespace bitcycle::cpu
