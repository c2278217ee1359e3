// SPDX-License-Identifier: Apache-2.0
// CudaBackend: every operation as launches of kernels, on whatever Runtime it is given. Compiled by nvcc for GPUs and
// by the host compiler for the tests' execution layer: one source, one order of launches, one set of kernels. Included
// once by each, after nothing.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "sim/cuda/kernels_chain.h"
#include "sim/cuda/kernels_classifier.h"
#include "sim/cuda/kernels_elementwise.h"
#include "sim/cuda/kernels_product.h"
#include "sim/cuda/kernels_weights.h"
#include "sim/cuda/runtime.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr int kTensorCoreBits = 16;           // widest code that tensor cores multiply, as two limbs
constexpr std::int64_t kMostKernelSize = 32;  // bits of a ClassMap's sets
constexpr std::int64_t kByteProduct = 255 * 255;

/// Weights with what kernels keep beside them.
struct CudaWeights final : QuantisedWeights {
  using QuantisedWeights::QuantisedWeights;
  Buffer packed, error_packed;      // limbs
  Buffer tap_sums, error_tap_sums;  // int64
  Buffer largest_value;             // int64: bits of a double
  Buffer maps;                      // int32
  Buffer scale, offset;             // forward: ChannelScale (o), double (classes, o)
  Buffer error_scale, error_offset;
  Buffer keys;           // int32 (2, o)
  Buffer gradient_sums;  // int64 (o, taps * c)
  Buffer class_sums;     // int64: outputs' (classes, o), then inputs' (classes, c)
  Buffer terms;          // int64 (taps)
  ClassMap outputs, inputs;
  std::int64_t output_classes = 0, input_classes = 0;
  Packed forward_pack, error_pack;  // limbs 0; set at launch
};

/// Classes of one dimension: which taps exist at each position.
struct Classes {
  std::vector<std::int32_t> of;
  std::vector<std::uint32_t> taps;
  template <typename Exists>
  Classes(std::int64_t positions, std::int64_t kernel, Exists exists) {
    for (std::int64_t p = 0; p < positions; ++p) {
      std::uint32_t set = 0;
      for (std::int64_t k = 0; k < kernel; ++k) set |= (exists(p, k) ? 1U : 0U) << k;
      const auto found = std::find(taps.begin(), taps.end(), set);
      of.push_back(static_cast<std::int32_t>(found - taps.begin()));
      if (found == taps.end()) taps.push_back(set);
    }
  }
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(std::unique_ptr<gpu::Runtime> runtime) : runtime_(std::move(runtime)) {
    shared_ = Buffer(*this, sizeof(Scratch));
    const Scratch fresh;
    runtime_->to_device(shared_.as<Scratch>(), &fresh, sizeof fresh);
    largest_ = Buffer(*this, 2 * sizeof(float));
  }
  ~CudaBackend() override = default;

  std::string name() const override { return "cuda " + runtime_->name(); }
  int threads() const override { return 1; }

  void* allocate(std::size_t bytes) override {
    void* data = runtime_->allocate(bytes);
    runtime_->fill_zero(data, bytes);
    return data;
  }
  void release(void* data) noexcept override { runtime_->release(data); }
  void to_device(void* device, const void* host, std::size_t bytes) override {
    flush();
    if (bytes != 0) runtime_->to_device(device, host, bytes);
  }
  void to_host(void* host, const void* device, std::size_t bytes) override {
    flush();
    if (bytes != 0) runtime_->to_host(host, device, bytes);
  }
  void fill_zero(void* device, std::size_t bytes) override {
    flush();
    if (bytes != 0) runtime_->fill_zero(device, bytes);
  }
  void synchronise() override {
    flush();
    runtime_->synchronise();
  }

  void begin_step() override {
    used_ = 0;
    branches_ = 0;
    recording_ = !profiling_;
  }
  void end_step() override {
    if (!recording_) return;
    recording_ = false;
    step_.resize(used_);
    runtime_->run_step(step_);
    used_ = 0;
  }

  bool keeps_images() const override { return true; }
  void load_images(const ImageBatch& batch) override {
    const std::uint32_t pixels = elements(3 * batch.n * batch.h * batch.w, "loading images") / 3;
    launch<LoadImagesKernel>(blocks(4 * pixels), 0, {batch, pixels});
  }

  std::unique_ptr<QuantisedWeights> make_weights(const ConvShape& shape) override;
  void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) override;

  void tensor_range(const float* x, std::int64_t size, Range* range) override {
    const std::uint32_t count = elements(size, "tensor range");
    launch<RangeKernel>(blocks(count), 16, {x, count, range, scratch()});
  }
  void activation_scale(const ActivationScale& args) override { launch<ActivationScaleKernel>(1, 0, {args}); }
  void gradient_scale(const ConvGradient& gradient, std::int64_t positions, std::int64_t channels, BitWidth width,
                      MinScale min_scale, bool zero_on_grid, Range* range, Affine* affine) override {
    const std::uint32_t count = elements(positions * channels, "gradient range");
    launch<GradientScaleKernel>(blocks(count), 16,
                                {gradient, count, static_cast<std::uint32_t>(channels), width, min_scale, zero_on_grid,
                                 range, affine, scratch()});
  }

  void conv_forward(const ConvForward& args) override;
  void conv_backward(const ConvBackward& args) override;
  void conv_accumulators(const ConvAccumulators& args) override;

  void norm_prepare(const NormPrepare& args) override { launch<NormPrepareKernel>(1, 0, {args, scratch()}); }
  void norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                         const float* beta, NormChannel* norm) override {
    launch<NormFromRunningKernel>(1, 0, {channels, mean, variance, gamma, beta, norm});
  }
  void norm_forward(const NormForward& args) override {
    const std::uint32_t count = elements(args.positions * args.channels, "batch norm");
    launch<NormForwardKernel>(blocks(count), 16, {args, count, scratch()});
  }
  void norm_gradient_prepare(const NormGradientPrepare& args) override {
    launch<NormGradientPrepareKernel>(1, 0, {args});
  }
  void average_pool(const AveragePool& args) override {
    elements(args.n * args.positions * args.channels, "average pool");
    launch<AveragePoolKernel>(blocks(static_cast<std::uint32_t>(4 * args.n * args.channels)), 0, {args});
  }
  void average_pool_backward(const AveragePoolBackward& args) override;
  void linear_forward(const LinearForward& args) override {
    const std::uint32_t count = elements(args.n * args.outputs, "linear layer");
    launch<LinearForwardKernel>(blocks(4 * count), 0, {args});
  }
  void linear_backward(const LinearBackward& args) override;
  void softmax_cross_entropy(const SoftmaxCrossEntropy& args) override {
    float* losses =
        reserve(losses_, static_cast<std::size_t>(std::max<std::int64_t>(args.n, 1)) * sizeof(float)).as<float>();
    launch<SoftmaxKernel>(1, sizeof(SoftmaxKernel::Shared), {args, losses});
  }
  void sgd_update(const SgdUpdate& args) override {
    const std::uint32_t count = elements(args.size, "sgd");
    launch<SgdKernel>(blocks(count), 0, {args, count});
  }
  std::int64_t first_non_finite(const float* data, std::int64_t size) override {
    const std::uint32_t count = elements(size, "first non-finite");
    launch<NonFiniteKernel>(blocks(count), 0, {data, count, scratch()});
    std::int64_t first = 0;
    to_host(&first, &scratch()->first, sizeof first);
    if (first == INT64_MAX) return -1;
    const std::int64_t none = INT64_MAX;
    to_device(&scratch()->first, &none, sizeof none);
    return first;
  }

  void set_profiling(bool on) override {
    flush();
    if (on) profile_.clear();
    profiling_ = on;
  }
  std::vector<ProfileEntry> profile() const override { return profile_; }

 private:
  /// Kernels index with 32 bits.
  static std::uint32_t elements(std::int64_t size, const char* operation) {
    if (size > INT32_MAX) {
      throw std::invalid_argument(std::string(operation) + " of " + std::to_string(size) +
                                  " elements: the CUDA backend takes at most 2147483647; use a smaller batch or "
                                  "--device cpu");
    }
    return static_cast<std::uint32_t>(size);
  }
  /// Blocks of 256 threads with four elements each, as many as run at once.
  int blocks(std::uint32_t count) const {
    const std::uint32_t needed = count / 1024U + 1U;
    return static_cast<int>(std::min<std::uint32_t>(needed, static_cast<std::uint32_t>(8 * runtime_->processors())));
  }
  Scratch* scratch() { return shared_.as<Scratch>(); }

  template <typename Kernel>
  void launch(int grid, std::size_t shared_bytes, const typename Kernel::Args& args, std::int64_t macs = 0) {
    static_assert(std::is_trivially_copyable_v<typename Kernel::Args>);
    static_assert(sizeof(typename Kernel::Args) <= gpu::Launch::kMostArguments);
    if (recording_) {
      if (used_ == step_.size()) step_.emplace_back();
      step_[used_].branch = branch_;
      fill_launch<Kernel>(step_[used_++], grid, shared_bytes, args);
      return;
    }
    gpu::Launch one;
    fill_launch<Kernel>(one, grid, shared_bytes, args);
    if (!profiling_) {
      runtime_->launch(one);
      return;
    }
    runtime_->synchronise();
    const auto start = std::chrono::steady_clock::now();
    runtime_->launch(one);
    runtime_->synchronise();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    auto entry = std::find_if(profile_.begin(), profile_.end(),
                              [&](const ProfileEntry& candidate) { return candidate.operation == Kernel::kName; });
    if (entry == profile_.end()) {
      profile_.push_back({Kernel::kName, 0, 0.0, 0});
      entry = profile_.end() - 1;
    }
    entry->calls += 1;
    entry->seconds += seconds;
    entry->macs += macs;
  }
  template <typename Kernel>
  static void fill_launch(gpu::Launch& to, int grid, std::size_t shared_bytes, const typename Kernel::Args& args) {
    to.name = Kernel::kName;
    to.entry = entry_of<Kernel>();
    to.blocks = grid;
    to.threads = Kernel::kThreads;
    to.shared_bytes = shared_bytes;
    to.argument_bytes = sizeof args;
    std::memcpy(to.arguments.data(), &args, sizeof args);
  }
  /// Runs what a step has recorded so far: something is about to look at it.
  void flush() {
    for (std::size_t i = 0; i < used_; ++i) runtime_->launch(step_[i]);
    used_ = 0;
  }
  /// A buffer at least that large; what it held is lost.
  Buffer& reserve(Buffer& buffer, std::size_t bytes) {
    if (buffer.bytes() < bytes) {
      if (buffer) synchronise();  // something may still use it
      buffer = Buffer();
      buffer = Buffer(*this, bytes);
    }
    return buffer;
  }
  void fill_words(void* words, std::size_t bytes) {
    const auto count = static_cast<std::uint32_t>(bytes / 4);
    launch<FillKernel>(blocks(count), 0, {static_cast<std::uint32_t*>(words), count, 0U});
  }

  static Geometry geometry(const ConvShape& s);
  static Packed pack(const Buffer& bytes, int limbs, std::int64_t rows, std::int64_t depth);
  static int limbs_of(BitWidth width) { return width.container() == Container::kUint8 ? 1 : 2; }
  static bool fits_tensor_cores(BitWidth a, int a_limbs, int b_limbs, std::int64_t depth, std::int64_t groups) {
    return a.is_integer() && a.bits() <= kTensorCoreBits && groups == 1 &&
           depth * std::min(a_limbs, b_limbs) * kByteProduct <= INT32_MAX;
  }
  static Chain chain_of(BitWidth a, BitWidth b, std::int64_t depth) {
    if (a.is_float32() || b.is_float32()) return Chain::kFloat;
    return accumulator_for(a, b, depth) == Accumulator::kInt128 ? Chain::kInt128 : Chain::kInt64;
  }
  template <typename Kernel>
  void launch_product(std::int64_t rows, std::int64_t columns, const typename Kernel::Args& args, std::int64_t macs) {
    const std::int64_t column_tiles = (columns + Kernel::Tile::kColumns - 1) / Kernel::Tile::kColumns;
    const std::int64_t row_tiles = std::max<std::int64_t>(1, (rows + Kernel::Tile::kRows - 1) / Kernel::Tile::kRows);
    // Blocks keep their channels' sums and go on to the next rows; four fit a multiprocessor.
    const std::int64_t resident = std::max<std::int64_t>(1, 4 * runtime_->processors() / column_tiles);
    launch<Kernel>(static_cast<int>(column_tiles * std::min(row_tiles, resident)), Kernel::kSharedBytes, args, macs);
  }
  template <int LA, int LB>
  void forward_product(std::int64_t columns, const StreamedRows& x, const ConvForward& args, const CudaWeights& w);
  template <int LA, int LB, bool Shared>
  void error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w);
  template <int LG, int LX>
  void weight_gradient_product(const ConvBackward& args, CudaWeights& w);
  void weight_gradient(const ConvBackward& args, CudaWeights& w);
  void error_pass(const ConvBackward& args, CudaWeights& w);
  void join_tensor(const GradientJoin& join, const float* first, const float* dpooled, float* dx, bool joins,
                   std::int64_t n, std::int64_t positions, std::int64_t channels);

  std::unique_ptr<gpu::Runtime> runtime_;
  std::vector<gpu::Launch> step_;
  std::size_t used_ = 0;
  bool recording_ = false, profiling_ = false;
  int branch_ = 0, branches_ = 0;
  std::vector<ProfileEntry> profile_;
  Buffer shared_, largest_, losses_, chain_dx_;
};

inline Geometry CudaBackend::geometry(const ConvShape& s) {
  elements(s.input_size(), "convolution");
  elements(s.output_size(), "convolution");
  elements(s.weight_size(), "convolution");
  const auto narrow = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  Geometry g;
  g.n = narrow(s.n);
  g.h = narrow(s.h);
  g.w = narrow(s.w);
  g.c = narrow(s.c);
  g.o = narrow(s.o);
  g.kh = narrow(s.kh);
  g.kw = narrow(s.kw);
  g.stride = narrow(s.stride);
  g.padding = narrow(s.padding);
  g.groups = narrow(s.groups);
  g.out_h = narrow(s.out_h());
  g.out_w = narrow(s.out_w());
  return g;
}

inline std::int64_t rounded_up(std::int64_t v, std::int64_t unit) { return (v + unit - 1) / unit * unit; }

/// Rows padded to a tile of 64 columns, the reduction to 32 codes.
inline Packed CudaBackend::pack(const Buffer& bytes, int limbs, std::int64_t rows, std::int64_t depth) {
  Packed packed;
  packed.bytes = const_cast<std::uint8_t*>(bytes.as<std::uint8_t>());
  packed.limbs = limbs;
  packed.rows = static_cast<std::int32_t>(rounded_up(rows, 64));
  packed.depth = static_cast<std::int32_t>(rounded_up(depth, 32));
  return packed;
}

inline std::unique_ptr<QuantisedWeights> CudaBackend::make_weights(const ConvShape& shape) {
  check_shape(shape);
  geometry(shape);
  if (shape.kh > kMostKernelSize || shape.kw > kMostKernelSize) {
    throw std::invalid_argument("convolution " + shape.text() + ": the CUDA backend takes kernels of at most " +
                                std::to_string(kMostKernelSize) + " x " + std::to_string(kMostKernelSize) +
                                "; use --device cpu");
  }
  auto weights = std::make_unique<CudaWeights>(shape);
  const auto bytes = [](std::int64_t count, std::size_t each) { return static_cast<std::size_t>(count) * each; };
  const std::int64_t size = shape.weight_size(), taps = shape.kh * shape.kw;
  CudaWeights& w = *weights;
  w.codes = Buffer(*this, bytes(size, sizeof(std::uint32_t)));
  w.affine = Buffer(*this, bytes(shape.o, sizeof(Affine)));
  w.error_codes = Buffer(*this, bytes(size, sizeof(std::uint32_t)));
  w.error_affine = Buffer(*this, bytes(shape.c, sizeof(Affine)));
  w.magnitude = Buffer(*this, bytes(shape.o + 1, sizeof(float)));
  w.largest_value = Buffer(*this, sizeof(std::int64_t));
  w.tap_sums = Buffer(*this, bytes(shape.o * taps, sizeof(std::int64_t)));
  w.error_tap_sums = Buffer(*this, bytes(shape.c * taps, sizeof(std::int64_t)));

  const auto exists_at_output = [&](std::int64_t inputs) {
    return [&shape, inputs](std::int64_t p, std::int64_t k) {
      const std::int64_t at = p * shape.stride - shape.padding + k;
      return at >= 0 && at < inputs;
    };
  };
  const auto exists_at_input = [&](std::int64_t outputs) {
    return [&shape, outputs](std::int64_t p, std::int64_t k) {
      const std::int64_t at = p + shape.padding - k;
      return at >= 0 && at % shape.stride == 0 && at / shape.stride < outputs;
    };
  };
  const Classes parts[4] = {Classes(shape.out_h(), shape.kh, exists_at_output(shape.h)),
                            Classes(shape.out_w(), shape.kw, exists_at_output(shape.w)),
                            Classes(shape.h, shape.kh, exists_at_input(shape.out_h())),
                            Classes(shape.w, shape.kw, exists_at_input(shape.out_w()))};
  std::vector<std::int32_t> words;
  std::size_t at[4][2];
  for (int i = 0; i < 4; ++i) {
    at[i][0] = words.size();
    words.insert(words.end(), parts[i].of.begin(), parts[i].of.end());
    at[i][1] = words.size();
    words.insert(words.end(), parts[i].taps.begin(), parts[i].taps.end());
  }
  w.maps = Buffer(*this, words.size() * sizeof(std::int32_t));
  to_device(w.maps.as<std::int32_t>(), words.data(), w.maps.bytes());
  const auto map = [&](std::size_t rows, std::size_t columns) {
    const auto* base = w.maps.as<std::int32_t>();
    ClassMap m;
    m.row_class = base + at[rows][0];
    m.row_taps = reinterpret_cast<const std::uint32_t*>(base + at[rows][1]);
    m.column_class = base + at[columns][0];
    m.column_taps = reinterpret_cast<const std::uint32_t*>(base + at[columns][1]);
    m.rows = static_cast<std::int32_t>(parts[rows].taps.size());
    m.columns = static_cast<std::int32_t>(parts[columns].taps.size());
    return m;
  };
  w.outputs = map(0, 1);
  w.inputs = map(2, 3);
  w.output_classes = std::int64_t{w.outputs.rows} * w.outputs.columns;
  w.input_classes = std::int64_t{w.inputs.rows} * w.inputs.columns;

  if (shape.groups == 1) {
    const auto packed_bytes = [&](std::int64_t rows, std::int64_t depth, int limbs) {
      return bytes(rounded_up(rows, 64) * rounded_up(depth, 32) * limbs, 1);
    };
    w.packed = Buffer(*this, packed_bytes(shape.o, shape.forward_depth(), 2));
    w.error_packed = Buffer(*this, packed_bytes(shape.c, shape.error_depth(), 3));
    w.scale = Buffer(*this, bytes(shape.o, sizeof(ChannelScale)));
    w.offset = Buffer(*this, bytes(w.output_classes * shape.o, sizeof(double)));
    w.error_scale = Buffer(*this, bytes(shape.c, sizeof(ChannelScale)));
    w.error_offset = Buffer(*this, bytes(w.input_classes * shape.c, sizeof(double)));
    w.gradient_sums = Buffer(*this, bytes(size, sizeof(std::int64_t)));
    w.class_sums = Buffer(*this, bytes(w.output_classes * shape.o + w.input_classes * shape.c, sizeof(std::int64_t)));
    std::vector<std::int64_t> terms;
    for (std::int64_t tap = 0; tap < taps; ++tap)
      terms.push_back(valid_outputs(shape, tap / shape.kw, tap % shape.kw).size());
    w.terms = Buffer(*this, terms.size() * sizeof(std::int64_t));
    to_device(w.terms.as<std::int64_t>(), terms.data(), w.terms.bytes());
  }
  w.keys = Buffer(*this, bytes(2 * shape.o, sizeof(std::int32_t)));
  return weights;
}

inline void CudaBackend::quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  auto& w = static_cast<CudaWeights&>(weights);
  const ConvShape& s = w.shape;
  w.width = args.width;
  w.reading = args.reading;
  w.error_grid_bits = args.error_grid_bits;
  const bool packs = args.width.is_narrow() && s.groups == 1;
  const Geometry g = geometry(s);
  // Weights of different operations have nothing in common.
  branch_ = ++branches_;
  launch<ResetWeightsKernel>(1, 0, {w.magnitude.as<float>() + s.o, w.largest_value.as<std::int64_t>()});
  QuantiseWeightsKernel::Args forward{};
  forward.master = args.master;
  forward.width = args.width;
  forward.min_scale = args.min_scale;
  forward.s = g;
  forward.codes = w.codes.as<std::uint32_t>();
  forward.affine = w.affine.as<Affine>();
  forward.magnitude = w.magnitude.as<float>();
  forward.largest_value = w.largest_value.as<std::int64_t>();
  forward.tap_sums = w.tap_sums.as<std::int64_t>();
  w.forward_pack = pack(w.packed, packs ? limbs_of(args.width) : 0, s.o, s.forward_depth());
  forward.packed = w.forward_pack;
  launch<QuantiseWeightsKernel>(g.o, sizeof(QuantiseWeightsKernel::Shared), forward);
  if (!args.for_error_pass || args.width.is_float32()) {
    branch_ = 0;
    return;
  }
  const bool shared_grid = args.reading == ErrorWeights::kShared;
  QuantiseErrorWeightsKernel::Args error{};
  error.master = args.master;
  error.width = args.width;
  error.min_scale = args.min_scale;
  error.shared_grid = shared_grid;
  error.grid_bits = args.error_grid_bits;
  error.s = g;
  error.codes = w.codes.as<std::uint32_t>();
  error.affine = w.affine.as<Affine>();
  error.largest_value = w.largest_value.as<std::int64_t>();
  error.error_codes = w.error_codes.as<std::uint32_t>();
  error.error_affine = w.error_affine.as<Affine>();
  error.tap_sums = w.error_tap_sums.as<std::int64_t>();
  const bool error_packs = s.groups == 1 && (shared_grid || args.width.is_narrow());
  w.error_pack =
      pack(w.error_packed, !error_packs ? 0 : (shared_grid ? args.error_grid_bits / 8 : limbs_of(args.width)), s.c,
           s.error_depth());
  error.packed = w.error_pack;
  launch<QuantiseErrorWeightsKernel>(g.c, sizeof(QuantiseErrorWeightsKernel::Shared), error);
  branch_ = 0;
}

template <int LA, int LB>
void CudaBackend::forward_product(std::int64_t columns, const StreamedRows& x, const ConvForward& args,
                                  const CudaWeights& w) {
  const auto go = [&](auto nt) {
    using Kernel = ForwardProductKernel<LA, LB, decltype(nt)::value>;
    typename Kernel::Args a{};
    a.x = x;
    a.map = w.outputs;
    a.weights = w.forward_pack;
    a.columns = static_cast<std::int32_t>(columns);
    a.scale = w.scale.as<ChannelScale>();
    a.offset = w.offset.as<double>();
    a.y = args.y;
    a.statistics = args.statistics;
    a.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
    a.hi = a.lo + w.shape.o;
    a.ticket = &scratch()->ticket;
    launch_product<Kernel>(x.rows, columns, a, args.shape.macs());
  };
  if constexpr (LA + LB > 2) {
    go(std::integral_constant<int, 2>{});
  } else {
    if (columns <= 16) return go(std::integral_constant<int, 2>{});
    if (columns <= 32) return go(std::integral_constant<int, 4>{});
    go(std::integral_constant<int, 8>{});
  }
}

inline void CudaBackend::conv_forward(const ConvForward& args) {
  const auto& w = static_cast<const CudaWeights&>(*args.weights);
  const ConvShape& s = args.shape;
  const Geometry g = geometry(s);
  const auto inputs = static_cast<std::uint32_t>(s.input_size()), outputs = static_cast<std::uint32_t>(s.output_size());
  launch<QuantiseInputKernel>(blocks(inputs), 0, {args.input, inputs, static_cast<std::uint32_t>(s.c), args.codes});
  const int limbs = limbs_of(args.codes.width);
  const bool tensor = w.forward_pack.limbs == limbs && w.width.is_narrow() &&
                      fits_tensor_cores(args.codes.width, limbs, limbs, s.forward_depth(), s.groups);
  PrepareForwardKernel::Args prepare{};
  prepare.x_width = args.codes.width;
  prepare.w_width = w.width;
  prepare.x = args.codes.affine;
  prepare.x_range = args.input_range;
  prepare.w = w.affine.as<Affine>();
  prepare.magnitude = w.magnitude.as<float>();
  prepare.tap_sums = w.tap_sums.as<std::int64_t>();
  prepare.map = w.outputs;
  prepare.s = g;
  prepare.tables = tensor;
  prepare.scale = const_cast<ChannelScale*>(w.scale.as<ChannelScale>());
  prepare.offset = const_cast<double*>(w.offset.as<double>());
  prepare.statistics = args.statistics;
  prepare.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
  prepare.hi = prepare.lo + s.o;
  if (tensor || args.statistics != nullptr) {
    launch<PrepareForwardKernel>((g.o + PrepareForwardKernel::kThreads - 1) / PrepareForwardKernel::kThreads, 0,
                                 prepare);
  }
  if (tensor) {
    StreamedRows x{};
    x.codes = args.codes.codes;
    x.rows = g.n * g.out_h * g.out_w;
    x.h = g.out_h;
    x.w = g.out_w;
    x.source_h = g.h;
    x.source_w = g.w;
    x.channels = g.c;
    x.kh = g.kh;
    x.kw = g.kw;
    x.stride = g.stride;
    x.padding = g.padding;
    x.depth = g.kh * g.kw * g.c;
    if (limbs == 1) {
      forward_product<1, 1>(s.o, x, args, w);
    } else {
      forward_product<2, 2>(s.o, x, args, w);
    }
    return;
  }
  ForwardChainKernel::Args chain{};
  chain.s = g;
  chain.chain = chain_of(args.codes.width, w.width, s.forward_depth());
  chain.x = args.codes;
  chain.weights = w.codes.as<std::uint32_t>();
  chain.weight_affine = w.affine.as<Affine>();
  chain.weight_width = w.width;
  chain.y = args.y;
  chain.size = outputs;
  launch<ForwardChainKernel>(blocks(4 * std::min(outputs, UINT32_MAX / 4)), 0, chain, s.macs());
  if (args.statistics == nullptr) return;
  launch<ChannelStatisticsKernel>(
      blocks(outputs), static_cast<std::size_t>(ChannelStatisticsKernel::shared_bytes(s.o)),
      {args.y, outputs, static_cast<std::uint32_t>(s.o), args.statistics, prepare.lo, prepare.hi, &scratch()->ticket});
}

template <int LG, int LX>
void CudaBackend::weight_gradient_product(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  const auto go = [&](auto mt) {
    using Kernel = WeightGradientProductKernel<LG, LX, decltype(mt)::value>;
    typename Kernel::Args a{};
    a.s = geometry(s);
    a.g = args.g.codes;
    a.x = args.x.codes;
    a.sums = w.gradient_sums.as<std::int64_t>();
    a.positions = static_cast<std::int32_t>(s.weight_gradient_depth());
    const std::int64_t tiles =
        ((s.o + Kernel::kRows - 1) / Kernel::kRows) * ((s.forward_depth() + Kernel::kColumns - 1) / Kernel::kColumns);
    // Enough parts to fill the device, none so long that a 32-bit sum could overflow (33,025 products of bytes).
    const std::int64_t wanted = std::max<std::int64_t>(1, 4 * runtime_->processors() / tiles);
    a.part = static_cast<std::int32_t>(
        std::clamp<std::int64_t>(rounded_up((a.positions + wanted - 1) / wanted, 32), 256, 16384));
    const std::int64_t parts = std::max<std::int64_t>(1, (a.positions + a.part - 1) / a.part);
    launch<Kernel>(static_cast<int>(tiles * parts), Kernel::kSharedBytes, a, s.macs());
  };
  if (s.o <= 16 || LG + LX > 3) return go(std::integral_constant<int, 1>{});
  if (s.o <= 32 || LG + LX > 2) return go(std::integral_constant<int, 2>{});
  go(std::integral_constant<int, 4>{});
}

inline void CudaBackend::weight_gradient(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  const Geometry g = geometry(s);
  const int lg = limbs_of(args.g.width), lx = limbs_of(args.x.width);
  const auto outputs = static_cast<std::uint32_t>(s.output_size()), inputs = static_cast<std::uint32_t>(s.input_size());
  if (fits_tensor_cores(args.g.width, lg, lx, 1, s.groups) && fits_tensor_cores(args.x.width, lg, lx, 1, s.groups)) {
    auto* g_sums = w.class_sums.as<std::int64_t>();
    auto* x_sums = g_sums + w.output_classes * s.o;
    const auto tensor = [](const Operand& operand, std::uint32_t size, std::int32_t h, std::int32_t width,
                           std::int32_t channels, const ClassMap& map, std::int64_t* to) {
      return ClassSumsKernel::Tensor{operand.codes, operand.width.container(), size, h, width, channels, map, to};
    };
    ClassSumsKernel::Args sums{};
    sums.tensor[0] = tensor(args.g, outputs, g.out_h, g.out_w, g.o, w.outputs, g_sums);
    sums.tensor[1] = tensor(args.x, inputs, g.h, g.w, g.c, w.inputs, x_sums);
    sums.first_blocks = blocks(outputs);
    launch<ClassSumsKernel>(sums.first_blocks + blocks(inputs),
                            static_cast<std::size_t>(std::max(ClassSumsKernel::shared_bytes(w.output_classes * s.o),
                                                              ClassSumsKernel::shared_bytes(w.input_classes * s.c))),
                            sums);
    if (lg == 1 && lx == 1) weight_gradient_product<1, 1>(args, w);
    if (lg == 1 && lx == 2) weight_gradient_product<1, 2>(args, w);
    if (lg == 2 && lx == 1) weight_gradient_product<2, 1>(args, w);
    if (lg == 2 && lx == 2) weight_gradient_product<2, 2>(args, w);
    WeightGradientFinishKernel::Args finish{};
    finish.s = g;
    finish.input_map = w.inputs;
    finish.output_map = w.outputs;
    finish.g = args.g.affine;
    finish.x = args.x.affine;
    finish.sums = w.gradient_sums.as<std::int64_t>();
    finish.g_sums = g_sums;
    finish.x_sums = x_sums;
    finish.terms = w.terms.as<std::int64_t>();
    finish.dw = args.dw;
    finish.size = static_cast<std::uint32_t>(s.weight_size());
    finish.class_sums = static_cast<std::uint32_t>(w.output_classes * s.o + w.input_classes * s.c);
    finish.ticket = &scratch()->ticket;
    launch<WeightGradientFinishKernel>(blocks(4 * finish.size), 16, finish);
    return;
  }
  WeightGradientChainKernel::Args chain{};
  chain.s = g;
  chain.chain = chain_of(args.x.width, args.g.width, s.weight_gradient_depth());
  chain.x = args.x;
  chain.g = args.g;
  chain.x_range = args.x_range;
  chain.g_range = args.g_range;
  chain.dw = args.dw;
  launch<WeightGradientChainKernel>(
      static_cast<int>(std::min<std::int64_t>(s.weight_size(), 64 * runtime_->processors())),
      sizeof(WeightGradientChainKernel::Shared<Int128>) * WeightGradientChainKernel::kThreads, chain, s.macs());
}

template <int LA, int LB, bool Shared>
void CudaBackend::error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w) {
  const auto go = [&](auto nt) {
    using Kernel = ErrorProductKernel<LA, LB, Shared, decltype(nt)::value>;
    typename Kernel::Args a{};
    a.g = g;
    a.map = w.inputs;
    a.weights = w.error_pack;
    a.columns = static_cast<std::int32_t>(args.shape.c);
    a.scale = w.error_scale.as<ChannelScale>();
    a.offset = w.error_offset.as<double>();
    a.dx = args.dx;
    a.dx_bound = args.dx_bound;
    a.joins = args.join != nullptr;
    if (a.joins) a.join = *args.join;
    launch_product<Kernel>(g.rows, args.shape.c, a, args.shape.macs());
  };
  if (args.shape.c <= 16 || LA + LB > 3) return go(std::integral_constant<int, 2>{});
  if constexpr (LA + LB <= 3) go(std::integral_constant<int, 4>{});
}

inline void CudaBackend::error_pass(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  const Geometry geo = geometry(s);
  const bool shared_grid = w.reading == ErrorWeights::kShared;
  const int lg = limbs_of(args.g.width), lw = w.error_pack.limbs;
  const bool integers = args.g.width.is_integer() && w.width.is_integer();
  const bool tensor = integers && lw != 0 && fits_tensor_cores(args.g.width, lg, lw, s.error_depth(), s.groups);
  PrepareErrorKernel::Args prepare{};
  prepare.g_width = args.g.width;
  prepare.w_width = w.width;
  prepare.g = args.g.affine;
  prepare.g_range = args.g_range;
  prepare.error = w.error_affine.as<Affine>();
  prepare.magnitude = w.magnitude.as<float>();
  prepare.shared_grid = shared_grid;
  prepare.grid_bits = w.error_grid_bits;
  prepare.tap_sums = w.error_tap_sums.as<std::int64_t>();
  prepare.map = w.inputs;
  prepare.s = geo;
  prepare.tables = tensor;
  prepare.scale = w.error_scale.as<ChannelScale>();
  prepare.offset = w.error_offset.as<double>();
  prepare.dx_bound = args.dx_bound;
  prepare.joins = args.join != nullptr;
  if (prepare.joins) prepare.join = *args.join;
  launch<PrepareErrorKernel>(1, 16, prepare);
  if (tensor) {
    StreamedRows g{};
    g.codes = args.g.codes;
    g.rows = geo.n * geo.h * geo.w;
    g.h = geo.h;
    g.w = geo.w;
    g.source_h = geo.out_h;
    g.source_w = geo.out_w;
    g.channels = geo.o;
    g.kh = geo.kh;
    g.kw = geo.kw;
    g.stride = geo.stride;
    g.padding = geo.padding;
    g.transposed = true;
    g.depth = geo.kh * geo.kw * geo.o;
    if (shared_grid) {
      if (lg == 1 && lw == 2) error_product<1, 2, true>(g, args, w);
      if (lg == 1 && lw == 3) error_product<1, 3, true>(g, args, w);
      if (lg == 2 && lw == 2) error_product<2, 2, true>(g, args, w);
      if (lg == 2 && lw == 3) error_product<2, 3, true>(g, args, w);
    } else {
      if (lg == 1 && lw == 1) error_product<1, 1, false>(g, args, w);
      if (lg == 1 && lw == 2) error_product<1, 2, false>(g, args, w);
      if (lg == 2 && lw == 1) error_product<2, 1, false>(g, args, w);
      if (lg == 2 && lw == 2) error_product<2, 2, false>(g, args, w);
    }
    return;
  }
  const auto inputs = static_cast<std::uint32_t>(s.input_size());
  float* dx =
      args.dx != nullptr ? args.dx : reserve(chain_dx_, std::max<std::size_t>(inputs, 1) * sizeof(float)).as<float>();
  ErrorChainKernel::Args chain{};
  chain.s = geo;
  chain.chain =
      chain_of(args.g.width, shared_grid && w.width.is_integer() ? BitWidth::integer(w.error_grid_bits) : w.width,
               s.error_depth());
  chain.g = args.g;
  chain.weights = w.width.is_float32() ? w.codes.as<std::uint32_t>() : w.error_codes.as<std::uint32_t>();
  chain.error_affine = w.error_affine.as<Affine>();
  chain.weight_width = w.width;
  chain.shared_grid = shared_grid;
  chain.dx = dx;
  chain.dx_bound = args.dx_bound;
  chain.size = inputs;
  launch<ErrorChainKernel>(blocks(4 * std::min(inputs, UINT32_MAX / 4)), 0, chain, s.macs());
  if (args.join != nullptr) join_tensor(*args.join, dx, nullptr, nullptr, true, s.n, s.h * s.w, s.c);
}

inline void CudaBackend::conv_backward(const ConvBackward& args) {
  auto& w = const_cast<CudaWeights&>(static_cast<const CudaWeights&>(*args.weights));
  const ConvShape& s = args.shape;
  const std::uint32_t outputs = elements(s.output_size(), "convolution");
  launch<QuantiseGradientKernel>(
      blocks(outputs), 0,
      {args.gradient, outputs, static_cast<std::uint32_t>(s.o), args.g, args.stochastic, args.noise, args.given_noise});
  if (args.dw != nullptr) weight_gradient(args, w);
  if (args.dx != nullptr || args.dx_bound != nullptr || args.join != nullptr) error_pass(args, w);
}

inline void CudaBackend::conv_accumulators(const ConvAccumulators& args) {
  const auto require_integer = [](BitWidth width, const char* operand) {
    if (width.is_integer()) return;
    throw std::invalid_argument(std::string("accumulators: ") + operand +
                                " is float32, which has no integer sums; give it a width of 2..32 bits");
  };
  if (args.pass != Pass::kError) require_integer(args.x.width, "x");
  if (args.pass != Pass::kForward) require_integer(args.g.width, "g");
  if (args.pass != Pass::kWeightGradient) require_integer(args.weights->width, "w");
  const ConvShape& s = args.shape;
  if (args.pass == Pass::kForward) {
    ForwardChainKernel::Args chain{};
    chain.s = geometry(s);
    chain.x = args.x;
    chain.weights = args.weights->codes.as<std::uint32_t>();
    chain.sums = args.sums;
    chain.size = static_cast<std::uint32_t>(s.output_size());
    launch<ForwardChainKernel>(blocks(chain.size), 0, chain);
  } else if (args.pass == Pass::kError) {
    ErrorChainKernel::Args chain{};
    chain.s = geometry(s);
    chain.g = args.g;
    chain.weights = args.weights->error_codes.as<std::uint32_t>();
    chain.shared_grid = args.weights->reading == ErrorWeights::kShared;
    chain.sums = args.sums;
    chain.size = static_cast<std::uint32_t>(s.input_size());
    launch<ErrorChainKernel>(blocks(chain.size), 0, chain);
  } else {
    WeightGradientChainKernel::Args chain{};
    chain.s = geometry(s);
    chain.x = args.x;
    chain.g = args.g;
    chain.sums = args.sums;
    launch<WeightGradientChainKernel>(
        static_cast<int>(std::min<std::int64_t>(s.weight_size(), 64 * runtime_->processors())),
        sizeof(WeightGradientChainKernel::Shared<Int128>) * WeightGradientChainKernel::kThreads, chain);
  }
}

inline void CudaBackend::join_tensor(const GradientJoin& join, const float* first, const float* dpooled, float* dx,
                                     bool joins, std::int64_t n, std::int64_t positions, std::int64_t channels) {
  const std::uint32_t size = elements(n * positions * channels, "join");
  launch<JoinKernel>(blocks(size), static_cast<std::size_t>(JoinKernel::shared_bytes(channels)),
                     {join, first, dpooled, dx, joins, size, static_cast<std::uint32_t>(channels),
                      static_cast<std::uint32_t>(positions)});
}

inline void CudaBackend::average_pool_backward(const AveragePoolBackward& args) {
  const GradientJoin join = args.join == nullptr ? GradientJoin{} : *args.join;
  if (args.join != nullptr) {
    launch<PoolPrepareKernel>(1, 16,
                              {args.dpooled, elements(args.n * args.channels, "average pool"), join, args.channels,
                               static_cast<std::uint64_t>(args.n * args.positions)});
  }
  join_tensor(join, nullptr, args.dpooled, args.dx, args.join != nullptr, args.n, args.positions, args.channels);
}

inline void CudaBackend::linear_backward(const LinearBackward& args) {
  const std::uint32_t x_size = elements(args.n * args.inputs, "linear layer");
  const std::uint32_t dy_size = elements(args.n * args.outputs, "linear layer");
  if (args.dx != nullptr) launch<LinearErrorKernel>(blocks(4 * x_size), 0, {args});
  if (args.dw == nullptr && args.dbias == nullptr) return;
  fill_words(largest_.as<float>(), largest_.bytes());
  launch<MagnitudeKernel>(blocks(x_size), 0, {args.x, x_size, largest_.as<float>()});
  launch<MagnitudeKernel>(blocks(dy_size), 0, {args.dy, dy_size, largest_.as<float>() + 1});
  launch<LinearGradientKernel>(blocks(static_cast<std::uint32_t>(4 * args.outputs * (args.inputs + 1))), 0,
                               {args, largest_.as<float>()});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
