// SPDX-License-Identifier: Apache-2.0
// KernelLibrary: the fused kernels of one device, its memory and its queue. Which nodes of a program each of them
// stands for is written once for all libraries (fused/table.cpp); a KernelDevice compiles programs to calls of
// these. Every library computes the same bits; the reference library (sim/reference) is written as plain loops after
// docs/numerics.md. Arguments are checked when a program is written, not here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/device/fused_operations.h"
#include "sim/device/profile.h"
#include "sim/isa.h"

namespace bitcycle {

class KernelLibrary {
 public:
  virtual ~KernelLibrary() = default;

  /// "reference", "cpu portable", "cpu avx2", "cpu avx512vnni", ... of a GPU: its name
  virtual std::string name() const = 0;
  virtual int threads() const = 0;

  // Memory.
  /// True where its memory is the host's.
  virtual bool on_host() const { return true; }
  /// Bytes of device memory in use now, on a device with memory of its own; else 0.
  virtual std::size_t device_bytes() const { return 0; }
  virtual void* allocate(std::size_t bytes) = 0;  // 64-byte aligned, zero-filled
  virtual void release(void* data) noexcept = 0;
  virtual void to_device(void* device, const void* host, std::size_t bytes) = 0;
  virtual void to_host(void* host, const void* device, std::size_t bytes) = 0;
  /// to_device beside what is on its way, for memory that nothing of that uses; what is queued later finds the bytes.
  virtual void upload(void* device, const void* host, std::size_t bytes) { to_device(device, host, bytes); }
  virtual void fill_zero(void* device, std::size_t bytes) = 0;
  virtual void synchronise() = 0;
  /// True where operations return before they are done. Such a library can be given a step before the one before it has
  /// been looked at: start_to_host queues a copy of what the step leaves, finish_to_host waits for the oldest one and
  /// puts it where `host` is. At most two are on their way. Elsewhere the copy is there when start_to_host returns.
  virtual bool runs_behind() const { return false; }
  virtual void start_to_host(void* host, const void* device, std::size_t bytes) { to_host(host, device, bytes); }
  virtual void finish_to_host() {}

  // A step: what lies between may be recorded once and replayed (one graph a container class). `step` is the
  // number that its random streams carry.
  virtual void begin_step(std::uint32_t) {}
  /// What the host says of a step (widths, learning rate), to device memory in the order of the queue: a few hundred
  /// bytes.
  virtual void write_records(void* device, const void* host, std::size_t bytes) { to_device(device, host, bytes); }
  virtual void end_step() {}

  // Images. A library with memory of its own keeps the set there and makes its batches; the others are given batches.
  virtual bool keeps_images() const { return false; }
  virtual void load_images(const ImageBatch& args) = 0;

  // Weights.
  virtual std::unique_ptr<QuantisedWeights> make_weights(const ConvShape& shape) = 0;
  virtual void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) = 0;

  // Ranges and scales.
  /// Exact minimum and maximum, -0 as +0; of an empty tensor 0, 0.
  virtual void tensor_range(const float* x, std::int64_t size, Range* range) = 0;
  virtual void activation_scale(const ActivationScale& args) = 0;
  virtual void gradient_scale(const GradientScale& args) = 0;

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
  virtual void max_pool(const MaxPool& args) = 0;
  virtual void max_pool_backward(const MaxPoolBackward& args) = 0;
  virtual void norm_sums(const NormSums& args) = 0;
  virtual void linear_forward(const LinearForward& args) = 0;
  virtual void linear_backward(const LinearBackward& args) = 0;
  virtual void softmax_cross_entropy(const SoftmaxCrossEntropy& args) = 0;
  virtual void sgd_update(const SgdUpdate& args) = 0;

  /// Index of the first element that is not finite (exponent test), -1 where all are; device memory.
  virtual void find_non_finite(const float* data, std::int64_t size, std::int64_t* position) = 0;
  /// The same, for the host.
  std::int64_t first_non_finite(const float* data, std::int64_t size);

  // Profiling: off by default; resets when switched on.
  virtual void set_profiling(bool on) = 0;
  virtual std::vector<ProfileEntry> profile() const = 0;
};

/// The specification: plain loops, one thread.
std::unique_ptr<KernelLibrary> make_reference_library();
/// The fast kernels of the CPU. threads = 0: all cores. Throws where the machine lacks the instruction set, naming the
/// best that it has.
std::unique_ptr<KernelLibrary> make_cpu_library(Isa isa = Isa::kAuto, int threads = 0);

}  // namespace bitcycle
