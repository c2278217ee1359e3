// SPDX-License-Identifier: Apache-2.0
// The arguments of the fused operations that a KernelLibrary has: each is defined as the sequence of elementary
// operations (sim/ops) given at it. All tensors are NHWC, weights OHWI, pointers memory of the library's device; small
// records (scales, statistics) live there too, so that a step needs no word from the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/device/buffer.h"
#include "sim/number/bit_width.h"
#include "sim/number/philox.h"
#include "sim/ops/accumulator.h"
#include "sim/ops/augmentation.h"
#include "sim/ops/conv_shape.h"
#include "sim/ops/error_weights.h"
#include "sim/ops/loss_record.h"
#include "sim/ops/norm.h"
#include "sim/ops/pass.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {

// Widths. `width` is this step's as the host knows it: containers, memory and kernels are chosen by it. `width_record`
// is the same width in device memory, written once a step, or null where there is none: a library whose kernels outlive
// a step (a recorded graph) reads it there, so that a step of other widths in the same containers is the same launches.

/// An operand of an integer product: codes (or, for float32, values) and what they mean.
struct Operand {
  void* codes = nullptr;           // (n, h, w, c) in width.container(); float32: the values
  const Affine* affine = nullptr;  // one record, device memory
  BitWidth width;
  const BitWidth* width_record = nullptr;
};

/// Weights of one operation at this step's width, made from the master weights by quantise_weights.
/// The canonical arrays are the specification; a library keeps packed copies of its own beside them.
struct QuantisedWeights {
  explicit QuantisedWeights(const ConvShape& s) : shape(s) {}
  virtual ~QuantisedWeights() = default;
  QuantisedWeights(const QuantisedWeights&) = delete;
  QuantisedWeights& operator=(const QuantisedWeights&) = delete;

  ConvShape shape;
  BitWidth width;
  const BitWidth* width_record = nullptr;
  ErrorWeights error_weights = ErrorWeights::kShared;
  int error_grid_bits = 16;

  // Device memory. Codes are 32-bit here whatever the width: they are small, and written once a step.
  Buffer codes;         // uint32 (o, kh, kw, c/groups); float32: the values
  Buffer affine;        // Affine (o)
  Buffer error_codes;   // weights shared: int32, signed codes on the grid G, shape of codes;
                        // weights requantised: uint32, one group an input channel
  Buffer error_affine;  // shared: Affine (1), step = G, lo = 0; requantised: Affine (c)
  Buffer magnitude;     // float (o + 1): max |value| of each output channel's master weights, and of all
};

struct QuantiseWeights {
  const float* master = nullptr;  // (o, kh, kw, c/groups)
  BitWidth width;
  ErrorWeights error_weights = ErrorWeights::kShared;
  int error_grid_bits = 16;  // 16 or 24
  MinScale min_scale;
  bool for_error_pass = true;  // false: only what the forward pass needs
  /// Two words of device memory, or null: 1 where the step of any group is min_scale, of the forward codes and of the
  /// error pass's own (requantised); else 0.
  std::uint32_t* step_bound = nullptr;
  const BitWidth* width_record = nullptr;
};

// ChannelStatistics, NormChannel, NormGradientChannel, NormGradientSums: sim/ops/norm.h.

/// Where the input of a convolution comes from: a float tensor as it is, or batch norm and ReLU of the
/// previous convolution's output, applied on the way (relu(z) = z > 0 ? z : +0).
struct ConvInput {
  const float* x = nullptr;           // (n, h, w, c): the tensor, or y of the previous convolution
  const NormChannel* norm = nullptr;  // (c), or null for a tensor as it is
};

/// codes = quantise(input); y = integer convolution, rescaled; statistics of y where asked for.
struct ConvForward {
  ConvInput input;
  Operand codes;  // written here; kept for the weight gradient
  const QuantisedWeights* weights = nullptr;
  ConvShape shape;                          // n may be smaller than the network's batch
  float* y = nullptr;                       // (n, out_h, out_w, o)
  ChannelStatistics* statistics = nullptr;  // (o) or null (evaluation)
  const Range* input_range = nullptr;       // of the input; float32 widths take their bound from it
};

/// u = gradient that reaches the output of one or two batch norms: the contributions added in the order
/// given, then the ReLU's mask; and the sums both norms need.
///   contribution: dx (the error pass's own result) or pooled / window broadcast over positions
///   u = mask ? fl(first + second) : +0
struct GradientSum {
  const float* other = nullptr;        // second contribution (n, h, w, c), or null
  const float* other_bound = nullptr;  // device: exact max |other|, one value
  // The mask: either of relu(norm(y)), recomputed, or of a saved bit mask, or none.
  const float* mask_y = nullptr;
  const NormChannel* mask_norm = nullptr;
  const std::uint32_t* mask_bits = nullptr;  // bit (e mod 32) of word e / 32 is z[e] > 0
  float* u = nullptr;                        // (n, h, w, c), written
  float* u_bound = nullptr;                  // exact max |u|, one value, written
  // Norms whose output gradient is u: one, or two where a projected shortcut is normalised too.
  struct Norm {
    const float* y = nullptr;
    const NormChannel* channels = nullptr;
    NormGradientSums* sums = nullptr;  // (c), written
  };
  Norm norm[2];
};

/// The gradient at a convolution's output: dy = fma(a, u, fma(k, t, c)), t = fl(y - mean); or u itself
/// where there is no norm.
struct ConvGradient {
  const float* u = nullptr;  // (n, out_h, out_w, o)
  const float* y = nullptr;
  const NormChannel* norm = nullptr;              // (o) or null
  const NormGradientChannel* gradient = nullptr;  // (o) or null
};

/// Range and affine of dy, before conv_backward.
struct GradientScale {
  ConvGradient gradient;
  std::int64_t positions = 0, channels = 0;  // positions = n * out_h * out_w
  BitWidth width;
  const BitWidth* width_record = nullptr;
  MinScale min_scale;
  bool zero_on_grid = false;
  Range* range = nullptr;    // written
  Affine* affine = nullptr;  // written
};

/// g = quantise(dy), stochastically or to nearest; dw = x^T g; dx = error pass; then the sum of gradients, if any.
struct ConvBackward {
  ConvGradient gradient;
  Operand g;  // codes written here
  const Range* g_range = nullptr;
  bool stochastic = true;
  PhiloxStream noise;                  // element = unpadded NHWC index of dy in the global batch
  const float* given_noise = nullptr;  // replay: the noise itself, (n, out_h, out_w, o); else null
  Operand x;                           // the forward codes
  const Range* x_range = nullptr;
  const QuantisedWeights* weights = nullptr;
  ConvShape shape;
  float* dw = nullptr;                        // (o, kh, kw, c/groups), null: not wanted
  float* dx = nullptr;                        // (n, h, w, c), null: not wanted, or only the sum u is
  float* dx_bound = nullptr;                  // exact max |dx|, one value; null: not wanted
  const GradientSum* gradient_sum = nullptr;  // null: only dx
};

/// z = [relu](norm(y) [+ shortcut]); its range, its mask. shortcut: a tensor, or another norm's output.
struct NormForward {
  std::int64_t positions = 0, channels = 0;  // positions = n * h * w
  const float* y = nullptr;
  const NormChannel* norm = nullptr;
  const float* shortcut = nullptr;  // tensor, or the y of shortcut_norm; null: none
  const NormChannel* shortcut_norm = nullptr;
  bool relu = true;
  float* z = nullptr;
  std::uint32_t* mask_bits = nullptr;  // null: not wanted
  Range* range = nullptr;              // null: not wanted
};

struct NormPrepare {
  std::int64_t channels = 0;
  std::uint64_t count = 0;  // n * h * w
  const ChannelStatistics* statistics = nullptr;
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float* running_mean = nullptr;      // updated, momentum 0.1
  float* running_variance = nullptr;  // updated with the unbiased variance
  NormChannel* norm = nullptr;        // written
  Range* relu_range = nullptr;        // range of relu(norm(y)) over the batch, from the extremes; or null
};

struct NormGradientPrepare {
  std::int64_t channels = 0;
  std::uint64_t count = 0;
  const NormChannel* norm = nullptr;
  const NormGradientSums* sums = nullptr;
  NormGradientChannel* gradient = nullptr;  // written
  float* dgamma = nullptr;                  // fl32(inverse_deviation * s_ut)
  float* dbeta = nullptr;                   // fl32(s_u)
};

/// Affine of this step's activations, and the running state for evaluation.
///   training: affine from `now`; running = fl(fl(0.9 * running) + fl(0.1 * now)), zero point then range
///   evaluation: affine from the running state
struct ActivationScale {
  const Range* now = nullptr;
  float* running = nullptr;  // {zero point, range}
  bool training = true;
  BitWidth width;
  MinScale min_scale;
  Affine* affine = nullptr;
  const BitWidth* width_record = nullptr;
};

/// pooled = mean over all positions: one ascending sum, one division.
struct AveragePool {
  std::int64_t n = 0, positions = 0, channels = 0;
  const float* x = nullptr;  // (n, positions, channels)
  float* pooled = nullptr;   // (n, channels)
};
/// dx contribution of the pool, fl(dpooled / positions) at every position, added like an error pass's.
struct AveragePoolBackward {
  std::int64_t n = 0, positions = 0, channels = 0;
  const float* dpooled = nullptr;
  float* dx = nullptr;  // or null where only the sum is wanted
  const GradientSum* gradient_sum = nullptr;
};

/// Maps and windows of a max pool (docs/numerics.md, 6.7).
struct PoolGeometry {
  std::int64_t n = 0, h = 0, w = 0, channels = 0, out_h = 0, out_w = 0;
  std::int64_t kernel = 1, stride = 1, padding = 0;
};
/// z = the first largest x of each window, and the range of all z.
struct MaxPool {
  PoolGeometry over;
  const float* x = nullptr;  // (n, h, w, channels)
  float* z = nullptr;        // (n, out_h, out_w, channels)
  Range* range = nullptr;    // null: not wanted
};
/// dx = sum of dz over the windows whose maximum an element is, from +0, windows in row order; then the mask.
struct MaxPoolBackward {
  PoolGeometry over;
  const float* x = nullptr;
  const float* dz = nullptr;
  float* dx = nullptr;                        // null: only u of the gradient sum is wanted
  float* dx_bound = nullptr;                  // exact max |dx|, one value; null: not wanted
  const GradientSum* gradient_sum = nullptr;  // without norms, whose bound is not known yet; null: only dx
};
/// Sums of a batch norm's gradient by themselves: u as it is, and an exact bound of it.
struct NormSums {
  std::int64_t positions = 0;
  std::int64_t channels = 0;
  const float* u = nullptr;      // (positions, channels)
  const float* bound = nullptr;  // device: one value
  GradientSum::Norm norm;
};

/// y = x w^T + bias, float32: one fma sum an output over the inputs ascending from +0, then + bias.
struct LinearForward {
  std::int64_t n = 0, inputs = 0, outputs = 0;
  const float* x = nullptr;     // (n, inputs)
  const float* w = nullptr;     // (outputs, inputs)
  const float* bias = nullptr;  // (outputs) or null
  float* y = nullptr;           // (n, outputs)
};
/// dx: one fma sum over the outputs ascending. dw, dbias: products and gradients summed over samples
/// on a grid (order_free_sum.h), bound = max|x| * max|dy|, resp. max|dy|.
struct LinearBackward {
  std::int64_t n = 0, inputs = 0, outputs = 0;
  const float* x = nullptr;
  const float* w = nullptr;
  const float* dy = nullptr;
  float* dx = nullptr;
  float* dw = nullptr;
  float* dbias = nullptr;
};

/// The exact integers of one product, for replaying, exporting, testing and benchmarks. Offsets and
/// scales play no part: forward sum qx*qw -> (n, out_h, out_w, o); error sum qg*we -> (n, h, w, c) with
/// the error codes of `weights`; weight gradient sum qx*qg -> (o, kh, kw, c/groups).
struct ConvAccumulators {
  Pass pass = Pass::kForward;
  ConvShape shape;
  Operand x, g;  // the operands that the pass needs
  const QuantisedWeights* weights = nullptr;
  Int128* sums = nullptr;
};

/// Softmax cross-entropy, docs/numerics.md, 6.4.
struct SoftmaxCrossEntropy {
  std::int64_t n = 0, classes = 0;
  const float* logits = nullptr;
  const std::int32_t* labels = nullptr;
  float* dlogits = nullptr;  // null in evaluation
  float* losses = nullptr;   // (n), every sample's loss; may be null
  LossRecord* record = nullptr;
};

/// d = g + wd * w; m = mu * m + d; w = w - lr * m; each operation rounded.
struct SgdUpdate {
  std::int64_t size = 0;
  const float* gradient = nullptr;
  float* momentum_buffer = nullptr;
  float* parameter = nullptr;
  float lr = 0.0F, momentum = 0.0F, weight_decay = 0.0F;
  const float* lr_record = nullptr;     // device: the same as lr, or null, as for widths
  const std::int64_t* guard = nullptr;  // device, or null: nothing is done where it holds 0 or more
  std::int64_t* non_finite = nullptr;   // device, or null: index of the first parameter that is then not finite, or -1
};

/// x = normalised pixels of n images, cropped and flipped where augment is set (docs/numerics.md, 8.3). Device memory.
struct ImageBatch {
  std::int64_t n = 0, h = 0, w = 0;
  const std::uint8_t* pixels = nullptr;      // the whole set, (count, h, w, 3)
  const std::int32_t* set_labels = nullptr;  // (count)
  const ImageIndex* indices = nullptr;       // (n)
  const float* table = nullptr;              // (3, 256): value of a pixel of each channel
  bool augment = false;
  std::uint64_t seed = 0;
  float* x = nullptr;              // (n, h, w, 3)
  std::int32_t* labels = nullptr;  // (n)
};

}  // namespace bitcycle
