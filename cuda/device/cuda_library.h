// SPDX-License-Identifier: Apache-2.0
// CudaLibrary: every operation as launches of kernels, on whatever Runtime it is given: a GPU, or the host layer. The
// host compiler compiles it once; it knows of a kernel its arguments, its grid and its name (runtime.h).
//
// Launches are queued until something looks at their results, or the step ends. Small operations find their place in a
// neighbour's launch while it waits in the queue: an activation's scale in the launch that quantises it, a batch norm's
// preparation in the product that made its statistics or the pass that needs it, a range of images where they are made,
// the weights of all layers in one. The queue of a step becomes a graph, with the weights and the weight gradients as
// branches beside the main sequence.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda/cuda_device.h"
#include "cuda/device/cuda_weights.h"
#include "cuda/kernels/kernels_direct.h"
#include "cuda/kernels/kernels_quantise.h"
#include "cuda/products/grouped_tile.h"
#include "cuda/products/kernels_product.h"
#include "cuda/products/patch.h"
#include "cuda/runtime/runtime.h"
#include "sim/device/node_kernels.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr int kTensorCoreBits = 16;  // widest code that tensor cores multiply, as two limbs
constexpr std::int64_t kByteProduct = 255 * 255;
constexpr std::int64_t kBlockBytes = 1024;

class CudaLibrary final : public KernelLibrary, public NodeKernels {
 public:
  explicit CudaLibrary(std::unique_ptr<gpu::Runtime> runtime, const CudaOptions& options = {})
      : runtime_(std::move(runtime)), options_(options) {
    shared_ = Buffer(*this, sizeof(Scratch));
    const Scratch fresh;
    runtime_->to_device(shared_.as<Scratch>(), &fresh, sizeof fresh);
  }
  ~CudaLibrary() override = default;

  std::string name() const override { return "cuda " + runtime_->name(); }
  int threads() const override { return 1; }

  std::size_t device_bytes() const override { return device_bytes_; }
  void* allocate(std::size_t bytes) override;
  /// What is queued may use the memory, so it runs before. An error of it is thrown by the next operation.
  void release(void* data) noexcept override;
  void to_device(void* device, const void* host, std::size_t bytes) override;
  void to_host(void* host, const void* device, std::size_t bytes) override;
  void upload(void* device, const void* host, std::size_t bytes) override;
  void fill_zero(void* device, std::size_t bytes) override;
  bool runs_behind() const override { return !profiling_ && !options_.serial; }
  void start_to_host(void* host, const void* device, std::size_t bytes) override;
  void finish_to_host() override { runtime_->finish_to_host(); }
  void synchronise() override;

  void begin_step(std::uint32_t step) override;
  void end_step() override;
  void write_records(void* device, const void* host, std::size_t bytes) override;

  bool keeps_images() const override { return true; }
  bool on_host() const override { return false; }
#include "sim/device/kernel_library_overrides.inl"

  /// Operations of language models, a launch or a few each (nodes.h).
  bool has_kernel(const Operation& operation) const override;
  void run_node(const Operation& operation, const StepMemory& memory) override;
  /// Whole LSTM layers (lstm_layer.h), products with their bias (bias_pattern.h).
  const std::vector<FusedEntry>* own_entries() const override;
  /// The next forward pass writes its products and a bias, added, to y.
  void add_bias_to_product(const float* values, float* y) { bias_ = {values, y}; }

 private:
  friend class NodeLauncher;
  friend class LstmLayerLauncher;
  /// Kernels index with 32 bits.
  static std::uint32_t elements(std::int64_t size, const char* operation) {
    if (size > INT32_MAX) {
      throw std::invalid_argument(std::string(operation) + " of " + std::to_string(size) +
                                  " elements: the CUDA device takes at most 2147483647; use a smaller batch or "
                                  "--device cpu");
    }
    return static_cast<std::uint32_t>(size);
  }
  /// Blocks of 256 threads with four elements each, as many as run at once.
  int blocks(std::uint32_t count) const;
  /// Blocks that prepare so many channels and classes of a product, a few each thread: one, unless there are many.
  int prepare_blocks(std::int64_t work) const {
    constexpr std::int64_t kEach = 2048;
    return static_cast<int>(std::clamp<std::int64_t>((work + kEach - 1) / kEach, 1, runtime_->processors()));
  }
  Scratch* scratch() { return shared_.as<Scratch>(); }

  /// Launches made while it lives are a branch of their own.
  class Branch {
   public:
    explicit Branch(CudaLibrary& library) : library_(library) { library_.branch_ = ++library_.branches_; }
    ~Branch() { library_.branch_ = 0; }
    Branch(const Branch&) = delete;
    Branch& operator=(const Branch&) = delete;

   private:
    CudaLibrary& library_;
  };
  /// The next launch of the main sequence waits for all branches.
  void wait_for_branches() {
    branches_awaited_ = true;
    branch_results_.clear();
  }

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
    to.waits_for_branches = branch_ == 0 && branches_awaited_;
    to.work = work;
    if (branch_ == 0) branches_awaited_ = false;
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
    to.kernel = gpu::kernel_name<Kernel>();
    to.blocks = grid;
    to.threads = Kernel::kThreads;
    to.shared_bytes = shared_bytes;
    to.argument_bytes = sizeof args;
    to.store(args);
  }
  /// Small operations that wait for a neighbour get launches of their own: something else comes.
  void settle();
  void forget_queue();
  /// Runs what is queued so far, in order: something is about to look at it.
  void flush();
  void run_timed(const gpu::Launch& one);
  /// A buffer at least that large; what it held is lost.
  Buffer& reserve(Buffer& buffer, std::size_t bytes);

  static Geometry geometry(const ConvShape& s);
  static Packed pack(const Buffer& bytes, int limbs, std::int64_t rows, std::int64_t depth);
  static int limbs_of(BitWidth width) { return width.container() == Container::kUint8 ? 1 : 2; }
  /// Four channels of the result are handled together; the sums of limbs fit 32 bits.
  static bool fits_tensor_cores(BitWidth a, int a_limbs, int b_limbs, std::int64_t depth, std::int64_t channels) {
    return a.is_integer() && a.bits() <= kTensorCoreBits && channels % 4 == 0 &&
           depth * std::min(a_limbs, b_limbs) * kByteProduct <= INT32_MAX;
  }
  /// Whether weights are packed for tensor cores; depthwise ones have kernels of their own.
  static bool packs_weights(const ConvShape& s) {
    return s.groups == 1 || (!has_depthwise_kernels(s) && s.kh * s.kw <= StreamedRows::kMostTaps);
  }
  /// Tiles of 8 columns that the products with groups are compiled for, by the weights' limbs.
  static constexpr int grouped_tiles(int limbs, bool shared) { return limbs <= (shared ? 2 : 1) ? 4 : 2; }
  static GroupTiles forward_tiles(const ConvShape& s, int limbs) {
    return group_tiles(s.o, s.c, s.groups, s.kh * s.kw, {8 * grouped_tiles(limbs, false), true});
  }
  static GroupTiles error_tiles(const ConvShape& s, int limbs, bool shared) {
    return group_tiles(s.c, s.o, s.groups, s.kh * s.kw, {8 * grouped_tiles(limbs, shared), !shared});
  }
  static SumType sum_type_of(BitWidth a, BitWidth b, std::int64_t depth) {
    if (a.is_float32() || b.is_float32()) return SumType::kFloat;
    return accumulator_for(a, b, depth) == Accumulator::kInt128 ? SumType::kInt128 : SumType::kInt64;
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
                      gpu::Work work);
  /// Patches of a shape for a kernel, where two blocks fit a multiprocessor's shared memory and the patches' rows are
  /// mostly positions.
  template <typename Kernel>
  std::optional<Patches> patches_of(const StreamedRows& x, const PatchShape& s);
  /// The same of products with groups.
  template <template <typename> class Kernel, int LA, int LB, bool Signed, typename Go>
  void choose_grouped_product(const StreamedRows& x, const PatchShape& s, const GroupTiles& tiles, const Go& go);
  /// Gives `go` the kernel and its source: by patches, where they fit; by rows.
  /// Kernel<Tile>; s: of the patches, all but channels and codes in x.
  template <template <typename> class Kernel, int LA, int LB, bool Signed, int Most, typename Go>
  void choose_product(const StreamedRows& x, const PatchShape& s, std::int64_t columns, const Go& go);
  const Tiling& tiling(const PatchShape& s, std::int64_t most_positions, std::int64_t most_pixels);
  template <int LA, int LB>
  void forward_product(const StreamedRows& x, const ConvForward& args, const CudaWeights& w, const float* bias);
  /// What kernels_depthwise.h is for.
  static bool has_depthwise_kernels(const ConvShape& s) {
    return s.groups > 1 && s.groups == s.c && s.groups == s.o && s.c % 4 == 0 && s.kh == 3 && s.kw == 3;
  }
  /// Enough blocks that every slice of `width` channels has a thread.
  int depthwise_blocks(std::int64_t size, std::int64_t channels, std::int64_t width) const;
  void depthwise_forward(const ConvForward& args, const CudaWeights& w);
  void depthwise_error(const ConvBackward& args, const CudaWeights& w, float* dx);
  void depthwise_gradient(const ConvBackward& args, CudaWeights& w);
  template <bool kWords>
  void depthwise_forward_of(const ConvForward& args, const CudaWeights& w);
  template <bool kWords>
  void depthwise_error_of(const ConvBackward& args, const CudaWeights& w, float* dx);
  template <bool kWords>
  void depthwise_gradient_of(const ConvBackward& args, CudaWeights& w);
  void softmax_loss(const SoftmaxCrossEntropy& args, bool partial);
  void loops_forward(const ConvForward& args, const CudaWeights& w);
  void float_forward(const ConvForward& args, const CudaWeights& w);
  void float_error(const ConvBackward& args, const CudaWeights& w, float* dx);
  void float_weight_gradient(const ConvBackward& args, CudaWeights& w);
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
  void sum_gradients(const GradientSum& gradient_sum, const float* first, const float* dpooled, float* dx,
                     bool sums_gradients, std::int64_t n, std::int64_t positions, std::int64_t channels);

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
  CudaOptions options_;
  std::vector<gpu::Launch> queue_;
  std::size_t used_ = 0;
  bool in_step_ = false, profiling_ = false, branches_awaited_ = false;
  std::uint32_t step_number_ = 0;
  int branch_ = 0, branches_ = 0;
  std::exception_ptr failure_;
  std::map<void*, std::size_t> sizes_;
  std::size_t device_bytes_ = 0;
  struct ProductBias {
    const float* values = nullptr;
    float* y = nullptr;
  };
  ProductBias bias_;  // of the next forward pass
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
  Buffer shared_, losses_, direct_dx_;
  std::vector<const void*> branch_results_;  // that nothing in the main sequence waits for yet
  // Of single operations.
  Buffer gradient_norm_;
  std::map<std::array<std::int64_t, 3>, Buffer> positions_;  // by time steps, channels, first
  std::map<const void*, Buffer> linear_bounds_;              // of each linear layer, by its gradient
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
