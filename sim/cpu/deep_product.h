// SPDX-License-Identifier: Apache-2.0
// Matrix products whose sums are too long for 32 bits, such as the error pass of a head of 267,744 words: cut into
// slices of the sum, each on the kernels of bytes, and added up in 64 bits. Exact integers, so that neither the slices
// nor their order reach a bit.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"

namespace bitcycle::cpu {

/// x (rows, depth) times w (depth, outputs), integers.
struct DeepOperands {
  std::int64_t rows = 0, depth = 0, outputs = 0;
  const void* x = nullptr;  // codes of x_limbs bytes
  int x_limbs = 1;
  const std::int32_t* w = nullptr;   // one of the two; w + offset are w_limbs bytes
  const std::uint8_t* w8 = nullptr;  // of one byte, offset 0
  int w_limbs = 1;
  std::int32_t offset = 0;
};

class DeepProduct {
 public:
  /// Whether such sums are exact in binary64, in which they are rescaled.
  static bool takes(int x_limbs, int w_limbs, std::int64_t depth);

  void run(const KernelTable& kernels, Workers& workers, const DeepOperands& of);

  std::int64_t lanes() const { return lanes_; }
  const double* sums() const { return sums_.data(); }                    // (rows, lanes): [x w]
  const double* position_sums() const { return position_sums_.data(); }  // (rows): [x]
  const double* weight_sums() const { return weight_sums_.data(); }      // (lanes): [w]

 private:
  struct Thread {
    Scratch<char> packed, staged;
    Scratch<std::uint8_t> bytes[2];
    Scratch<std::int32_t> some, some_positions, sums;
    Scratch<std::int64_t> some_weights, weights, positions;

    template <typename Visit>
    static void each_scratch(Thread& a, const Thread& b, const Visit& visit) {
      visit(a.packed, b.packed);
      visit(a.staged, b.staged);
      for (int i = 0; i < 2; ++i) visit(a.bytes[i], b.bytes[i]);
      visit(a.some, b.some);
      visit(a.some_positions, b.some_positions);
      visit(a.sums, b.sums);
      visit(a.some_weights, b.some_weights);
      visit(a.weights, b.weights);
      visit(a.positions, b.positions);
    }
  };
  /// Terms begin .. end - 1 of all sums, into the thread's memory.
  void slice(const KernelTable& kernels, const DeepOperands& of, std::int64_t begin, std::int64_t end,
             Thread& thread) const;

  std::int64_t lanes_ = 0;
  std::vector<Thread> threads_;
  std::mutex adding_;
  Scratch<std::int64_t> whole_, whole_positions_, whole_weights_;
  Scratch<double> sums_, position_sums_, weight_sums_;
};

}  // namespace bitcycle::cpu
