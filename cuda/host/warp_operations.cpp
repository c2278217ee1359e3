// SPDX-License-Identifier: Apache-2.0
#include "cuda/host/warp_operations.h"

#include <bit>
#include <cstring>
#include <vector>

namespace bitcycle::cuda_on_host {
namespace {

/// Dot products of rows of 32: d[r][c] += a[r] . b[c]. Products of bytes as 16-bit words, which multiply-add in pairs.
__attribute__((optimize("O3"), target_clones("avx2", "default"))) void dot_rows(const std::int16_t* a,
                                                                                const std::int16_t* b, int rows,
                                                                                int columns, std::int32_t* d) {
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      std::int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += std::int32_t{a[r * 32 + k]} * b[c * 32 + k];
      d[r * columns + c] = sum;
    }
  }
}

__attribute__((optimize("O3"), target_clones("avx2", "default"))) void widen(const std::uint8_t* bytes,
                                                                             std::size_t size, bool is_signed,
                                                                             std::int16_t* words) {
  if (is_signed) {
    for (std::size_t i = 0; i < size; ++i) words[i] = static_cast<std::int16_t>((bytes[i] ^ 128) - 128);
  } else {
    for (std::size_t i = 0; i < size; ++i) words[i] = bytes[i];
  }
}

/// Every lane gets the value of another. A lane that the mask does not name gives nothing that is defined.
template <typename T>
void shuffle(const Warp& warp, const Collective::Operation& operation) {
  T values[32];
  for (auto& value : values) value = static_cast<T>(0xDEADBEEFDEADBEEFU);
  for (std::uint32_t lanes = operation.mask; lanes != 0; lanes &= lanes - 1) {
    const int l = std::countr_zero(lanes);
    std::memcpy(&values[l], warp.lane[l].input, sizeof(T));
  }
  const bool crossed = operation.kind == Collective::kShuffle;
  for (std::uint32_t lanes = operation.mask; lanes != 0; lanes &= lanes - 1) {
    const int l = std::countr_zero(lanes);
    std::memcpy(warp.lane[l].output, &values[crossed ? l ^ operation.m : operation.m], sizeof(T));
  }
}

/// mma.m16n8k32 for m x n tiles, fragments as the PTX ISA lays them out: with group = lane / 4 and t = lane mod 4,
/// a0..a3 are rows group, group + 8, group, group + 8 at k = 4t (a0, a1) and 4t + 16 (a2, a3), four bytes each; b0, b1
/// column group at k = 4t and 4t + 16; d0..d3 rows group, group, group + 8, group + 8 at columns 2t, 2t + 1.
void multiply(const Collective (&lane)[32], int m, int n, bool is_signed) {
  thread_local std::vector<std::uint8_t> a_bytes, b_bytes;
  thread_local std::vector<std::int16_t> a, b;
  thread_local std::vector<std::int32_t> d;
  a_bytes.resize(static_cast<std::size_t>(m) * 16 * 32);
  b_bytes.resize(static_cast<std::size_t>(n) * 8 * 32);
  a.resize(a_bytes.size());
  b.resize(b_bytes.size());
  d.resize(static_cast<std::size_t>(m) * 16 * static_cast<std::size_t>(n) * 8);
  // Words are four bytes in the order of memory: this machine and a GPU are little-endian.
  static_assert(std::endian::native == std::endian::little);
  for (int l = 0; l < 32; ++l) {
    const int group = l / 4, t = l % 4;
    const auto* fa = static_cast<const std::uint32_t*>(lane[l].input);
    for (int tile = 0; tile < m; ++tile) {
      for (int j = 0; j < 4; ++j) {
        std::memcpy(a_bytes.data() + (tile * 16 + group + j % 2 * 8) * 32 + 4 * t + j / 2 * 16, fa + tile * 4 + j, 4);
      }
    }
    const auto* fb = static_cast<const std::uint32_t*>(lane[l].input2);
    for (int tile = 0; tile < n; ++tile) {
      for (int j = 0; j < 2; ++j) {
        std::memcpy(b_bytes.data() + (tile * 8 + group) * 32 + 4 * t + j * 16, fb + tile * 2 + j, 4);
      }
    }
  }
  widen(a_bytes.data(), a_bytes.size(), false, a.data());
  widen(b_bytes.data(), b_bytes.size(), is_signed, b.data());
  dot_rows(a.data(), b.data(), m * 16, n * 8, d.data());
  for (int l = 0; l < 32; ++l) {
    const int group = l / 4, t = l % 4;
    auto* fd = static_cast<std::uint32_t*>(lane[l].output);
    for (int tm = 0; tm < m; ++tm) {
      for (int tn = 0; tn < n; ++tn, fd += 4) {
        const std::int32_t* upper = d.data() + ((tm * 16 + group) * n + tn) * 8 + 2 * t;
        const std::int32_t* lower = upper + 8 * n * 8;
        fd[0] += static_cast<std::uint32_t>(upper[0]);
        fd[1] += static_cast<std::uint32_t>(upper[1]);
        fd[2] += static_cast<std::uint32_t>(lower[0]);
        fd[3] += static_cast<std::uint32_t>(lower[1]);
      }
    }
  }
}

}  // namespace

void execute_together(Warp& warp, const Collective::Operation& operation) {
  const std::uint32_t mask = operation.mask;
  switch (operation.kind) {
    case Collective::kShuffle:
    case Collective::kShuffleFrom: {
      if (operation.bytes == 4) {
        shuffle<std::uint32_t>(warp, operation);
      } else {
        shuffle<std::uint64_t>(warp, operation);
      }
      return;
    }
    case Collective::kBallot: {
      std::uint32_t votes = 0;
      for (std::uint32_t l = 0; l < 32; ++l) {
        if (((mask >> l) & 1U) != 0 && *static_cast<const bool*>(warp.lane[l].input)) votes |= 1U << l;
      }
      for (std::uint32_t l = 0; l < 32; ++l) {
        if (((mask >> l) & 1U) != 0) std::memcpy(warp.lane[l].output, &votes, sizeof votes);
      }
      return;
    }
    case Collective::kMatrices:
      for (std::uint32_t l = 0; l < 32; ++l) {
        for (std::uint32_t j = 0; j < 4; ++j) {
          const auto* row = static_cast<const std::byte*>(warp.lane[8 * j + l / 4].input);
          std::memcpy(static_cast<std::uint32_t*>(warp.lane[l].output) + j, row + l % 4 * 4, 4);
        }
      }
      return;
    case Collective::kMatricesTransposed:
      for (std::uint32_t l = 0; l < 32; ++l) {
        for (std::uint32_t j = 0; j < 4; ++j) {
          for (std::uint32_t half = 0; half < 2; ++half) {
            const auto* row = static_cast<const std::byte*>(warp.lane[8 * j + l % 4 * 2 + half].input);
            std::memcpy(static_cast<std::byte*>(warp.lane[l].output) + 4 * j + 2 * half, row + l / 4 * 2, 2);
          }
        }
      }
      return;
    case Collective::kMultiply: multiply(warp.lane, operation.m, operation.n, false); return;
    case Collective::kMultiplySigned: multiply(warp.lane, operation.m, operation.n, true); return;
  }
}

}  // namespace bitcycle::cuda_on_host
