// SPDX-License-Identifier: Apache-2.0
// DepthwiseProduct: the forward or the error pass of a convolution whose channels are groups of their own, for codes up
// to 16 bits, of one byte or two. Every channel is a lane; neighbouring taps are multiplied together, pairs of words
// or, of weights up to 8 bits where kernels have them, quads of bytes (depthwise_kernels.h). An image's rows are staged
// as they are needed, as many as the kernel is high, and each row of values follows at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/product_image.h"
#include "sim/cpu/scratch.h"
#include "sim/ops/conv_shape.h"

namespace bitcycle::cpu {

/// One input channel and one output channel a group, more than one group.
inline bool is_depthwise(const ConvShape& s) { return s.groups > 1 && s.c == s.groups && s.o == s.groups; }

/// Most taps for which the sum of bytes times 16-bit weights stays below 2^31, whatever the codes.
constexpr std::int64_t kMaxWordTaps = 256;

class DepthwiseProduct {
 public:
  DepthwiseProduct() = default;
  DepthwiseProduct(const ConvShape& shape, bool error_pass, const KernelTable& kernels);

  /// One thread's memory.
  struct State {
    Scratch<char> staged;
    Scratch<const char*> rows;

    template <typename Visit>
    static void each_scratch(State& a, const State& b, const Visit& visit) {
      visit(a.staged, b.staged);
      visit(a.rows, b.rows);
    }
  };

  std::int64_t lanes = 0;
  std::vector<double> terms;    // (classes): taps that exist
  Scratch<double> weight_sums;  // (classes, lanes): [q_w] or [w_G]
  std::int64_t classes() const { return static_cast<std::int64_t>(terms.size()); }

  /// Weights codes[channel * taps + tap]: with one limb words, or pairs of an unsigned byte and a signed word. bytes:
  /// they are codes up to 8 bits. sums: whether values need sums of the streamed codes.
  void pack(int limb_count, bool bytes, bool sums, const std::int32_t* codes);

  /// Images of the values' shape that done() will read or write: they are fetched while products are made.
  struct Fetch {
    const float* images[2] = {nullptr, nullptr};
  };

  /// One image of codes to values; done(first row, rows, their values) follows. out: the whole image, or null: then
  /// values live in `some` until done() returns.
  template <typename Done>
  void image(const KernelTable& kernels, const ProductCoefficients& coefficients, const ByteCodes& codes, float* out,
             Scratch<float>& some, State& state, const Fetch& fetch, const Done& done) const {
    const std::int64_t row_size = out_w_ * channels_, batch = std::clamp<std::int64_t>(2048 / row_size, 1, out_h_);
    float* const kept = out == nullptr ? some.need(batch * row_size) : nullptr;
    std::int64_t staged = 0;  // input rows so far
    for (std::int64_t first = 0; first < out_h_; first += batch) {
      const std::int64_t count = std::min(batch, out_h_ - first);
      float* const values = kept == nullptr ? out + first * row_size : kept;
      for (std::int64_t r = first; r < first + count; ++r) {
        float* const at = values + (r - first) * row_size;
        // Of values that stay, the next row.
        const float* const next[2] = {fetch.images[0] != nullptr ? fetch.images[0] + r * row_size : at + row_size,
                                      fetch.images[1] != nullptr ? fetch.images[1] + r * row_size : at};
        row(kernels, coefficients, codes, r, at, next, staged, state);
      }
      done(first, count, static_cast<const float*>(values));
    }
  }

 private:
  /// Outputs first, first + step, ... of an axis: their taps, in ascending order of what they read, and the input that
  /// output `first` reads for the first of them.
  struct Phase {
    std::int64_t first = 0, step = 1, count = 0;
    std::vector<std::int64_t> taps;
    std::int64_t source = 0, source_step = 1;
  };
  static std::vector<Phase> phases_of(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                                      bool error_pass);
  struct ColumnPhase {
    Phase phase;
    std::vector<std::int64_t> columns;  // (row classes, pixels): offset into the class tables
  };
  /// How rows and weights lie, as pairs or as quads.
  struct Form {
    std::int64_t in_unit = 2;                              // columns of a unit
    std::int64_t staged_units = 0;                         // of a row
    std::vector<std::int64_t> units;                       // (column phases) of a kernel's row
    std::vector<std::int64_t> ones;                        // (column phases) bytes to their patterns of ones
    std::vector<std::vector<std::int64_t>> weights_begin;  // (row phases, column phases): bytes, one limb
    std::int64_t weight_bytes = 0;                         // one limb
    Scratch<char> patterns, no_row;

    std::int64_t plane() const { return staged_units * kBlockBytes; }
  };
  Form form_of(bool quads) const;
  /// visit(even or odd, unit, column in the unit, tap) for every place of a column phase's taps.
  template <typename Visit>
  static void each_place(const Form& form, const ColumnPhase& column, const Visit& visit);
  void stage(const KernelTable& kernels, const std::uint8_t* codes, char* out) const;
  void row(const KernelTable& kernels, const ProductCoefficients& coefficients, const ByteCodes& codes, std::int64_t r,
           float* out, const float* const (&fetch)[2], std::int64_t& staged, State& state) const;
  std::int64_t row_bytes(const Form& form) const { return form.plane() * lanes / kLanes; }
  const Form& form() const { return bytes_ ? quads_ : pairs_; }

  std::int64_t in_h_ = 0, in_w_ = 0, out_h_ = 0, out_w_ = 0, channels_ = 0, kh_ = 0, kw_ = 0;
  std::int64_t margin_ = 0;
  std::vector<Phase> row_phases_;
  std::vector<ColumnPhase> column_phases_;
  std::vector<std::int64_t> row_class_;                // (out_h)
  std::vector<std::vector<std::int64_t>> class_taps_;  // (classes)
  Form pairs_, quads_;
  bool has_quads_ = false;
  int limbs_ = 1;
  bool bytes_ = false, sums_ = true;
  Scratch<char> packed_;
  Scratch<std::int32_t> acc_start_, codes_start_;  // (classes, lanes), of bytes
};

}  // namespace bitcycle::cpu
