// SPDX-License-Identifier: Apache-2.0
// Backend: the operations of a training step, on one device. Every backend computes the same bits;
// the reference backend (sim/reference) is the specification, written as plain loops after
// docs/numerics.md. Operations are as large as a fast backend can fuse, and defined as the sequence of
// elementary operations given at each; small records (scales, statistics) live in device memory, so
// that a step needs no word from the host. All tensors are NHWC, weights OHWI, pointers device memory
// obtained from this backend. Arguments are checked when a network is built, not in the operations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/number/affine.h"
#include "sim/number/bit_width.h"
#include "sim/number/philox.h"
#include "sim/ops/accumulator.h"
#include "sim/ops/conv_shape.h"
#include "sim/ops/norm.h"

namespace bitcycle {

class Backend;

/// Device memory, owned. Zero-filled when made.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  template <typename T>
  T* as() {
    return static_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// An operand of an integer product: codes (or, for float32, values) and what they mean.
struct Operand {
  void* codes = nullptr;           // (n, h, w, c) in width.container(); float32: the values
  const Affine* affine = nullptr;  // one record, device memory
  BitWidth width;
};

/// The two readings of the error pass (docs/numerics.md, section 5).
enum class ErrorWeights : std::uint8_t { kShared, kRequantised };

/// Weights of one operation at this step's width, made from the master weights by quantise_weights.
/// The canonical arrays are the specification; a backend keeps packed copies of its own beside them.
struct QuantisedWeights {
  explicit QuantisedWeights(const ConvShape& s) : shape(s) {}
  virtual ~QuantisedWeights() = default;
  QuantisedWeights(const QuantisedWeights&) = delete;
  QuantisedWeights& operator=(const QuantisedWeights&) = delete;

  ConvShape shape;
  BitWidth width;
  ErrorWeights reading = ErrorWeights::kShared;
  int error_grid_bits = 16;

  // Device memory. Codes are 32-bit here whatever the width: they are small, and written once a step.
  Buffer codes;         // uint32 (o, kh, kw, c/groups); float32: the values
  Buffer affine;        // Affine (o)
  Buffer error_codes;   // reading shared: int32, signed codes on the grid G, shape of codes;
                        // reading requantised: uint32, one group an input channel
  Buffer error_affine;  // shared: Affine (1), step = G, lo = 0; requantised: Affine (c)
  Buffer magnitude;     // float (o + 1): max |value| of each output channel's master weights, and of all
};

struct QuantiseWeights {
  const float* master = nullptr;  // (o, kh, kw, c/groups)
  BitWidth width;
  ErrorWeights reading = ErrorWeights::kShared;
  int error_grid_bits = 16;  // 16 or 24
  MinScale min_scale;
  bool for_error_pass = true;  // false: only what the forward pass needs
  /// Two words of device memory, or null: 1 where the step of any group is min_scale, of the forward codes and of the
  /// error pass's own (reading requantised); else 0.
  std::uint32_t* step_bound = nullptr;
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
struct GradientJoin {
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

/// g = quantise(dy), stochastically or to nearest; dw = x^T g; dx = error pass; then the join, if any.
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
  float* dw = nullptr;                 // (o, kh, kw, c/groups), null: not wanted
  float* dx = nullptr;                 // (n, h, w, c), null: not wanted, or only the join's u is
  float* dx_bound = nullptr;           // exact max |dx|, one value; null: not wanted
  const GradientJoin* join = nullptr;  // null: only dx
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
};

/// pooled = mean over all positions: one ascending chain, one division.
struct AveragePool {
  std::int64_t n = 0, positions = 0, channels = 0;
  const float* x = nullptr;  // (n, positions, channels)
  float* pooled = nullptr;   // (n, channels)
};
/// dx contribution of the pool, fl(dpooled / positions) at every position, joined like an error pass.
struct AveragePoolBackward {
  std::int64_t n = 0, positions = 0, channels = 0;
  const float* dpooled = nullptr;
  float* dx = nullptr;  // or null where only the join is wanted
  const GradientJoin* join = nullptr;
};

/// y = x w^T + bias, float32: one fma chain an output over the inputs ascending from +0, then + bias.
struct LinearForward {
  std::int64_t n = 0, inputs = 0, outputs = 0;
  const float* x = nullptr;     // (n, inputs)
  const float* w = nullptr;     // (outputs, inputs)
  const float* bias = nullptr;  // (outputs) or null
  float* y = nullptr;           // (n, outputs)
};
/// dx: one fma chain over the outputs ascending. dw, dbias: products and gradients summed over samples
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

/// The three products of training.
enum class Pass : std::uint8_t { kForward, kError, kWeightGradient };

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

/// What a loss reports, device memory.
struct LossRecord {
  double loss = 0.0;         // mean over the batch
  std::int64_t correct = 0;  // arg max equals the label; the lowest index wins ties
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
  const std::int64_t* guard = nullptr;  // device, or null: nothing is done where it holds 0 or more
  std::int64_t* non_finite = nullptr;   // device, or null: index of the first parameter that is then not finite, or -1
};

/// An image of a set, and the epoch that its augmentation is drawn for.
struct ImagePlace {
  std::uint32_t image = 0, epoch = 0;
};
/// x = normalised pixels of n images, cropped and flipped where augment is set (docs/numerics.md, 8.3). Device memory.
struct ImageBatch {
  std::int64_t n = 0, h = 0, w = 0;
  const std::uint8_t* pixels = nullptr;      // the whole set, (count, h, w, 3)
  const std::int32_t* set_labels = nullptr;  // (count)
  const ImagePlace* places = nullptr;        // (n)
  const float* table = nullptr;              // (3, 256): value of a pixel of each channel
  bool augment = false;
  std::uint64_t seed = 0;
  float* x = nullptr;              // (n, h, w, 3)
  std::int32_t* labels = nullptr;  // (n)
};

/// Time of one operation, gathered while profiling is on.
struct ProfileEntry {
  std::string operation;
  std::int64_t calls = 0;
  double seconds = 0.0;
  std::int64_t macs = 0;
  std::int64_t bytes = 0;  // that must cross memory: every operand once; 0 where a backend does not count them
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// "reference", "cpu portable", "cpu avx2", "cpu avx512vnni", ... of a GPU: its name
  virtual std::string name() const = 0;
  virtual int threads() const = 0;

  // Memory.
  /// Bytes of device memory in use now, on a device with memory of its own; else 0.
  virtual std::size_t device_bytes() const { return 0; }
  virtual void* allocate(std::size_t bytes) = 0;  // 64-byte aligned, zero-filled
  virtual void release(void* data) noexcept = 0;
  virtual void to_device(void* device, const void* host, std::size_t bytes) = 0;
  virtual void to_host(void* host, const void* device, std::size_t bytes) = 0;
  virtual void fill_zero(void* device, std::size_t bytes) = 0;
  virtual void synchronise() = 0;
  /// True where operations return before they are done. Such a backend can be given a step before the one before it has
  /// been looked at: start_to_host queues a copy of what the step leaves, finish_to_host waits for the oldest one and
  /// puts it where `host` is. At most two are on their way. Elsewhere the copy is there when start_to_host returns.
  virtual bool runs_behind() const { return false; }
  virtual void start_to_host(void* host, const void* device, std::size_t bytes) { to_host(host, device, bytes); }
  virtual void finish_to_host() {}

  // A step: what lies between may be recorded once and replayed (one graph a container class). `step` is the
  // number that its random streams carry.
  virtual void begin_step(std::uint32_t) {}
  virtual void end_step() {}

  // Images. A backend with memory of its own keeps the set there and makes its batches; the others are given batches.
  virtual bool keeps_images() const { return false; }
  virtual void load_images(const ImageBatch&) {}

  // Weights.
  virtual std::unique_ptr<QuantisedWeights> make_weights(const ConvShape& shape) = 0;
  virtual void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) = 0;

  // Ranges and scales.
  /// Exact minimum and maximum, -0 as +0; of an empty tensor 0, 0.
  virtual void tensor_range(const float* x, std::int64_t size, Range* range) = 0;
  virtual void activation_scale(const ActivationScale& args) = 0;
  /// Range and affine of dy, before conv_backward.
  virtual void gradient_scale(const ConvGradient& gradient, std::int64_t positions, std::int64_t channels,
                              BitWidth width, MinScale min_scale, bool zero_on_grid, Range* range, Affine* affine) = 0;

  // Products.
  virtual void conv_forward(const ConvForward& args) = 0;
  virtual void conv_backward(const ConvBackward& args) = 0;
  virtual void conv_accumulators(const ConvAccumulators& args) = 0;

  // Between them.
  virtual void norm_prepare(const NormPrepare& args) = 0;
  /// Evaluation: norm from the running statistics.
  virtual void norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                                 const float* beta, NormChannel* norm) = 0;
  virtual void norm_forward(const NormForward& args) = 0;
  virtual void norm_gradient_prepare(const NormGradientPrepare& args) = 0;
  virtual void average_pool(const AveragePool& args) = 0;
  virtual void average_pool_backward(const AveragePoolBackward& args) = 0;
  virtual void linear_forward(const LinearForward& args) = 0;
  virtual void linear_backward(const LinearBackward& args) = 0;
  virtual void softmax_cross_entropy(const SoftmaxCrossEntropy& args) = 0;
  virtual void sgd_update(const SgdUpdate& args) = 0;

  /// Index of the first element that is not finite (exponent test), -1 where all are; device memory.
  virtual void find_non_finite(const float* data, std::int64_t size, std::int64_t* place) = 0;
  /// The same, for the host.
  std::int64_t first_non_finite(const float* data, std::int64_t size);

  // Profiling: off by default; resets when switched on.
  virtual void set_profiling(bool on) = 0;
  virtual std::vector<ProfileEntry> profile() const = 0;
};

/// Instruction sets of the CPU backend (sim/cpu/isa_list.inl). kAuto takes the best that the machine has.
enum class Isa : std::uint8_t {
  kAuto,
#define BITCYCLE_ISA(enumerator, name, kernels, condition) enumerator,
#include "sim/cpu/isa_list.inl"
#undef BITCYCLE_ISA
};
/// "portable", "avx2", ...: those of this build, the better ones later.
std::vector<std::string> isa_names();
/// Those that this machine can run, in the same order.
std::vector<Isa> machine_isas();
/// One of isa_names(), or "auto". Throws std::invalid_argument naming them otherwise.
Isa parse_isa(const std::string& text);
std::string isa_name(Isa isa);
/// True where this machine can run it.
bool isa_available(Isa isa);

/// The specification: plain loops, one thread.
std::unique_ptr<Backend> make_reference_backend();
/// The fast CPU backend. threads = 0: all cores. Throws where the machine lacks the instruction set,
/// naming the best that it has.
std::unique_ptr<Backend> make_cpu_backend(Isa isa = Isa::kAuto, int threads = 0);

}  // namespace bitcycle
