// SPDX-License-Identifier: Apache-2.0
// The backward pass of fully connected layers with as many outputs as a language has words: an error pass whose sums do
// not fit 32 bits, and weight gradients too many for every thread to have sums of all.
#include <algorithm>

#include "sim/cpu/cpu_library.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kWeightsByOutputs = std::int64_t{1} << 22;

/// Bytes of the codes that the error pass multiplies with.
int limbs_of_error_weights(const CpuWeights& weights) {
  return weights.error_weights == ErrorWeights::kShared ? weights.error_grid_bits / 8 : byte_limbs(weights.width);
}

}  // namespace

bool CpuLibrary::takes_deep_error(const ConvBackward& args, const CpuWeights& weights) const {
  const ConvShape& s = args.shape;
  const bool matrix = s.kh * s.kw == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
  return matrix && byte_limbs(weights.width) != 0 &&
         DeepProduct::takes(byte_limbs(args.g.width), limbs_of_error_weights(weights), s.error_depth());
}

bool CpuLibrary::takes_by_outputs(const ConvBackward& args) {
  if (args.shape.weight_size() < kWeightsByOutputs) return false;
  if (byte_limbs(args.x.width) != 1 || byte_limbs(args.g.width) != 1) return false;
  by_outputs_.uses.assign(1, {args.x, args.g});
  by_outputs_.weights = args.weights;
  by_outputs_.shape = args.shape;
  by_outputs_.dw = args.dw;
  return SummedGradientKernel::takes(by_outputs_);
}

void CpuLibrary::deep_error(const ConvBackward& args, const CpuWeights& weights) {
  const ConvShape& s = args.shape;
  const bool shared = weights.error_weights == ErrorWeights::kShared;
  const WeightCodes codes = weights.codes_of_error_pass();
  DeepOperands of;
  of.rows = s.n * s.h * s.w;
  of.depth = s.o;
  of.outputs = s.c;
  of.x = args.g.codes;
  of.x_limbs = byte_limbs(args.g.width);
  of.w8 = codes.narrow();
  of.w = of.w8 == nullptr ? codes.wide() : nullptr;
  of.w_limbs = limbs_of_error_weights(weights);
  of.offset = shared ? std::int32_t{1} << (weights.error_grid_bits - 1) : 0;
  deep_.run(kernels_, workers_, of);

  const std::int64_t lanes = deep_.lanes();
  double* const a = coefficients_.a.zeroed(lanes);
  double* const b = coefficients_.b.zeroed(lanes);
  double* const offset = coefficients_.offset.zeroed(lanes);
  const auto* affine = weights.error_affine.as<Affine>();
  for (std::int64_t i = 0; i < s.c; ++i) {
    const double sum = deep_.weight_sums()[i];
    const ProductScale scale = shared ? ProductScale{shared_scale(*args.g.affine, affine->step), 0.0}
                                      : product_scale(*args.g.affine, affine[i]);
    a[i] = scale.a;
    b[i] = scale.b;
    offset[i] = shared ? shared_offset(*args.g.affine, affine->step, sum)
                       : product_offset(*args.g.affine, affine[i], sum, static_cast<double>(s.o));
  }
  workers_.chunks(of.rows, positions_at_once(s.c), [&](int thread, std::int64_t begin, std::int64_t end) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    begin_thread(state, s.c);
    float* const dx = args.dx != nullptr ? args.dx + begin * s.c : state.dx.need((end - begin) * s.c);
    RescaleSums row;
    row.sums = deep_.sums() + begin * lanes;
    row.position_sums = deep_.position_sums() + begin;
    row.pixels = end - begin;
    row.channels = s.c;
    row.lanes = lanes;
    row.a = a;
    row.b = b;
    row.offset = offset;
    row.out = dx;
    row.out_step = s.c;
    kernels_.rescale_sums(row);
    if (args.dx_bound != nullptr) kernels_.magnitude(dx, row.pixels * s.c, &state.dx_magnitude);
    if (args.gradient_sum != nullptr) sum_gradients_of_pixels(*args.gradient_sum, dx, begin, row.pixels, state, false);
  });
}

}  // namespace bitcycle::cpu
