// SPDX-License-Identifier: Apache-2.0
// The weight gradients of a layer that a step uses several times (sim/device/summed_gradients.h), codes in bytes: a
// task owns 32 outputs; for each use it multiplies, makes values of the sums and adds them to its own, which stay in
// the cache. Codes of x are arranged once a use, for all tasks.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"
#include "sim/device/summed_gradients.h"

namespace bitcycle::cpu {

class SummedGradientKernel {
 public:
  explicit SummedGradientKernel(int threads) : own_(static_cast<std::size_t>(threads)) {}

  /// Whether every sum of products fits an int32: of fully connected layers with so few rows.
  static bool takes(const SummedGradient& args);
  void run(const KernelTable& kernels, Workers& workers, const SummedGradient& args);

 private:
  /// Of one thread.
  struct Own {
    Scratch<char> g;
    Scratch<std::int32_t> sums;
    Scratch<float> totals;

    template <typename Visit>
    static void each_scratch(Own& a, const Own& b, const Visit& visit) {
      visit(a.g, b.g);
      visit(a.sums, b.sums);
      visit(a.totals, b.totals);
    }
  };
  struct Layout {
    std::int64_t rows = 0, c = 0, o = 0;
    std::int64_t x_lanes = 0, steps = 0, x_plane = 0, x_bytes = 0;  // of one use's arranged codes
  };
  void arrange_x(const KernelTable& kernels, const Layout& layout, const SummedGradient::Use& use, char* out,
                 double* rest) const;
  void arrange_g(const KernelTable& kernels, const Layout& layout, const SummedGradient::Use& use, std::int64_t first,
                 std::int64_t lanes, char* out) const;

  Scratch<char> x_;
  Scratch<double> rest_;  // (uses, x lanes): the terms that do not depend on an output
  std::vector<Own> own_;
};

}  // namespace bitcycle::cpu
