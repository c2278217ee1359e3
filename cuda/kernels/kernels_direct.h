// SPDX-License-Identifier: Apache-2.0
// Products of any width, with groups and in float32, one thread or block a result: integers in 64 or 128 bits, float32
// in fma sums (docs/numerics.md, 4, 6.2). Tensor cores do what fits them (kernels_product.h); this does the rest.
#pragma once

#include "cuda/kernels/kernels_quantise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// visit(kh, kw, h, w) for the taps of output (oh, ow), in order.
template <typename Visit>
BITCYCLE_DEVICE void for_each_tap_of_output(const Geometry& s, int oh, int ow, Visit visit) {
  for (int kh = 0; kh < s.kh; ++kh) {
    const int h = oh * s.stride - s.padding + kh;
    if (h < 0 || h >= s.h) continue;
    for (int kw = 0; kw < s.kw; ++kw) {
      const int w = ow * s.stride - s.padding + kw;
      if (w >= 0 && w < s.w) visit(kh, kw, h, w);
    }
  }
}
/// visit(kh, kw, oh, ow) for the taps through which input (h, w) reaches an output, in order.
template <typename Visit>
BITCYCLE_DEVICE void for_each_tap_of_input(const Geometry& s, int h, int w, Visit visit) {
  for (int kh = 0; kh < s.kh; ++kh) {
    const int y = h + s.padding - kh;
    if (y < 0 || y % s.stride != 0 || y / s.stride >= s.out_h) continue;
    for (int kw = 0; kw < s.kw; ++kw) {
      const int x = w + s.padding - kw;
      if (x >= 0 && x % s.stride == 0 && x / s.stride < s.out_w) visit(kh, kw, y / s.stride, x / s.stride);
    }
  }
}
BITCYCLE_DEVICE std::int64_t input_index(const Geometry& s, int n, int h, int w, int i) {
  return ((static_cast<std::int64_t>(n) * s.h + h) * s.w + w) * s.c + i;
}
BITCYCLE_DEVICE std::int64_t output_index(const Geometry& s, int n, int oh, int ow, int o) {
  return ((static_cast<std::int64_t>(n) * s.out_h + oh) * s.out_w + ow) * s.o + o;
}
BITCYCLE_DEVICE std::int64_t weight_index(const Geometry& s, int o, int kh, int kw, int i) {
  return ((static_cast<std::int64_t>(o) * s.kh + kh) * s.kw + kw) * s.c_per_group() + i;
}

template <typename Sum>
struct DirectSums {
  Sum product = 0, streamed = 0, weights = 0;
  std::int64_t terms = 0;
};

template <typename Sum>
BITCYCLE_DEVICE DirectSums<Sum> direct_forward(const Geometry& s, const void* x, Container container,
                                               const std::uint32_t* weights, int n, int oh, int ow, int o) {
  DirectSums<Sum> sums;
  const int first = o / s.o_per_group() * s.c_per_group();
  for_each_tap_of_output(s, oh, ow, [&](int kh, int kw, int h, int w) {
    const std::int64_t at = input_index(s, n, h, w, first), weight = weight_index(s, o, kh, kw, 0);
    for (int i = 0; i < s.c_per_group(); ++i) {
      const auto qx = static_cast<Sum>(load_code(x, container, at + i));
      const auto qw = static_cast<Sum>(global_load(weights + weight + i));
      sums.product += qx * qw;
      sums.streamed += qx;
      sums.weights += qw;
    }
    sums.terms += s.c_per_group();
  });
  return sums;
}

/// Weights signed (the shared grid) or not.
template <typename Sum>
BITCYCLE_DEVICE DirectSums<Sum> direct_error(const Geometry& s, const void* g, Container container,
                                             const std::uint32_t* weights, bool is_signed, int n, int h, int w, int i) {
  DirectSums<Sum> sums;
  const int first = i / s.c_per_group() * s.o_per_group(), in_group = i % s.c_per_group();
  for_each_tap_of_input(s, h, w, [&](int kh, int kw, int oh, int ow) {
    const std::int64_t at = output_index(s, n, oh, ow, first);
    for (int o = 0; o < s.o_per_group(); ++o) {
      const auto qg = static_cast<Sum>(load_code(g, container, at + o));
      const std::uint32_t code = global_load(weights + weight_index(s, first + o, kh, kw, in_group));
      const Sum qe = is_signed ? static_cast<Sum>(static_cast<std::int32_t>(code)) : static_cast<Sum>(code);
      sums.product += qg * qe;
      sums.streamed += qg;
      sums.weights += qe;
    }
    sums.terms += s.o_per_group();
  });
  return sums;
}

/// First and one past the last of `count` output positions that tap `tap` reaches, of an axis of `size` inputs.
BITCYCLE_DEVICE void tap_span(int tap, int size, int count, const Geometry& s, int* begin, int* end) {
  const int least = s.padding - tap;  // of position * stride
  *begin = least <= 0 ? 0 : (least + s.stride - 1) / s.stride;
  if (*begin > count) *begin = count;
  const int most = size - 1 + s.padding - tap;
  const int past = most < 0 ? 0 : most / s.stride + 1;
  *end = past < count ? past : count;
  if (*end < *begin) *end = *begin;
}

/// Position and channel of element e of a tensor (n, h, w, channels).
struct ElementIndex {
  int n, h, w, c;
};
BITCYCLE_DEVICE ElementIndex element_index(std::uint32_t e, int h, int w, int channels) {
  const std::uint32_t pixel = e / static_cast<std::uint32_t>(channels);
  const std::uint32_t row = pixel / static_cast<std::uint32_t>(w);
  return {static_cast<int>(row / static_cast<std::uint32_t>(h)), static_cast<int>(row % static_cast<std::uint32_t>(h)),
          static_cast<int>(pixel % static_cast<std::uint32_t>(w)),
          static_cast<int>(e % static_cast<std::uint32_t>(channels))};
}

/// load_value of codes that are 32 bits whatever their width, which is how weights are kept.
BITCYCLE_DEVICE float weight_value(const std::uint32_t* codes, BitWidth width, const Affine& affine, std::int64_t i) {
  if (width.is_float32()) return global_load(reinterpret_cast<const float*>(codes) + i);
  return static_cast<float>(dequantise(global_load(codes + i), affine));
}

/// The same of the error pass, where codes have one grid, signed, or one for each input channel i.
BITCYCLE_DEVICE float error_weight_value(const std::uint32_t* codes, BitWidth width, bool shared_grid,
                                         const Affine* error_affine, int i, std::int64_t at) {
  if (width.is_float32()) return global_load(reinterpret_cast<const float*>(codes) + at);
  const std::uint32_t code = global_load(codes + at);
  if (!shared_grid) return static_cast<float>(dequantise(code, error_affine[i]));
  const auto signed_code = static_cast<double>(static_cast<std::int32_t>(code));
  return static_cast<float>(fma(error_affine->step, signed_code, error_affine->lo));
}

/// Exponent of the grid on which samples' weight gradients are summed (docs/numerics.md, 6.2); ranges may be null.
BITCYCLE_DEVICE int float_gradient_exponent(const Geometry& s, const Operand& x, const Range* x_range, const Operand& g,
                                            const Range* g_range) {
  const double bound = product_bound(false, static_cast<std::int64_t>(s.out_h) * s.out_w,
                                     operand_bound(x.width, *x.affine, x_range == nullptr ? Range{} : *x_range),
                                     operand_bound(g.width, *g.affine, g_range == nullptr ? Range{} : *g_range));
  return sum_exponent(bound, static_cast<std::uint64_t>(s.n));
}

/// What the sums of a pass are: 64 bits, 128 bits, or float32.
enum class SumType : std::uint8_t { kInt64, kInt128, kFloat };

struct DirectForwardKernel {
  static constexpr const char* kName = "convolution forward, direct";
  static constexpr int kThreads = 128;
  struct Args {
    Geometry s;
    SumType sum_type;
    Operand x;
    const std::uint32_t* weights;
    const Affine* weight_affine;
    LaunchWidth weight_width;
    float* y;
    Int128* sums;  // the integers themselves, instead of y
    std::uint32_t size;
  };
  template <typename Sum>
  BITCYCLE_DEVICE static float value(const Args& a, const Affine& x, const ElementIndex& p) {
    const Affine w = a.weight_affine[p.c];
    const auto sums = direct_forward<Sum>(a.s, a.x.codes, a.x.width.container(), a.weights, p.n, p.h, p.w, p.c);
    const ProductScale scale = product_scale(x, w);
    const double offset = product_offset(x, w, to_binary64(sums.weights), to_binary64(sums.terms));
    return rescale(scale.a, to_binary64(sums.product), scale.b, to_binary64(sums.streamed), offset);
  }
  BITCYCLE_DEVICE static float float_sum(const Args& a, const Affine& x, const ElementIndex& p) {
    float sum = 0.0F;
    const Affine w_affine = a.weight_affine[p.c];
    const int first = p.c / a.s.o_per_group() * a.s.c_per_group();
    for_each_tap_of_output(a.s, p.h, p.w, [&](int kh, int kw, int h, int w) {
      const std::int64_t at = input_index(a.s, p.n, h, w, first), weight = weight_index(a.s, p.c, kh, kw, 0);
      for (int i = 0; i < a.s.c_per_group(); ++i) {
        sum = fmaf(load_value(a.x.codes, a.x.width, x, at + i),
                   weight_value(a.weights, a.weight_width.given, w_affine, weight + i), sum);
      }
    });
    return sum;
  }
  BITCYCLE_DEVICE static void run(const Args& launched) {
    const Args a = with_recorded_widths<&Args::x, &Args::weight_width>(launched);
    const Affine x = a.x.affine == nullptr ? Affine{} : *a.x.affine;
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const ElementIndex p = element_index(e, a.s.out_h, a.s.out_w, a.s.o);
      if (a.sums != nullptr) {
        a.sums[e] =
            direct_forward<Int128>(a.s, a.x.codes, a.x.width.container(), a.weights, p.n, p.h, p.w, p.c).product;
        continue;
      }
      global_store(a.y + e,
                   a.sum_type == SumType::kFloat
                       ? float_sum(a, x, p)
                       : (a.sum_type == SumType::kInt128 ? value<Int128>(a, x, p) : value<std::int64_t>(a, x, p)));
    }
  }
};

struct DirectErrorKernel {
  static constexpr const char* kName = "convolution error, direct";
  static constexpr int kThreads = 128;
  struct Args {
    Geometry s;
    SumType sum_type;
    Operand g;
    const std::uint32_t* weights;  // error codes; float32: the values
    const Affine* error_affine;
    LaunchWidth weight_width;
    bool shared_grid;
    float* dx;
    float* dx_bound;  // may be null; +0 before
    Int128* sums;
    std::uint32_t size;
  };
  template <typename Sum>
  BITCYCLE_DEVICE static float value(const Args& a, const Affine& g, const ElementIndex& p) {
    const auto sums =
        direct_error<Sum>(a.s, a.g.codes, a.g.width.container(), a.weights, a.shared_grid, p.n, p.h, p.w, p.c);
    if (a.shared_grid) {
      const double grid = a.error_affine->step;
      return rescale_shared(shared_scale(g, grid), to_binary64(sums.product),
                            shared_offset(g, grid, to_binary64(sums.weights)));
    }
    const Affine e = a.error_affine[p.c];
    const ProductScale scale = product_scale(g, e);
    return rescale(scale.a, to_binary64(sums.product), scale.b, to_binary64(sums.streamed),
                   product_offset(g, e, to_binary64(sums.weights), to_binary64(sums.terms)));
  }
  BITCYCLE_DEVICE static float float_sum(const Args& a, const Affine& g, const ElementIndex& p) {
    const Geometry& s = a.s;
    float sum = 0.0F;
    const int first = p.c / s.c_per_group() * s.o_per_group();
    for_each_tap_of_input(s, p.h, p.w, [&](int kh, int kw, int oh, int ow) {
      const std::int64_t at = output_index(s, p.n, oh, ow, first);
      for (int o = 0; o < s.o_per_group(); ++o) {
        const std::int64_t weight = weight_index(s, first + o, kh, kw, p.c % s.c_per_group());
        const float w = error_weight_value(a.weights, a.weight_width.given, a.shared_grid, a.error_affine, p.c, weight);
        sum = fmaf(load_value(a.g.codes, a.g.width, g, at + o), w, sum);
      }
    });
    return sum;
  }
  BITCYCLE_DEVICE static void run(const Args& launched) {
    const Args a = with_recorded_widths<&Args::g, &Args::weight_width>(launched);
    const Affine g = a.g.affine == nullptr ? Affine{} : *a.g.affine;
    std::int32_t largest = 0;
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const ElementIndex p = element_index(e, a.s.h, a.s.w, a.s.c);
      if (a.sums != nullptr) {
        a.sums[e] =
            direct_error<Int128>(a.s, a.g.codes, a.g.width.container(), a.weights, a.shared_grid, p.n, p.h, p.w, p.c)
                .product;
        continue;
      }
      const float dx = a.sum_type == SumType::kFloat
                           ? float_sum(a, g, p)
                           : (a.sum_type == SumType::kInt128 ? value<Int128>(a, g, p) : value<std::int64_t>(a, g, p));
      const std::int32_t key = magnitude_key(dx);
      largest = key > largest ? key : largest;
      global_store(a.dx + e, dx);
    }
    if (a.dx_bound != nullptr) merge_magnitude(largest, reinterpret_cast<std::int32_t*>(a.dx_bound));
  }
};

/// A block an element of dw: threads over positions (integers) or samples (float32), their sums added in shared memory.
struct DirectWeightGradientKernel {
  static constexpr const char* kName = "convolution weight gradient, direct";
  static constexpr int kThreads = 64;
  struct Args {
    Geometry s;
    SumType sum_type;
    Operand x, g;
    const Range *x_range, *g_range;  // of float32 operands; may be null
    float* dw;
    Int128* sums;
  };
  template <typename Sum>
  struct Shared {
    Sum product, gradient, streamed;
    std::int64_t terms;
  };
  template <typename Sum>
  BITCYCLE_DEVICE static void integers(const Args& a, int e) {
    const Geometry& s = a.s;
    const int cpg = s.c_per_group(), i = e % cpg, kw = e / cpg % s.kw, kh = e / cpg / s.kw % s.kh;
    const int o = e / cpg / s.kw / s.kh, channel = o / s.o_per_group() * cpg + i;
    int h0 = 0, h1 = 0, w0 = 0, w1 = 0;
    tap_span(kh, s.h, s.out_h, s, &h0, &h1);
    tap_span(kw, s.w, s.out_w, s, &w0, &w1);
    Sum product = 0, gradient = 0, streamed = 0;
    const int width = w1 - w0, positions = s.n * (h1 - h0) * width;
    for (int p = thread_index(); p < positions; p += block_threads()) {
      const int ow = w0 + p % width, oh = h0 + p / width % (h1 - h0), n = p / width / (h1 - h0);
      const auto qg = static_cast<Sum>(load_code(a.g.codes, a.g.width.container(), output_index(s, n, oh, ow, o)));
      const auto qx = static_cast<Sum>(
          load_code(a.x.codes, a.x.width.container(),
                    input_index(s, n, oh * s.stride - s.padding + kh, ow * s.stride - s.padding + kw, channel)));
      product += qg * qx;
      gradient += qg;
      streamed += qx;
    }
    // A tree over the threads.
    auto* shared = shared_memory<Shared<Sum>>(0);
    shared[thread_index()] = {product, gradient, streamed, 0};
    for (int half = kThreads / 2; half > 0; half /= 2) {
      sync_threads();
      if (thread_index() >= half) continue;
      Shared<Sum>& mine = shared[thread_index()];
      const Shared<Sum>& other = shared[thread_index() + half];
      mine.product += other.product;
      mine.gradient += other.gradient;
      mine.streamed += other.streamed;
    }
    if (thread_index() == 0) {
      if (a.sums != nullptr) {
        a.sums[e] = static_cast<Int128>(shared[0].product);
      } else {
        const WeightGradientScale scale = weight_gradient_scale(*a.g.affine, *a.x.affine);
        a.dw[e] =
            rescale_weight_gradient(scale, to_binary64(shared[0].product), to_binary64(shared[0].gradient),
                                    to_binary64(shared[0].streamed), to_binary64(static_cast<std::int64_t>(positions)));
      }
    }
    sync_threads();
  }
  BITCYCLE_DEVICE static void floats(const Args& a, int e) {
    const Geometry& s = a.s;
    const int cpg = s.c_per_group(), i = e % cpg, kw = e / cpg % s.kw, kh = e / cpg / s.kw % s.kh;
    const int o = e / cpg / s.kw / s.kh, channel = o / s.o_per_group() * cpg + i;
    const Affine x = *a.x.affine, g = *a.g.affine;
    const int exponent = float_gradient_exponent(s, a.x, a.x_range, a.g, a.g_range);
    const float to_grid = power_of_two(exponent);
    int h0 = 0, h1 = 0, w0 = 0, w1 = 0;
    tap_span(kh, s.h, s.out_h, s, &h0, &h1);
    tap_span(kw, s.w, s.out_w, s, &w0, &w1);
    std::int64_t sum = 0;
    for (int n = thread_index(); n < s.n; n += block_threads()) {
      float sample = 0.0F;
      for (int oh = h0; oh < h1; ++oh) {
        for (int ow = w0; ow < w1; ++ow) {
          sample = fmaf(
              load_value(a.x.codes, a.x.width, x,
                         input_index(s, n, oh * s.stride - s.padding + kh, ow * s.stride - s.padding + kw, channel)),
              load_value(a.g.codes, a.g.width, g, output_index(s, n, oh, ow, o)), sample);
        }
      }
      add_wrapping(sum, on_grid(sample, to_grid));
    }
    auto* shared = shared_memory<std::int64_t>(0);
    if (thread_index() == 0) shared_store(shared, std::int64_t{0});
    sync_threads();
    atomic_add(shared, sum);
    sync_threads();
    if (thread_index() == 0) a.dw[e] = static_cast<float>(sum_value(shared_load(shared), exponent));
    sync_threads();
  }
  BITCYCLE_DEVICE static void run(const Args& launched) {
    const Args a = with_recorded_widths<&Args::x, &Args::g>(launched);
    const int size = a.s.o * a.s.taps() * a.s.c_per_group();
    for (int e = block_index(); e < size; e += block_count()) {
      if (a.sums != nullptr || a.sum_type == SumType::kInt128) {
        integers<Int128>(a, e);
      } else if (a.sum_type == SumType::kInt64) {
        integers<std::int64_t>(a, e);
      } else {
        floats(a, e);
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
