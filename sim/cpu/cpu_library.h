// SPDX-License-Identifier: Apache-2.0
// CpuLibrary: the fast library on one machine. Neighbouring operations are fused image by image, so that what one
// writes the next finds in the cache; every result equals the reference library's. Widths up to 8 bits, and up to 16
// where that is faster, multiply bytes (byte_limbs.h, packed_product.h, weight_gradient.h), group by group where there
// are several (grouped_product.h), or, up to 16 bits and where channels are groups of their own, pairs of words
// (depthwise_product.h, depthwise_gradient.h); everything else runs in the written order (ordered_product.h).
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "sim/cpu/codes.h"
#include "sim/cpu/cpu_weights.h"
#include "sim/cpu/deep_product.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/nodes.h"
#include "sim/cpu/product_image.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/summed_gradient.h"
#include "sim/cpu/workers.h"
#include "sim/device/kernel_library.h"
#include "sim/device/operation_profile.h"
#include "sim/number/ordered_key.h"
#include "sim/reference/reference_library.h"

namespace bitcycle::cpu {

class CpuLibrary final : public KernelLibrary, public NodeKernels, public SummedGradients {
 public:
  CpuLibrary(const KernelTable& kernels, int threads);

  std::string name() const override { return std::string("cpu ") + kernels_.name; }
  int threads() const override { return workers_.threads(); }

  void* allocate(std::size_t bytes) override;
  void release(void* data) noexcept override { reference_.release(data); }
  void to_device(void* device, const void* host, std::size_t bytes) override {
    reference_.to_device(device, host, bytes);
  }
  void to_host(void* host, const void* device, std::size_t bytes) override { reference_.to_host(host, device, bytes); }
  void fill_zero(void* device, std::size_t bytes) override { reference_.fill_zero(device, bytes); }
  void synchronise() override {}

  bool has_kernel(const Operation& operation) const override { return Nodes::has(operation); }
  void run_node(const Operation& operation, const StepMemory& memory) override { nodes_.run(operation, memory); }
  void summed_gradient(const SummedGradient& args) override;

#include "sim/device/kernel_library_overrides.inl"

 private:
  /// Vectors over channels, padded to whole blocks, of one norm.
  struct NormTable {
    Scratch<float> mean, a, beta;
    NormVectors vectors(const NormChannel* norm, std::int64_t channels);
  };
  struct GradientTable {
    Scratch<float> mean, a, k, c;
    GradientRows rows(const ConvGradient& gradient, std::int64_t channels);
  };
  /// Positions whose channels make some 4 KiB: what the elementwise steps of a fused operation hand to one another.
  static std::int64_t positions_at_once(std::int64_t channels) { return std::max<std::int64_t>(1, 1024 / channels); }
  /// Sums of a batch-norm pass, one a thread.
  struct ThreadState {
    ProductScratch product;
    DepthwiseProduct::State depthwise;
    OrderedProduct::State ordered;
    FloatGradient::State float_gradient;
    Scratch<float> values, noise, dx;
    Scratch<std::uint8_t> x_bytes[2], g_bytes[2];
    Scratch<std::int64_t> grid_sums;
    Scratch<std::int64_t> s1, s2, s_u[2], s_ut[2];
    Scratch<std::int32_t> lo, hi;
    KeyRange keys;
    std::int32_t magnitude = 0, dx_magnitude = 0;
    bool used = false;

    template <typename Visit>
    static void each_scratch(ThreadState& a, const ThreadState& b, const Visit& visit) {
      ProductScratch::each_scratch(a.product, b.product, visit);
      DepthwiseProduct::State::each_scratch(a.depthwise, b.depthwise, visit);
      OrderedProduct::State::each_scratch(a.ordered, b.ordered, visit);
      FloatGradient::State::each_scratch(a.float_gradient, b.float_gradient, visit);
      visit(a.values, b.values);
      visit(a.noise, b.noise);
      visit(a.dx, b.dx);
      visit(a.grid_sums, b.grid_sums);
      visit(a.s1, b.s1);
      visit(a.s2, b.s2);
      visit(a.lo, b.lo);
      visit(a.hi, b.hi);
      for (int i = 0; i < 2; ++i) {
        visit(a.x_bytes[i], b.x_bytes[i]);
        visit(a.g_bytes[i], b.g_bytes[i]);
        visit(a.s_u[i], b.s_u[i]);
        visit(a.s_ut[i], b.s_ut[i]);
      }
    }
  };
  void prepare_gradient_sum(const GradientSum& gradient_sum, double bound, std::int64_t positions,
                            std::int64_t channels);
  void sum_gradients_of_pixels(const GradientSum& gradient_sum, const float* first, std::int64_t begin,
                               std::int64_t pixels, ThreadState& state, bool fetched = false);
  void finish_gradient_sum(const GradientSum& gradient_sum, std::int64_t channels);
  /// y (n, outputs) = bias + fma sums over the inputs ascending from +0; weight (i, o) lies at w[i * input_step + o *
  /// output_step].
  struct OrderedMatrix {
    std::int64_t n = 0, inputs = 0, outputs = 0;
    const float* x = nullptr;
    const float* w = nullptr;
    std::int64_t input_step = 1, output_step = 1;
    const float* bias = nullptr;
    float* y = nullptr;
  };
  void ordered_matrix(const OrderedMatrix& m);
  float largest_magnitude(const float* x, std::int64_t size);
  /// Forgets what threads kept of the operation before, and makes their memory alike.
  void begin_images();
  void begin_thread(ThreadState& state, std::int64_t channels);
  double error_weight_bound(const QuantisedWeights& weights) const;
  /// The error pass of a fully connected layer whose sums do not fit 32 bits.
  bool takes_deep_error(const ConvBackward& args, const CpuWeights& weights) const;
  void deep_error(const ConvBackward& args, const CpuWeights& weights);
  /// Whether the weight gradient is that of a single use (by_outputs_), each thread with sums of its own outputs alone.
  bool takes_by_outputs(const ConvBackward& args);
  /// The same weights for the reference library, whose codes have 32 bits.
  std::unique_ptr<QuantisedWeights> with_wide_codes(const CpuWeights& weights);
  /// Product: the pass's weights, PackedProduct or DepthwiseProduct.
  /// Of channels first.., which are those of the product.
  template <typename Product>
  void forward_coefficients(const ConvForward& args, const CpuWeights& weights, const Product& product,
                            ProductCoefficients& to, std::int64_t first, std::int64_t channels);
  template <typename Product>
  void error_coefficients(const ConvBackward& args, const CpuWeights& weights, const Product& product,
                          ProductCoefficients& to, std::int64_t first, std::int64_t channels);
  /// The same for products in the written order: weights in limbs, or as values.
  void prepare_ordered_forward(const ConvForward& args, const CpuWeights& weights);
  void prepare_ordered_error(const ConvBackward& args, const CpuWeights& weights);
  void prepare_ordered_gradient(const ConvBackward& args, const CpuWeights& weights);
  /// Values of elements begin.. to codes of any width, or to the values of a float32 operand.
  void write_codes(const Operand& operand, std::int64_t begin, const float* values, std::int64_t count,
                   const float* noise) const;

  const KernelTable& kernels_;
  Workers workers_;
  ReferenceLibrary reference_;
  std::vector<ThreadState> states_;
  std::vector<WeightGradient::Partial> partials_;
  std::vector<std::vector<WeightGradient::Partial>> group_partials_;  // (groups, threads)
  std::vector<DepthwiseWeightGradient::Partial> depthwise_partials_;
  std::vector<OrderedGradient::Partial> ordered_partials_;
  ProductCoefficients coefficients_;
  std::vector<ProductCoefficients> group_coefficients_;  // (groups)
  NormTable input_norm_, main_norm_, shortcut_norm_, mask_norm_;
  GradientTable gradient_table_;
  Scratch<float> losses_;
  Scratch<float> statistics_scale_, norm_sums_scale_[2], norm_sums_mean_[2];
  Scratch<NormGradientSums> norm_sums_grid_[2];
  float norm_sums_scale_u_ = 0.0F;
  int summed_norms_ = 0;
  std::int64_t gradient_sum_channels_ = 0;
  OperationProfile profile_;
  Nodes nodes_;
  SummedGradientKernel summed_;
  DeepProduct deep_;
  SummedGradient by_outputs_;
  Scratch<float> next_gradient_;  // of a use that is added to those before it
};

}  // namespace bitcycle::cpu
