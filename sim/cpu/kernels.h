// SPDX-License-Identifier: Apache-2.0
// What one instruction set provides: accumulator kernels, staging and elementwise rows, as functions over plain
// records. Each kernels_*.cpp defines one table; everything above them is compiled once, for the baseline instruction
// set.
//
// Layout: the streamed operand of a product is kept as groups of 4 bytes, `group` elements each (4 signed bytes, 2
// signed 16-bit words, or a float), holding code - 128 where a code exists and 0 where none does. Weights stand
// opposite in blocks of 16 lanes (output channels), 64 bytes a group.
// Tables with `tiles` keep the streamed operand pixel by pixel, each pixel's channels side by side and padded to whole
// groups; what lies along a row of the kernel is then one run of bytes.
#pragma once

#include <cstdint>

#include "sim/cpu/code_rows.h"
#include "sim/cpu/depthwise_kernels.h"
#include "sim/cpu/float_kernels.h"
#include "sim/cpu/language_rows.h"
#include "sim/cpu/max_pool_row.h"
#include "sim/cpu/winograd_kernels.h"

namespace bitcycle::cpu {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kBlockBytes = 64;  // 16 lanes of one 4-byte group
constexpr std::int64_t kSlack = 256;      // bytes that kernels may read past a staged buffer

/// Order in which vectors of 16 Philox blocks, one a 64-bit lane, hold them, so that words come out in order.
constexpr std::int64_t kBlockOfLane[kLanes] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};

/// Elements rounded up to whole blocks of lanes.
constexpr std::int64_t lanes_for(std::int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

/// sums[pixel][lane] = sum over taps and channel groups of weight * operand, one row of pixels.
struct RowProduct {
  const char* x = nullptr;                // the row's origin in the staged operand
  const std::int64_t* offsets = nullptr;  // (taps) bytes from x; tiles: of runs of taps
  std::int64_t taps = 0;
  std::int64_t groups = 0;        // channel groups; tiles: groups of a run, a multiple of 16, the last ones' weights 0
  std::int64_t pixel_step = 4;    // bytes from one pixel to the next
  std::int64_t plane = 0;         // bytes from one channel group to the next; neighbouring pixels are 4 bytes apart
  const char* weights = nullptr;  // (blocks, taps, groups, 16 lanes, 4 bytes)
  std::int64_t block_stride = 0;  // bytes from one block to the next
  std::int64_t blocks = 0;
  std::int64_t pixels = 0;
  std::int32_t* sums = nullptr;  // (pixels, blocks * 16), overwritten; tiles: whole tiles of 16 pixels
};

/// sums[g block][x lane][16] += sum over images, rows and pixel groups of x * g, one tap. Tiles: images = rows = 1, and
/// a step is 64 positions, 16 groups of g; x_lanes is a multiple of 16.
struct TapGradient {
  const char* x = nullptr;  // (images, rows, steps, x_lanes, 4 bytes); tiles: lanes x_plane bytes apart, of positions
  std::int64_t x_plane = 0;
  const char* g = nullptr;  // (images, rows, steps, g_lanes, 4 bytes)
  std::int64_t images = 0, x_image = 0, g_image = 0;
  std::int64_t rows = 0, x_row = 0, g_row = 0;
  std::int64_t steps = 0;
  std::int64_t x_lanes = 0;  // a multiple of 4
  std::int64_t g_lanes = 0;  // a multiple of 16
  bool fresh = false;        // tiles: sums are overwritten
  std::int32_t* sums = nullptr;
};

/// One row of codes into channel groups: staged column = pixel + margin, split by column phase (stride).
struct StageChannels {
  const std::uint8_t* row = nullptr;  // (pixels, pixel_step)
  std::int64_t pixels = 0, pixel_step = 0, channels = 0;
  std::int64_t margin = 0, phases = 1, columns = 0;  // columns a phase
  std::int64_t plane = 0, phase_pitch = 0;           // bytes
  char* out = nullptr;                               // (phases, groups, columns, 4 bytes)
};

/// One row of codes into pixel groups: output pixel p reads column first + p * step; nothing where there is none.
struct StagePixels {
  const std::uint8_t* row = nullptr;  // (pixels, pixel_step)
  std::int64_t pixels = 0, pixel_step = 0, channels = 0;
  std::int64_t first = 0, step = 1, count = 0;
  std::int64_t lanes = 0;
  bool offset_binary = false;  // true: code - 128, false: the code
  char* out = nullptr;         // (ceil(count / group), lanes, 4 bytes)
};

/// 64 positions of an operand of the weight gradient, for tables with tiles: position k's codes lie at pixels[k], and
/// 16 bytes can be read from each multiple of 16 channels. x: positions side by side, out[channel * step + position],
/// code - 128; g: groups of 4 positions, out[(position / 4 * step + channel) * 4 + position % 4], codes as they are.
struct StagePositions {
  const std::uint8_t* const* pixels = nullptr;
  std::int64_t channels = 0;
  char* out = nullptr;
  std::int64_t step = 0;
};

/// sums[column] = sum over channels of a staged row, one column phase.
struct ChannelSums {
  const char* x = nullptr;
  std::int64_t groups = 0, plane = 0, columns = 0;
  std::int32_t* sums = nullptr;
};

/// out[pixel] = addend[pixel] + sum over taps of sums[offset + pixel * step].
struct BoxSums {
  const std::int32_t* sums = nullptr;
  const std::int64_t* offsets = nullptr;
  std::int64_t taps = 0, pixels = 0, step = 1;
  const std::int32_t* addend = nullptr;
  std::int32_t* out = nullptr;
};

/// Each of outs[lane] += sum over the pixels of one staged row for which `present` (a byte each) is 1.
struct PixelSums {
  const char* x = nullptr;  // (steps, lanes, 4 bytes)
  std::int64_t steps = 0, lanes = 0;
  const char* present = nullptr;  // (steps, 4 bytes): the integer 1 or 0, as wide as the group's elements
  bool is_signed = false;         // elements are code - 128, not codes
  std::int32_t* const* outs = nullptr;
  std::int64_t count = 0;  // of outs
};

/// One row of exact int32 sums to values: fl32(fma(a, acc, fma(b, sum, e))), acc = the true sum made from the limbs of
/// the weights.
struct RescaleRow {
  const std::int32_t* sums = nullptr;       // (pixels, w_limbs * lanes)
  const std::int32_t* high_sums = nullptr;  // the same of the streamed codes' second bytes, or null
  std::int64_t pixels = 0, channels = 0, lanes = 0;
  std::int64_t w_limbs = 1;
  const std::int64_t* columns = nullptr;        // (pixels) class of each column, as an offset into the tables below
  const std::int32_t* correction32 = nullptr;   // (classes, lanes), one limb: added to the sum
  const double* correction = nullptr;           // (classes, lanes), several limbs: added for each byte of the codes
  const double* offset = nullptr;               // (classes, lanes): e
  const double* a = nullptr;                    // (lanes)
  const double* b = nullptr;                    // (lanes)
  const std::int32_t* position_sums = nullptr;  // (pixels)
  double weight_offset = 0.0;                   // several limbs: acc -= weight_offset * sum
  float* out = nullptr;                         // (pixels, out_step)
  std::int64_t out_step = 0;
};

/// Channel statistics of one row: q = rint(y * scale); s1 += q, s2 += q^2; lo, hi: keys (order of int32, -0 below +0).
struct StatisticsRow {
  const float* y = nullptr;
  std::int64_t pixels = 0, channels = 0, step = 0;
  const float* scale = nullptr;  // (lanes)
  std::int64_t* s1 = nullptr;    // (lanes) all
  std::int64_t* s2 = nullptr;
  std::int32_t* lo = nullptr;
  std::int32_t* hi = nullptr;
};

/// Batch norm of a channel as vectors over channels, each padded to whole blocks.
struct NormVectors {
  const float* mean = nullptr;
  const float* a = nullptr;
  const float* beta = nullptr;
};

/// z = [relu](norm(y) [+ shortcut | + norm(shortcut)]), (pixels, channels) without gaps.
struct NormRows {
  const float* y = nullptr;
  std::int64_t pixels = 0, channels = 0;
  NormVectors norm;
  const float* shortcut = nullptr;
  const NormVectors* shortcut_norm = nullptr;
  bool relu = false;
  float* z = nullptr;
};

/// dy = fma(a, u, fma(k, fl(y - mean), c)), (pixels, channels) without gaps.
struct GradientRows {
  const float* u = nullptr;
  const float* y = nullptr;
  std::int64_t pixels = 0, channels = 0;
  const float* mean = nullptr;
  const float* a = nullptr;
  const float* k = nullptr;
  const float* c = nullptr;
  float* dy = nullptr;         // null: only the range is wanted
  std::int32_t* lo = nullptr;  // (1) keys, updated; null: not wanted
  std::int32_t* hi = nullptr;
};

/// Codes of a run of values, widths up to 16 (docs/numerics.md, 2.2).
struct QuantiseRow {
  const float* x = nullptr;
  const float* noise = nullptr;  // null: nearest
  std::int64_t count = 0;
  float lo = 0.0F, step = 1.0F, max_code = 0.0F;
  std::uint8_t* codes8 = nullptr;  // one of the three
  std::uint16_t* codes16 = nullptr;
  std::uint32_t* codes32 = nullptr;
};

/// Groups that are the columns of a table (rows, channels): their extremes as keys, included into lo and hi.
struct ColumnRange {
  const float* x = nullptr;
  std::int64_t rows = 0, channels = 0;
  std::int32_t* lo = nullptr;  // (lanes)
  std::int32_t* hi = nullptr;
};

/// Codes of such a table, nearest, widths up to 16.
struct QuantiseColumns {
  const float* x = nullptr;
  std::int64_t rows = 0, channels = 0;
  const float* lo = nullptr;  // (lanes)
  const float* step = nullptr;
  float max_code = 0.0F;
  std::uint8_t* codes8 = nullptr;  // one of the two
  std::uint32_t* codes32 = nullptr;
};

/// Codes on the shared grid: rint(fl64(fma(step, q, lo) / grid)), q <= 65535 (docs/numerics.md, 5.1).
struct GridRow {
  const std::uint8_t* codes8 = nullptr;  // one of the two
  const std::uint32_t* codes32 = nullptr;
  std::int64_t count = 0;
  double lo = 0.0, step = 0.0, grid = 0.0;
  std::int32_t* out = nullptr;
};

/// Weights of 16 output lanes and one tap as a block of groups: byte (code + offset) >> shift, or the whole code as a
/// signed word where elements are words; and their sums.
struct PackTap {
  const std::int32_t* codes = nullptr;   // codes[lane * out_step + channel * in_step], or, offset and shift being 0,
  const std::uint8_t* codes8 = nullptr;  // the same of bytes
  std::int64_t out_step = 0, in_step = 0;
  std::int64_t lanes = 0, channels = 0;
  std::int32_t offset = 0;
  int shift = 0;
  bool words = false;            // offset and shift are 0
  char* out = nullptr;           // (groups, 16 lanes, 4 bytes); idle lanes and channels become 0
  std::int64_t* sums = nullptr;  // (16) of the codes, overwritten; null: not wanted
};

/// noise[i] = rounding noise of element begin + i. This is arithmetic only: memory meanwhile brings what is needed
/// next.
struct NoiseRow {
  std::uint64_t seed = 0;
  std::uint32_t step = 0, purpose_and_tensor = 0;
  std::uint64_t begin = 0;
  std::int64_t count = 0;
  float* noise = nullptr;
  const float* fetch[2] = {nullptr, nullptr};  // (count) each, or null
};

/// One norm whose sums are made: S_u and S_ut of channels.
struct GradientSumNorm {
  const float* y = nullptr;
  const float* mean = nullptr;      // (lanes)
  const float* scale_ut = nullptr;  // (lanes) 2^e
  float scale_u = 0.0F;
  std::int64_t* s_u = nullptr;  // (lanes)
  std::int64_t* s_ut = nullptr;
};

/// u = mask ? fl(first + second) : +0 and its sums, (pixels, channels) without gaps.
struct GradientSumRows {
  std::int64_t pixels = 0, channels = 0;
  const float* first = nullptr;
  const float* second = nullptr;  // or null
  const float* mask_y = nullptr;  // with mask_norm
  NormVectors mask_norm;
  const std::uint8_t* mask_bits = nullptr;  // little-endian bits
  std::int64_t mask_begin = 0;              // bit of the first element
  float* u = nullptr;
  std::int32_t* magnitude = nullptr;  // (1) largest bits of |u|, updated
  GradientSumNorm norm[2];
  int norms = 0;
  bool own_mask = false;  // mask_y and mask_norm.mean are norm[0]'s
  bool fetched = false;   // u and norm[0].y are on their way already
};

/// out[pixel][lane] = sum of fma from +0 over taps and channels, weights[tap][channel][lane] * x. Float32 layers need
/// the order; binary64 holds integers, exact while every sum stays below 2^53.
template <typename T>
struct OrderedRow {
  const T* x = nullptr;                     // the first pixel's origin
  std::int64_t pixels = 0, pixel_step = 0;  // elements from one pixel to the next
  std::int64_t taps = 0;
  const std::int64_t* offsets = nullptr;         // (taps) elements from x
  const std::int64_t* weight_offsets = nullptr;  // (taps) elements from weights
  std::int64_t channels = 0;                     // of the reduction
  const T* weights = nullptr;                    // (taps, channels, lanes)
  std::int64_t lanes = 0;                        // a multiple of 16
  bool depthwise = false;                        // lane c multiplies x's channel c; channels is 1
  T* out = nullptr;
  std::int64_t out_step = 0;  // from one pixel's lanes to the next one's
};

/// The weight gradient of one tap: accumulators[channel][lane] goes on with x[channel] * dy[lane] over rows of pixels.
template <typename T>
struct OrderedGradientRow {
  const T* x = nullptr;  // x[pixel * x_step + channel]
  std::int64_t x_step = 0;
  const T* dy = nullptr;  // dy[pixel * dy_step + lane]
  std::int64_t dy_step = 0;
  std::int64_t rows = 1, x_row = 0, dy_row = 0;
  std::int64_t pixels = 0, channels = 0, lanes = 0;
  bool depthwise = false;
  T* accumulators = nullptr;  // (channels, lanes)
};

/// One row of exact sums in binary64 to values: fl32(fma(a, acc, fma(b, sum, e))).
struct RescaleSums {
  const double* sums = nullptr;  // (pixels, lanes)
  std::int64_t pixels = 0, channels = 0, lanes = 0;
  const double* a = nullptr;  // (lanes) all three
  const double* b = nullptr;
  const double* offset = nullptr;
  const double* position_sums = nullptr;  // (pixels), or
  const double* lane_sums = nullptr;      // (pixels, lanes)
  float* out = nullptr;                   // (pixels, out_step)
  std::int64_t out_step = 0;
};

/// One tap's weight gradient of 16 lanes of g from all threads' sums (docs/numerics.md, 4.5), single bytes:
/// fl32(fma(a, [q_g q_x], fma(b, [q_g], fma(c, [q_x], rest)))).
struct GradientValues {
  const std::int32_t* const* sums = nullptr;  // (sets): from sums_at on (channels, 16), of codes of g times code - 128
  const std::int32_t* const* x_sums = nullptr;  // (sets): from x_at on each x_step, of code - 128
  std::int64_t sets = 0, sums_at = 0, x_at = 0, x_step = 1;
  std::int64_t channels = 0, lanes = 0;
  double x_offset = 0.0;           // added to x's sums
  const double* g_sums = nullptr;  // (16), of codes
  double a = 0.0, b = 0.0, c = 0.0, rest = 0.0;
  float* out = nullptr;  // out[lane * out_step + channel]
  std::int64_t out_step = 0;
};

struct KernelTable {
  const char* name;
  std::int64_t group;  // elements of a 4-byte group: 4 or 2
  bool tiles;          // products are made by tiles of 16 x 16 sums
  void (*row_product)(const RowProduct&);
  void (*tap_gradient)(const TapGradient&);
  void (*stage_channels)(const StageChannels&);
  void (*stage_pixels)(const StagePixels&);
  void (*stage_x_positions)(const StagePositions&);  // where there are tiles
  void (*stage_g_positions)(const StagePositions&);
  void (*channel_sums)(const ChannelSums&);
  void (*box_sums)(const BoxSums&);
  void (*pixel_sums)(const PixelSums&);
  /// Codes of two bytes as two rows of bytes.
  void (*split_words)(const std::uint16_t* codes, std::int64_t count, std::uint8_t* low, std::uint8_t* high);
  void (*rescale_narrow)(const RescaleRow&);
  void (*rescale_limbs)(const RescaleRow&);
  void (*statistics)(const StatisticsRow&);
  void (*norm_rows)(const NormRows&);
  void (*gradient_rows)(const GradientRows&);
  void (*quantise)(const QuantiseRow&);
  void (*column_range)(const ColumnRange&);
  void (*quantise_columns)(const QuantiseColumns&);
  void (*grid_codes)(const GridRow&);
  void (*pack_tap)(const PackTap&);
  void (*noise)(const NoiseRow&);
  void (*sum_gradients)(const GradientSumRows&);
  void (*ordered_row32)(const OrderedRow<float>&);
  void (*ordered_row64)(const OrderedRow<double>&);
  void (*ordered_gradient32)(const OrderedGradientRow<float>&);
  void (*ordered_gradient64)(const OrderedGradientRow<double>&);
  void (*float_product)(const FloatProductPixels&);
  void (*float_gradient)(const FloatGradientBlock&);
  void (*rescale_sums)(const RescaleSums&);
  void (*gradient_values)(const GradientValues&);
  void (*norm_codes)(const NormCodes&);
  void (*gradient_codes)(const GradientCodes&);
  void (*stage_words)(const StageWords&);
  void (*stage_quads)(const StageQuads&);  // null where kernels do not multiply bytes of neighbouring columns
  void (*depthwise_row)(const DepthwiseRow&);
  void (*depthwise_gradient)(const DepthwiseGradientRows&);
  void (*code_sums)(const CodeSums&);
  /// sums[i] += codes[i], modulo 2^16.
  void (*add_codes)(const std::uint8_t* codes, std::int64_t count, std::uint16_t* sums);
  void (*max_pool)(const MaxPoolRow&);
  /// Keys (order of int32, -0 below +0) of the extremes of x, included into lo and hi.
  void (*range)(const float* x, std::int64_t count, std::int32_t* lo, std::int32_t* hi);
  /// Largest bits of |x|, included into *magnitude.
  void (*magnitude)(const float* x, std::int64_t count, std::int32_t* magnitude);
  /// Bit i = x[i] > 0, count a multiple of 8 but for the last call; whole bytes are written.
  void (*positive_bits)(const float* x, std::int64_t count, std::uint8_t* bits);
  /// sums[i] += rint(fl(x[i] * scale)).
  void (*add_on_grid)(const float* x, std::int64_t count, float scale, std::int64_t* sums);
  /// sums[i] += rint(fl(fl(x[i] * factor) * scale)).
  void (*add_products_on_grid)(const float* x, float factor, std::int64_t count, float scale, std::int64_t* sums);
  /// e[i] = exp_f32(fl(z[i] - m)); `plain` is exp_f32, for what vectors leave out: arguments above 0 and NaN.
  void (*exponentials)(const float* z, float m, std::int64_t count, float* e, float (*plain)(float));
  /// e[i] = fl(fl(e[i] / sum) * inverse_n).
  void (*softmax_gradients)(float* e, std::int64_t count, float sum, float inverse_n);
  /// d = g + wd*w; m = mu*m + d; w = w - lr*m.
  void (*sgd)(const float* g, float* m, float* w, std::int64_t count, float lr, float mu, float wd);
  /// Whether some exponent is all ones.
  bool (*non_finite)(const float* x, std::int64_t count);
  LanguageRows language;
  WinogradKernels winograd = {};
};

#define BITCYCLE_ISA(enumerator, name, kernels, condition) extern const KernelTable kernels;
#include "sim/cpu/isa_list.inl"
#undef BITCYCLE_ISA

}  // namespace bitcycle::cpu
