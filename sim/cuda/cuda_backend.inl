// SPDX-License-Identifier: Apache-2.0
// CudaBackend: every operation as launches of kernels, on whatever Runtime it is given. Compiled by nvcc for GPUs and
// by the host compiler for the tests' execution layer: one source, one order of launches, one set of kernels. Included
// once by each, after nothing.
//
// Launches are queued until something looks at their results, or the step ends. Small operations find their place in a
// neighbour's launch while it waits in the queue: an activation's scale in the launch that quantises it, a batch norm's
// preparation in the product that made its statistics or the pass that needs it, a range of images where they are made,
// the weights of all layers in one. The queue of a step becomes a graph, with the weights and the weight gradients as
// branches beside the trunk.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "sim/cuda/kernels_chain.h"
#include "sim/cuda/kernels_classifier.h"
#include "sim/cuda/kernels_elementwise.h"
#include "sim/cuda/kernels_product.h"
#include "sim/cuda/kernels_weight_gradient.h"
#include "sim/cuda/kernels_weights.h"
#include "sim/cuda/runtime.h"
#include "sim/cuda/step_graph.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr int kTensorCoreBits = 16;           // widest code that tensor cores multiply, as two limbs
constexpr std::int64_t kMostKernelSize = 32;  // bits of a ClassMap's sets
constexpr std::int64_t kByteProduct = 255 * 255;
constexpr std::int64_t kMostPositions = 1 << 22;  // of an image whose taps' existence is kept, 16 bytes each or more
constexpr std::int64_t kMostPatchBytes = 96 * 1024, kBlockBytes = 1024;

/// Weights with what kernels keep beside them.
struct CudaWeights final : QuantisedWeights {
  using QuantisedWeights::QuantisedWeights;
  Buffer packed, error_packed;      // limbs
  Buffer tap_sums, error_tap_sums;  // int64
  Buffer largest_value;             // int64: bits of a double
  Buffer maps;                      // int32
  Buffer class_taps;                // uint64 (classes of outputs, then of inputs)
  Buffer scale, offset;             // forward: ChannelScale (o), double (classes, o)
  Buffer error_scale, error_offset;
  Buffer keys;           // int32 (2, o)
  Buffer gradient_sums;  // int64 (o + 1, taps * c + taps), and a ticket
  Buffer terms;          // int64 (taps)
  Buffer existence;      // uint8 (planes, out_h * out_w, 16): 1 where a tap exists, sixteen taps a plane
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

  std::size_t device_bytes() const override { return device_bytes_; }
  void* allocate(std::size_t bytes) override {
    void* data = runtime_->allocate(bytes);
    sizes_[data] = bytes;
    device_bytes_ += bytes;
    runtime_->fill_zero(data, bytes);
    return data;
  }
  /// What is queued may use the memory, so it runs before. An error of it is thrown by the next operation.
  void release(void* data) noexcept override {
    try {
      flush();
    } catch (...) {
      if (!failure_) failure_ = std::current_exception();
    }
    if (const auto known = sizes_.find(data); known != sizes_.end()) {
      device_bytes_ -= known->second;
      sizes_.erase(known);
    }
    runtime_->release(data);
  }
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
  bool runs_behind() const override { return !profiling_; }
  void start_to_host(void* host, const void* device, std::size_t bytes) override {
    flush();
    runtime_->start_to_host(host, device, bytes);
  }
  void finish_to_host() override { runtime_->finish_to_host(); }
  void synchronise() override {
    flush();
    runtime_->synchronise();
  }

  void begin_step(std::uint32_t step) override {
    flush();
    in_step_ = !profiling_;
    step_number_ = step;
    if (!in_step_) return;
    const Branch beside(*this);
    launch<StepStartKernel>(1, 0, {&scratch()->step, step});
  }
  void end_step() override {
    if (!in_step_) return;
    settle();
    in_step_ = false;
    queue_.resize(used_);
    forget_queue();
    runtime_->run_step(queue_);
  }

  bool keeps_images() const override { return true; }
  void load_images(const ImageBatch& batch) override {
    const std::uint32_t pixels = elements(3 * batch.n * batch.h * batch.w, "loading images") / 3;
    launch<LoadImagesKernel>(blocks(4 * pixels), LoadImagesKernel::kSharedBytes, {batch, pixels, nullptr, scratch()},
                             {0, std::int64_t{15} * pixels});
    open_images_ = {used_ - 1, batch.x, std::int64_t{3} * pixels};
  }

  std::unique_ptr<QuantisedWeights> make_weights(const ConvShape& shape) override;
  void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) override;

  void tensor_range(const float* x, std::int64_t size, Range* range) override {
    const std::uint32_t count = elements(size, "tensor range");
    if (open_images_.x == x && open_images_.size == size && x != nullptr && open_images_.launch < used_) {
      arguments<LoadImagesKernel>(open_images_.launch).range = range;
      open_images_ = {};
      return;
    }
    launch<RangeKernel>(blocks(count), RangeKernel::kSharedBytes, {x, count, range, scratch()}, {0, size * 4});
  }
  void activation_scale(const ActivationScale& args) override {
    settle();
    if (args.training) {
      scale_ = args;
    } else {
      launch<ActivationScaleKernel>(1, 0, {args});
    }
  }
  void gradient_scale(const ConvGradient& gradient, std::int64_t positions, std::int64_t channels, BitWidth width,
                      MinScale min_scale, bool zero_on_grid, Range* range, Affine* affine) override {
    const std::uint32_t count = elements(positions * channels, "gradient range");
    GradientScaleKernel::Args args{};
    args.gradient = gradient;
    args.size = count;
    args.channels = static_cast<std::uint32_t>(channels);
    args.width = width;
    args.min_scale = min_scale;
    args.zero_on_grid = zero_on_grid;
    args.range = range;
    args.affine = affine;
    args.scratch = scratch();
    if (norm_gradient_ && gradient.gradient == norm_gradient_->gradient && norm_gradient_->channels == channels &&
        channels <= GradientScaleKernel::kMostChannels) {
      args.prepares = true;
      args.prepare = *norm_gradient_;
      norm_gradient_.reset();
    }
    launch<GradientScaleKernel>(blocks(count),
                                static_cast<std::size_t>(GradientScaleKernel::shared_bytes(args.prepares, channels)),
                                args, {0, (gradient.norm == nullptr ? 4 : 8) * positions * channels});
  }

  void conv_forward(const ConvForward& args) override;
  void conv_backward(const ConvBackward& args) override;
  void conv_accumulators(const ConvAccumulators& args) override;

  void norm_prepare(const NormPrepare& args) override {
    for (const OpenProduct& product : open_products_) {
      if (product.statistics != args.statistics || product.channels != args.channels) continue;
      std::memcpy(queue_[product.launch].arguments.data() + product.norm_at, &args, sizeof args);
      return;
    }
    launch<NormPrepareKernel>(1, NormPrepareKernel::kSharedBytes, {args});
  }
  void norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                         const float* beta, NormChannel* norm) override {
    launch<NormFromRunningKernel>(1, 0, {channels, mean, variance, gamma, beta, norm});
  }
  void norm_forward(const NormForward& args) override {
    const std::uint32_t count = elements(args.positions * args.channels, "batch norm");
    launch<NormForwardKernel>(
        blocks(count), NormForwardKernel::kSharedBytes, {args, count, scratch()},
        {0, (args.shortcut == nullptr ? 8 : 12) * std::int64_t{count} + (args.mask_bits == nullptr ? 0 : count / 8)});
  }
  void norm_gradient_prepare(const NormGradientPrepare& args) override {
    settle();
    norm_gradient_ = args;
  }
  void average_pool(const AveragePool& args) override {
    elements(args.n * args.positions * args.channels, "average pool");
    launch<AveragePoolKernel>(blocks(static_cast<std::uint32_t>(4 * args.n * args.channels)), 0, {args},
                              {0, 4 * args.n * (args.positions + 1) * args.channels});
  }
  void average_pool_backward(const AveragePoolBackward& args) override;
  void linear_forward(const LinearForward& args) override {
    const std::uint32_t count = elements(args.n * args.outputs, "linear layer");
    launch<LinearForwardKernel>(blocks(4 * count), 0, {args});
  }
  void linear_backward(const LinearBackward& args) override;
  void softmax_cross_entropy(const SoftmaxCrossEntropy& args) override {
    float* losses =
        reserve(losses_, static_cast<std::size_t>(std::max<std::int64_t>(2 * args.n, 1)) * sizeof(float)).as<float>();
    const std::uint32_t samples = elements(args.n, "softmax");
    launch<SoftmaxKernel>(blocks(samples * 32 * 4), SoftmaxKernel::kSharedBytes, {args, losses, scratch()});
  }
  void sgd_update(const SgdUpdate& args) override {
    const std::uint32_t count = elements(args.size, "sgd");
    join_branches();
    launch<SgdKernel>(blocks(count), SgdKernel::kSharedBytes, {args, count, scratch()}, {0, 20 * args.size});
  }
  void find_non_finite(const float* data, std::int64_t size, std::int64_t* place) override {
    const std::uint32_t count = elements(size, "first non-finite");
    join_branches();
    launch<NonFiniteKernel>(blocks(count), NonFiniteKernel::kSharedBytes, {data, count, place, scratch()},
                            {0, 4 * size});
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
    return static_cast<int>(std::min<std::uint32_t>(needed, static_cast<std::uint32_t>(4 * runtime_->processors())));
  }
  Scratch* scratch() { return shared_.as<Scratch>(); }

  /// Launches made while it lives are a branch of their own.
  class Branch {
   public:
    explicit Branch(CudaBackend& backend) : backend_(backend) { backend_.branch_ = ++backend_.branches_; }
    ~Branch() { backend_.branch_ = 0; }
    Branch(const Branch&) = delete;
    Branch& operator=(const Branch&) = delete;

   private:
    CudaBackend& backend_;
  };
  /// The next launch of the trunk waits for all branches.
  void join_branches() { join_ = true; }

  template <typename Kernel>
  void launch(int grid, std::size_t shared_bytes, const typename Kernel::Args& args, gpu::Work work = {}) {
    static_assert(std::is_trivially_copyable_v<typename Kernel::Args>);
    static_assert(sizeof(typename Kernel::Args) <= gpu::Launch::kMostArguments);
    settle();
    push<Kernel>(grid, shared_bytes, args, work);
  }
  template <typename Kernel>
  void push(int grid, std::size_t shared_bytes, const typename Kernel::Args& args, gpu::Work work = {}) {
    if (!in_step_ && used_ >= kMostQueued) flush();
    if (used_ == queue_.size()) queue_.emplace_back();
    gpu::Launch& to = queue_[used_++];
    to.branch = branch_;
    to.joins = branch_ == 0 && join_;
    to.work = work;
    if (branch_ == 0) join_ = false;
    fill_launch<Kernel>(to, grid, shared_bytes, args);
  }
  /// Arguments of a launch that is still in the queue.
  template <typename Kernel>
  typename Kernel::Args& arguments(std::size_t index) {
    return *reinterpret_cast<typename Kernel::Args*>(queue_[index].arguments.data());
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
  /// Small operations that wait for a neighbour get launches of their own: something else comes.
  void settle() {
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    close_weights();
    if (scale_) {
      const ActivationScale scale = *scale_;
      scale_.reset();
      push<ActivationScaleKernel>(1, 0, {scale});
    }
    if (norm_gradient_) {
      const NormGradientPrepare prepare = *norm_gradient_;
      norm_gradient_.reset();
      push<NormGradientPrepareKernel>(1, 0, {prepare});
    }
  }
  void forget_queue() {
    used_ = 0;
    branches_ = 0;
    weight_groups_ = 0;
    open_products_.clear();
    open_images_ = {};
  }
  /// Runs what is queued so far, in order: something is about to look at it.
  void flush() {
    settle();
    const std::size_t count = used_;
    forget_queue();
    for (std::size_t i = 0; i < count; ++i) {
      if (profiling_) {
        run_timed(queue_[i]);
      } else {
        runtime_->launch(queue_[i]);
      }
    }
  }
  void run_timed(const gpu::Launch& one) {
    const double seconds = runtime_->run_timed(one);
    auto entry = std::find_if(profile_.begin(), profile_.end(),
                              [&](const ProfileEntry& candidate) { return candidate.operation == one.name; });
    if (entry == profile_.end()) {
      profile_.push_back({one.name, 0, 0.0, 0, 0});
      entry = profile_.end() - 1;
    }
    entry->calls += 1;
    entry->seconds += seconds;
    entry->macs += one.work.macs;
    entry->bytes += one.work.bytes;
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

  static Geometry geometry(const ConvShape& s);
  static Packed pack(const Buffer& bytes, int limbs, std::int64_t rows, std::int64_t depth);
  static int limbs_of(BitWidth width) { return width.container() == Container::kUint8 ? 1 : 2; }
  /// Groups are not packed; four channels of the result are handled together; the sums of limbs fit 32 bits.
  static bool fits_tensor_cores(BitWidth a, int a_limbs, int b_limbs, std::int64_t depth, std::int64_t channels,
                                std::int64_t groups) {
    return a.is_integer() && a.bits() <= kTensorCoreBits && groups == 1 && channels % 4 == 0 &&
           depth * std::min(a_limbs, b_limbs) * kByteProduct <= INT32_MAX;
  }
  static Chain chain_of(BitWidth a, BitWidth b, std::int64_t depth) {
    if (a.is_float32() || b.is_float32()) return Chain::kFloat;
    return accumulator_for(a, b, depth) == Accumulator::kInt128 ? Chain::kInt128 : Chain::kInt64;
  }
  /// Tiles of 8 columns that a block takes: as many as there are, unless fewer blocks than the least come of it.
  static int column_tiles_of(std::int64_t rows, std::int64_t columns, int most, std::int64_t least) {
    const std::int64_t row_tiles = (rows + 127) / 128;
    int tiles = most;
    while (tiles > 2 && (columns <= 4 * tiles || row_tiles * ((columns + 8 * tiles - 1) / (8 * tiles)) < least)) {
      tiles /= 2;
    }
    return tiles;
  }
  /// Shared memory of a multiprocessor; a block takes kBlockBytes more than it asks for.
  std::int64_t blocks_share() const { return static_cast<std::int64_t>(runtime_->shared_bytes()) + kBlockBytes; }
  template <typename Kernel, typename Args>
  void launch_product(std::int64_t columns, const Args& args, const typename Kernel::Product::Source& source,
                      gpu::Work work) {
    using Product = typename Kernel::Product;
    const std::int64_t column_tiles = (columns + Product::kColumns - 1) / Product::kColumns;
    const std::int64_t bytes = Product::shared_bytes(source, Kernel::kSharedBytes);
    // Blocks keep their channels' sums and go on to the next rows: as many as are there at once.
    const std::int64_t at_once = std::min<std::int64_t>(Kernel::kMinBlocks, blocks_share() / (bytes + kBlockBytes));
    const std::int64_t resident = std::max<std::int64_t>(1, at_once * runtime_->processors() / column_tiles);
    const std::int64_t chunks = std::clamp<std::int64_t>(Product::chunks(source), 1, resident);
    launch<Kernel>(static_cast<int>(column_tiles * chunks), static_cast<std::size_t>(bytes), args, work);
  }
  /// Gives `go` the kernel and its source: by patches, where two blocks fit a multiprocessor's shared memory; by rows.
  /// Kernel<Tile>; s: of the patches, all but channels and codes in x.
  template <template <typename> class Kernel, int LA, int LB, bool Signed, int Most, typename Go>
  void choose_product(const StreamedRows& x, const PatchShape& s, std::int64_t columns, const Go& go);
  const Tiling& tiling(const PatchShape& s, std::int64_t most_positions, std::int64_t most_pixels);
  template <int LA, int LB>
  void forward_product(const StreamedRows& x, const ConvForward& args, const CudaWeights& w);
  template <int Norms>
  struct ErrorProduct {
    template <typename Tile>
    using Kernel = ErrorProductKernel<Tile, Norms>;
  };
  template <int LA, int LB, bool Shared, int Norms>
  void error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w);
  template <int LA, int LB, bool Shared>
  void error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w);
  template <int LG, int LX>
  void weight_gradient_product(const ConvBackward& args, CudaWeights& w);
  static WeightGradientSums gradient_sums(const ConvBackward& args, const CudaWeights& w) {
    const bool bytes = limbs_of(args.g.width) == 1 && limbs_of(args.x.width) == 1;
    return {const_cast<std::int64_t*>(w.gradient_sums.as<std::int64_t>()),
            bytes && args.shape.weight_gradient_depth() * kByteProduct <= UINT32_MAX ? 1 : 0};
  }
  void close_weights();
  void weight_gradient(const ConvBackward& args, CudaWeights& w);
  bool error_on_tensor_cores(const ConvBackward& args, const CudaWeights& w) const;
  PrepareError error_preparation(const ConvBackward& args, const CudaWeights& w);
  void error_pass(const ConvBackward& args, CudaWeights& w);
  void join_tensor(const GradientJoin& join, const float* first, const float* dpooled, float* dx, bool joins,
                   std::int64_t n, std::int64_t positions, std::int64_t channels);

  static constexpr std::size_t kMostQueued = 4096;  // outside steps

  /// A product in the queue whose statistics a batch norm may yet be made of.
  struct OpenProduct {
    std::size_t launch, norm_at;  // where its NormPrepare is
    const ChannelStatistics* statistics;
    std::int64_t channels;
  };
  struct OpenImages {
    std::size_t launch = 0;
    const float* x = nullptr;
    std::int64_t size = 0;
  };
  /// Tables of the weights that are quantised together, as the device has them.
  struct WeightGroup {
    std::vector<WeightsJob> jobs;
    std::vector<WeightsBlock> blocks;
    Buffer device_jobs, device_blocks;
  };

  std::unique_ptr<gpu::Runtime> runtime_;
  std::vector<gpu::Launch> queue_;
  std::size_t used_ = 0;
  bool in_step_ = false, profiling_ = false, join_ = false;
  std::uint32_t step_number_ = 0;
  int branch_ = 0, branches_ = 0;
  std::exception_ptr failure_;
  std::map<void*, std::size_t> sizes_;
  std::size_t device_bytes_ = 0;
  // What waits for a neighbour.
  std::optional<ActivationScale> scale_;
  std::optional<NormGradientPrepare> norm_gradient_;
  std::vector<OpenProduct> open_products_;
  OpenImages open_images_;
  std::vector<WeightsJob> jobs_;
  std::vector<bool> error_jobs_;
  std::vector<WeightsBlock> blocks_;
  std::deque<WeightGroup> weights_;  // in the order of a queue's groups
  std::size_t weight_groups_ = 0;
  std::vector<Buffer> retired_;
  std::map<std::array<std::int64_t, 12>, Tiling> tilings_;

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

/// Rows padded to a tile of 64 columns, the reduction to 64 codes.
inline Packed CudaBackend::pack(const Buffer& bytes, int limbs, std::int64_t rows, std::int64_t depth) {
  Packed packed;
  packed.bytes = const_cast<std::uint8_t*>(bytes.as<std::uint8_t>());
  packed.limbs = limbs;
  packed.rows = static_cast<std::int32_t>(rounded_up(rows, 64));
  packed.depth = static_cast<std::int32_t>(rounded_up(depth, 64));
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
  if (taps <= StreamedRows::kMostTaps) {
    std::vector<std::uint64_t> sets;
    for (const int first : {0, 2}) {
      for (const std::uint32_t in_rows : parts[first].taps) {
        for (const std::uint64_t in_columns : parts[first + 1].taps) {
          std::uint64_t set = 0;
          for (std::int64_t k = 0; k < shape.kh; ++k) {
            if (((in_rows >> k) & 1U) != 0) set |= in_columns << (k * shape.kw);
          }
          sets.push_back(set);
        }
      }
    }
    w.class_taps = Buffer(*this, sets.size() * sizeof(std::uint64_t));
    to_device(w.class_taps.as<std::uint64_t>(), sets.data(), w.class_taps.bytes());
    w.outputs.taps = w.class_taps.as<std::uint64_t>();
    w.inputs.taps = w.outputs.taps + w.output_classes;
  }

  if (shape.groups == 1) {
    const auto packed_bytes = [&](std::int64_t rows, std::int64_t depth, int limbs) {
      return bytes(rounded_up(rows, 64) * rounded_up(depth, 64) * limbs, 1);
    };
    w.packed = Buffer(*this, packed_bytes(shape.o, shape.forward_depth(), 2));
    w.error_packed = Buffer(*this, packed_bytes(shape.c, shape.error_depth(), 3));
    w.scale = Buffer(*this, bytes(shape.o, sizeof(ChannelScale)));
    w.offset = Buffer(*this, bytes(w.output_classes * shape.o, sizeof(double)));
    w.error_scale = Buffer(*this, bytes(shape.c, sizeof(ChannelScale)));
    w.error_offset = Buffer(*this, bytes(w.input_classes * shape.c, sizeof(double)));
    elements((shape.o + 1) * (taps * shape.c + taps), "weight gradient");
    w.gradient_sums = Buffer(*this, bytes((shape.o + 1) * (taps * shape.c + taps) + 1, sizeof(std::int64_t)));
    std::vector<std::int64_t> terms;
    for (std::int64_t tap = 0; tap < taps; ++tap)
      terms.push_back(valid_outputs(shape, tap / shape.kw, tap % shape.kw).size());
    w.terms = Buffer(*this, terms.size() * sizeof(std::int64_t));
    to_device(w.terms.as<std::int64_t>(), terms.data(), w.terms.bytes());
    if (taps <= StreamedRows::kMostTaps && shape.out_h() * shape.out_w() <= kMostPositions) {
      const std::int64_t positions = shape.out_h() * shape.out_w();
      std::vector<std::uint8_t> existence(static_cast<std::size_t>(rounded_up(taps, 16) * positions));
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const std::int64_t dh = tap / shape.kw - shape.padding, dw = tap % shape.kw - shape.padding;
        for (std::int64_t p = 0; p < positions; ++p) {
          const std::int64_t h = p / shape.out_w() * shape.stride + dh, v = p % shape.out_w() * shape.stride + dw;
          existence[static_cast<std::size_t>((tap / 16 * positions + p) * 16 + tap % 16)] =
              h >= 0 && h < shape.h && v >= 0 && v < shape.w ? 1 : 0;
        }
      }
      w.existence = Buffer(*this, std::max<std::size_t>(existence.size(), 1));
      to_device(w.existence.as<std::uint8_t>(), existence.data(), existence.size());
    }
  }
  w.keys = Buffer(*this, bytes(2 * shape.o, sizeof(std::int32_t)));
  return weights;
}

inline void CudaBackend::quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  auto& w = static_cast<CudaWeights&>(weights);
  const ConvShape& s = w.shape;
  if (scale_ || norm_gradient_) settle();
  w.width = args.width;
  w.reading = args.reading;
  w.error_grid_bits = args.error_grid_bits;
  const bool narrow = args.width.is_narrow() && s.groups == 1;
  const bool shared_grid = args.reading == ErrorWeights::kShared;
  const bool error = args.for_error_pass && args.width.is_integer();
  w.forward_pack = pack(w.packed, narrow ? limbs_of(args.width) : 0, s.o, s.forward_depth());
  if (error) {
    const int limbs = shared_grid ? args.error_grid_bits / 8 : limbs_of(args.width);
    w.error_pack = pack(w.error_packed, s.groups == 1 && (shared_grid || narrow) ? limbs : 0, s.c, s.error_depth());
  }
  WeightsJob job;
  job.master = args.master;
  job.width = args.width;
  job.min_scale = args.min_scale;
  job.s = geometry(s);
  job.codes = w.codes.as<std::uint32_t>();
  job.affine = w.affine.as<Affine>();
  job.magnitude = w.magnitude.as<float>();
  job.largest_value = w.largest_value.as<std::int64_t>();
  job.tap_sums = w.tap_sums.as<std::int64_t>();
  job.packed = w.forward_pack;
  job.step_bound = args.step_bound;
  job.shared_grid = shared_grid;
  job.grid_bits = args.error_grid_bits;
  job.error_codes = w.error_codes.as<std::uint32_t>();
  job.error_affine = w.error_affine.as<Affine>();
  job.error_tap_sums = w.error_tap_sums.as<std::int64_t>();
  job.error_packed = w.error_pack;
  jobs_.push_back(job);
  error_jobs_.push_back(error);
}

/// The weights that came since are a group: three launches, a branch of their own, tables in device memory that are
/// uploaded where they changed (a width, mostly).
inline void CudaBackend::close_weights() {
  if (jobs_.empty()) return;
  blocks_.clear();
  std::size_t forward_blocks = 0;
  for (const bool error : {false, true}) {
    for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
      if (error && !error_jobs_[j]) continue;
      const std::int32_t channels = error ? jobs_[j].s.c : jobs_[j].s.o;
      for (std::int32_t c = 0; c < channels; ++c) blocks_.push_back({j, static_cast<std::uint32_t>(c)});
    }
    if (!error) forward_blocks = blocks_.size();
  }
  if (weight_groups_ == weights_.size()) weights_.emplace_back();
  WeightGroup& group = weights_[weight_groups_++];
  const auto update = [&](auto& known, const auto& now, Buffer& device) {
    const std::size_t bytes = now.size() * sizeof(now[0]);
    if (known.size() == now.size() && std::memcmp(known.data(), now.data(), bytes) == 0) return;
    known = now;
    if (device.bytes() < bytes) {
      retired_.push_back(std::move(device));  // launches that wait or run may read it
      device = Buffer(*this, bytes);
    }
    runtime_->to_device(device.template as<void>(), now.data(), bytes);
  };
  update(group.jobs, jobs_, group.device_jobs);
  update(group.blocks, blocks_, group.device_blocks);
  const WeightsTable table{group.device_jobs.as<WeightsJob>(), group.device_blocks.as<WeightsBlock>(),
                           static_cast<std::uint32_t>(jobs_.size())};
  WeightsTable errors = table;
  errors.blocks += forward_blocks;
  const std::size_t error_blocks = blocks_.size() - forward_blocks;
  jobs_.clear();
  error_jobs_.clear();
  const int outer = branch_;
  branch_ = ++branches_;
  push<ResetWeightsKernel>(1, 0, {table});
  push<QuantiseWeightsKernel>(static_cast<int>(forward_blocks), QuantiseWeightsKernel::kSharedBytes, {table});
  if (error_blocks != 0) {
    push<QuantiseErrorWeightsKernel>(static_cast<int>(error_blocks), QuantiseErrorWeightsKernel::kSharedBytes,
                                     {errors});
  }
  branch_ = outer;
}

inline const Tiling& CudaBackend::tiling(const PatchShape& s, std::int64_t most_positions, std::int64_t most_pixels) {
  const std::array<std::int64_t, 12> key = {s.n,  s.out_h,  s.out_w,     s.in_h,      s.in_w,         s.kh,
                                            s.kw, s.stride, s.padding_h, s.padding_w, most_positions, most_pixels};
  const auto known = tilings_.find(key);
  return known != tilings_.end() ? known->second : tilings_[key] = tiling_of(s, most_positions, most_pixels);
}

template <template <typename> class Kernel, int LA, int LB, bool Signed, int Most, typename Go>
void CudaBackend::choose_product(const StreamedRows& x, const PatchShape& s, std::int64_t columns, const Go& go) {
  const auto of_tiles = [&](int tiles, const auto& of) {
    if (tiles == 2) return of(std::integral_constant<int, 2>{});
    if constexpr (Most >= 4) {
      if (tiles == 4) return of(std::integral_constant<int, 4>{});
    }
    if constexpr (Most >= 8) of(std::integral_constant<int, 8>{});
  };
  if constexpr (LA == 1) {
    const std::int64_t slices = x.channels / 16, taps = s.kh * s.kw;
    // False where too little of the shape fits.
    const auto by_patches = [&](auto nt, auto mt) {
      using Product = PatchProduct<LB, Signed, decltype(nt)::value, decltype(mt)::value>;
      const std::int64_t own = Kernel<Product>::kSharedBytes, limbs_of_columns = Product::kPieceRows;
      const std::int64_t room = blocks_share() / 2 - kBlockBytes - own;
      const std::int64_t most_pixels =
          Patches::pixels_that_fit(room - Patches::fixed_bytes(taps * slices, limbs_of_columns), slices);
      if (most_pixels < taps) return false;
      Patches patches{};
      patches.codes = static_cast<const std::uint8_t*>(x.codes);
      patches.tiling = tiling(s, Product::kRows, most_pixels);
      // Images of a chunk, those of rows beyond its last position too, are numbered with 7 bits.
      if (Product::kRows > 128 * patches.tiling.tile_h * patches.tiling.tile_w) return false;
      patches.map = x.map;
      patches.slices = static_cast<std::int32_t>(slices);
      patches.pieces = static_cast<std::int32_t>(taps * slices);
      patches.kw = x.kw;
      patches.taps = x.kh * x.kw;
      patches.transposed = x.transposed;
      patches.lay_out(own, limbs_of_columns);
      go(std::type_identity<Product>{}, patches);
      return true;
    };
    const bool fits = x.channels % 16 == 0 && slices <= Patches::kMostSlices && (!x.transposed || x.stride.value == 1);
    // Few columns are worth more rows, where there are enough; the error pass has no registers for them.
    if constexpr (Most == 8) {
      if (fits && columns <= 16 && x.rows >= std::int64_t{2} * 256 * runtime_->processors() &&
          by_patches(std::integral_constant<int, 2>{}, std::integral_constant<int, 4>{})) {
        return;
      }
    }
    // A block reads its pixels once for all its columns, so that wide blocks are worth more than many: three for every
    // four multiprocessors will do.
    bool done = false;
    for (int tiles = column_tiles_of(x.rows, columns, Most, 3 * runtime_->processors() / 4);
         fits && !done && tiles >= 2; tiles /= 2) {
      of_tiles(tiles, [&](auto nt) { done = by_patches(nt, std::integral_constant<int, 2>{}); });
    }
    if (done) return;
  }
  of_tiles(column_tiles_of(x.rows, columns, Most, std::int64_t{2} * runtime_->processors()),
           [&](auto nt) { go(std::type_identity<TileProduct<LA, LB, Signed, decltype(nt)::value>>{}, x); });
}

template <int LA, int LB>
void CudaBackend::forward_product(const StreamedRows& x, const ConvForward& args, const CudaWeights& w) {
  const ConvShape& s = args.shape;
  const PatchShape shape{s.n, s.out_h(), s.out_w(), s.h, s.w, s.kh, s.kw, s.stride, s.padding, s.padding};
  const auto go = [&](auto product, const auto& source) {
    using Kernel = ForwardProductKernel<typename decltype(product)::type>;
    typename Kernel::Args a{};
    a.x = source;
    a.weights = w.forward_pack;
    a.columns = static_cast<std::int32_t>(s.o);
    a.scale = w.scale.as<ChannelScale>();
    a.offset = w.offset.as<double>();
    a.y = args.y;
    a.statistics = args.statistics;
    a.lo = const_cast<std::int32_t*>(w.keys.as<std::int32_t>());
    a.hi = a.lo + s.o;
    a.ticket = &scratch()->ticket;
    launch_product<Kernel>(s.o, a, a.x, {s.macs(), s.input_size() * LA + s.output_size() * 4});
    if (args.statistics != nullptr) {
      const auto* bytes = reinterpret_cast<const std::byte*>(&a);
      open_products_.push_back({used_ - 1,
                                static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&a.norm) - bytes),
                                args.statistics, s.o});
    }
  };
  choose_product<ForwardProductKernel, LA, LB, false, LA + LB == 2 ? 8 : 2>(x, shape, s.o, go);
}

inline void CudaBackend::conv_forward(const ConvForward& args) {
  const auto& w = static_cast<const CudaWeights&>(*args.weights);
  const ConvShape& s = args.shape;
  const Geometry g = geometry(s);
  const auto inputs = static_cast<std::uint32_t>(s.input_size()), outputs = static_cast<std::uint32_t>(s.output_size());
  const int limbs = limbs_of(args.codes.width);
  const bool tensor = w.forward_pack.limbs == limbs && w.width.is_narrow() && s.kh * s.kw <= StreamedRows::kMostTaps &&
                      fits_tensor_cores(args.codes.width, limbs, limbs, s.forward_depth(), s.o, s.groups);
  QuantiseInputKernel::Args quantise{};
  quantise.input = args.input;
  quantise.size = inputs;
  quantise.channels = static_cast<std::uint32_t>(s.c);
  quantise.codes = args.codes;
  quantise.scales = scale_ && scale_->affine == args.codes.affine && scale_->width == args.codes.width;
  if (quantise.scales) {
    quantise.scale = *scale_;
    scale_.reset();
  }
  quantise.prepares = tensor || args.statistics != nullptr;
  PrepareForward& prepare = quantise.prepare;
  prepare.x_width = args.codes.width;
  prepare.w_width = w.width;
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
  settle();
  join_branches();
  launch<QuantiseInputKernel>(
      blocks(inputs) + (quantise.scales || quantise.prepares ? 1 : 0), 0, quantise,
      {0, s.input_size() * (4 + static_cast<std::int64_t>(bytes_of(args.codes.width.container())))});
  if (tensor) {
    StreamedRows x{};
    x.codes = args.codes.codes;
    x.rows = g.n * g.out_h * g.out_w;
    x.h = Divisor(g.out_h);
    x.w = Divisor(g.out_w);
    x.stride = Divisor(g.stride);
    x.map = w.outputs;
    x.source_h = g.h;
    x.source_w = g.w;
    x.channels = g.c;
    x.kh = g.kh;
    x.kw = g.kw;
    x.padding = g.padding;
    x.depth = g.kh * g.kw * g.c;
    x.set_offsets();
    if (limbs == 1) {
      forward_product<1, 1>(x, args, w);
    } else {
      forward_product<2, 2>(x, args, w);
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
  launch<ForwardChainKernel>(blocks(4 * std::min(outputs, UINT32_MAX / 4)), 0, chain, {s.macs(), 0});
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
    const std::int64_t taps = s.kh * s.kw, planes = (taps + 15) / 16;
    a.planes = static_cast<std::int32_t>(planes);
    const PatchShape patch{s.n, s.out_h(), s.out_w(), s.h, s.w, s.kh, s.kw, s.stride, s.padding, s.padding};
    // Three chunks are in shared memory at once, and leave room for another kernel's blocks.
    const auto most = std::min(static_cast<std::int64_t>(runtime_->shared_bytes()), kMostPatchBytes);
    std::int64_t bytes = 0;
    for (std::int64_t pixels = Kernel::kMostPixels; bytes == 0 || bytes > most; pixels = pixels * 3 / 4) {
      a.tiling = tiling_of(patch, Kernel::kMostPositions, std::max(pixels, taps));
      a.pixels = a.tiling.pixels();
      a.positions = static_cast<std::int32_t>(rounded_up(a.tiling.positions(), 32));
      bytes = Kernel::shared_bytes(a.pixels, a.positions, planes);
    }
    a.g = args.g.codes;
    a.x = args.x.codes;
    a.existence = w.existence.as<std::uint8_t>();
    a.sums = gradient_sums(args, w);
    const Tiling& t = a.tiling;
    a.exact = t.positions() == a.positions && t.n % t.images == 0 && t.out_h % t.tile_h == 0 && t.out_w % t.tile_w == 0;
    a.pieces = s.o % 16 == 0 && s.c % 16 == 0;
    a.constant_existence = t.tiles_h.value * t.tiles_w.value == 1;
    const auto tiles_of = [](std::int64_t size, std::int64_t each) {
      return Divisor(static_cast<std::int32_t>((size + each - 1) / each));
    };
    Kernel::set_offsets(a);
    a.row_tiles = tiles_of(s.o, Kernel::kRows);
    a.column_tiles = tiles_of(s.c, Kernel::kColumns);
    a.group_tiles = tiles_of(taps + planes, Kernel::kGroups);
    // A block a multiprocessor, each with as many chunks as there are for it, but none so many that a 32-bit sum could
    // overflow.
    const std::int64_t tiles = std::int64_t{a.row_tiles.value} * a.column_tiles.value * a.group_tiles.value;
    const std::int64_t parts = std::max<std::int64_t>(1, runtime_->processors() / tiles);
    a.part = static_cast<std::int32_t>(std::clamp<std::int64_t>((t.chunks + parts - 1) / parts, 1, Kernel::kMostPart));
    const std::int64_t blocks = tiles * std::max<std::int64_t>(1, (t.chunks + a.part - 1) / a.part);
    launch<Kernel>(static_cast<int>(blocks), static_cast<std::size_t>(bytes), a,
                   {s.macs(), s.output_size() * LG + s.input_size() * LX});
  };
  if constexpr (LG + LX == 2) {
    if (s.o > 16) return go(std::integral_constant<int, 2>{});
  }
  go(std::integral_constant<int, 1>{});
}

/// A branch: what follows in the trunk does not need it, but must not overwrite its codes before the next join, which
/// is where the next gradient is quantised.
inline void CudaBackend::weight_gradient(const ConvBackward& args, CudaWeights& w) {
  settle();
  const Branch beside(*this);
  const ConvShape& s = args.shape;
  const Geometry g = geometry(s);
  const int lg = limbs_of(args.g.width), lx = limbs_of(args.x.width);
  const bool small = s.kh * s.kw <= StreamedRows::kMostTaps && s.out_h() * s.out_w() <= kMostPositions;
  if (small && fits_tensor_cores(args.g.width, lg, lx, 1, s.o, s.groups) &&
      fits_tensor_cores(args.x.width, lg, lx, 1, s.o, s.groups)) {
    if (lg == 1 && lx == 1) weight_gradient_product<1, 1>(args, w);
    if (lg == 1 && lx == 2) weight_gradient_product<1, 2>(args, w);
    if (lg == 2 && lx == 1) weight_gradient_product<2, 1>(args, w);
    if (lg == 2 && lx == 2) weight_gradient_product<2, 2>(args, w);
    WeightGradientFinishKernel::Args finish{};
    finish.s = g;
    finish.c = Divisor(g.c);
    finish.taps = Divisor(g.kh * g.kw);
    finish.g = args.g.affine;
    finish.x = args.x.affine;
    finish.sums = gradient_sums(args, w);
    finish.terms = w.terms.as<std::int64_t>();
    finish.dw = args.dw;
    finish.size = static_cast<std::int32_t>(s.weight_size());
    const std::int64_t sums = (s.o + 1) * (s.forward_depth() + s.kh * s.kw);
    finish.ticket = reinterpret_cast<std::uint32_t*>(finish.sums.words + sums);
    launch<WeightGradientFinishKernel>(blocks(static_cast<std::uint32_t>(4 * finish.size)),
                                       WeightGradientFinishKernel::kSharedBytes, finish, {0, 20 * s.weight_size()});
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
      sizeof(WeightGradientChainKernel::Shared<Int128>) * WeightGradientChainKernel::kThreads, chain, {s.macs(), 0});
}

template <int LA, int LB, bool Shared, int Norms>
void CudaBackend::error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w) {
  const ConvShape& s = args.shape;
  // Positions are the inputs, pixels the outputs; the last tap comes first.
  const PatchShape shape{
      s.n, s.h, s.w, s.out_h(), s.out_w(), s.kh, s.kw, s.stride, s.kh - 1 - s.padding, s.kw - 1 - s.padding};
  const auto go = [&](auto product, const auto& source) {
    using Kernel = ErrorProductKernel<typename decltype(product)::type, Norms>;
    typename Kernel::Args a{};
    a.g = source;
    a.weights = w.error_pack;
    a.columns = static_cast<std::int32_t>(s.c);
    a.scale = w.error_scale.as<ChannelScale>();
    a.offset = w.error_offset.as<double>();
    a.dx = args.dx;
    a.dx_bound = args.dx_bound;
    a.joins = args.join != nullptr;
    if (a.joins) a.join = *args.join;
    // dx and u are written; the second contribution, the mask and what the sums need are read.
    const std::int64_t inputs = s.input_size();
    std::int64_t bytes = s.output_size() * LA + (args.dx != nullptr ? 4 * inputs : 0);
    if (a.joins) {
      bytes += 4 * inputs + (a.join.other != nullptr ? 4 * inputs : 0) + (a.join.mask_bits != nullptr ? inputs / 8 : 0);
      for (const auto& norm : a.join.norm) bytes += norm.sums != nullptr ? 4 * inputs : 0;
    }
    launch_product<Kernel>(s.c, a, a.g, {LB * s.macs(), bytes});
  };
  constexpr bool kWide = LA + LB <= 3 && (Norms == 1 || LA + LB == 2);  // as far as registers go
  choose_product<ErrorProduct<Norms>::template Kernel, LA, LB, Shared, kWide ? 4 : 2>(g, shape, s.c, go);
}
template <int LA, int LB, bool Shared>
void CudaBackend::error_product(const StreamedRows& g, const ConvBackward& args, const CudaWeights& w) {
  if (args.join != nullptr && args.join->norm[1].sums != nullptr) {
    error_product<LA, LB, Shared, 2>(g, args, w);
  } else {
    error_product<LA, LB, Shared, 1>(g, args, w);
  }
}

inline bool CudaBackend::error_on_tensor_cores(const ConvBackward& args, const CudaWeights& w) const {
  const ConvShape& s = args.shape;
  const int lg = limbs_of(args.g.width), lw = w.error_pack.limbs;
  return args.g.width.is_integer() && w.width.is_integer() && lw != 0 && s.kh * s.kw <= StreamedRows::kMostTaps &&
         fits_tensor_cores(args.g.width, lg, lw, s.error_depth(), s.c, s.groups);
}

inline PrepareError CudaBackend::error_preparation(const ConvBackward& args, const CudaWeights& w) {
  PrepareError prepare{};
  prepare.g_width = args.g.width;
  prepare.w_width = w.width;
  prepare.g = args.g.affine;
  prepare.g_range = args.g_range;
  prepare.error = w.error_affine.as<Affine>();
  prepare.magnitude = w.magnitude.as<float>();
  prepare.shared_grid = w.reading == ErrorWeights::kShared;
  prepare.grid_bits = w.error_grid_bits;
  prepare.tap_sums = w.error_tap_sums.as<std::int64_t>();
  prepare.map = w.inputs;
  prepare.s = geometry(args.shape);
  prepare.tables = error_on_tensor_cores(args, w);
  prepare.scale = const_cast<ChannelScale*>(w.error_scale.as<ChannelScale>());
  prepare.offset = const_cast<double*>(w.error_offset.as<double>());
  prepare.dx_bound = args.dx_bound;
  prepare.joins = args.join != nullptr;
  if (prepare.joins) prepare.join = *args.join;
  return prepare;
}

inline void CudaBackend::error_pass(const ConvBackward& args, CudaWeights& w) {
  const ConvShape& s = args.shape;
  const Geometry geo = geometry(s);
  const bool shared_grid = w.reading == ErrorWeights::kShared;
  const int lg = limbs_of(args.g.width), lw = w.error_pack.limbs;
  const bool tensor = error_on_tensor_cores(args, w);
  if (tensor) {
    StreamedRows g{};
    g.codes = args.g.codes;
    g.rows = geo.n * geo.h * geo.w;
    g.h = Divisor(geo.h);
    g.w = Divisor(geo.w);
    g.stride = Divisor(geo.stride);
    g.map = w.inputs;
    g.source_h = geo.out_h;
    g.source_w = geo.out_w;
    g.channels = geo.o;
    g.kh = geo.kh;
    g.kw = geo.kw;
    g.padding = geo.padding;
    g.transposed = true;
    g.depth = geo.kh * geo.kw * geo.o;
    g.set_offsets();
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
  launch<ErrorChainKernel>(blocks(4 * std::min(inputs, UINT32_MAX / 4)), 0, chain, {s.macs(), 0});
  if (args.join != nullptr) join_tensor(*args.join, dx, nullptr, nullptr, true, s.n, s.h * s.w, s.c);
}

inline void CudaBackend::conv_backward(const ConvBackward& args) {
  auto& w = const_cast<CudaWeights&>(static_cast<const CudaWeights&>(*args.weights));
  const ConvShape& s = args.shape;
  const std::uint32_t outputs = elements(s.output_size(), "convolution");
  QuantiseGradientKernel::Args quantise{};
  quantise.gradient = args.gradient;
  quantise.size = outputs;
  quantise.channels = static_cast<std::uint32_t>(s.o);
  quantise.codes = args.g;
  quantise.stochastic = args.stochastic;
  quantise.noise = args.noise;
  if (in_step_ && args.noise.step == step_number_) {  // the launch is then the same at every step
    quantise.step = &scratch()->step;
    quantise.noise.step = 0;
  }
  quantise.given_noise = args.given_noise;
  quantise.prepares = args.dx != nullptr || args.dx_bound != nullptr || args.join != nullptr;
  if (quantise.prepares) quantise.prepare = error_preparation(args, w);
  settle();
  join_branches();
  launch<QuantiseGradientKernel>(
      blocks(outputs) + (quantise.prepares ? 1 : 0), QuantiseGradientKernel::kSharedBytes, quantise,
      {0, s.output_size() * ((args.gradient.norm == nullptr ? 4 : 8) +
                             static_cast<std::int64_t>(bytes_of(args.g.width.container())))});
  if (args.dw != nullptr) weight_gradient(args, w);
  if (quantise.prepares) error_pass(args, w);
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
                      static_cast<std::uint32_t>(positions)},
                     {0, (first != nullptr ? 12 : 8) * std::int64_t{size}});
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
  settle();
  if (args.dw != nullptr || args.dbias != nullptr) {
    const Branch beside(*this);
    launch<LinearBoundsKernel>(1, LinearBoundsKernel::kSharedBytes, {args, x_size, dy_size, largest_.as<float>()});
    launch<LinearGradientKernel>(blocks(static_cast<std::uint32_t>(4 * args.outputs * (args.inputs + 1))), 0,
                                 {args, largest_.as<float>()});
  }
  if (args.dx != nullptr) launch<LinearErrorKernel>(blocks(4 * x_size), 0, {args});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
