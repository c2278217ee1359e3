// SPDX-License-Identifier: Apache-2.0
// A backend that does everything on two others and compares what they write.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/train/lockstep.h"
#include "sim/backend.h"

namespace bitcycle {

/// Thrown by the operation in which the two differ; LockstepResult says how.
struct LockstepDifference {};

class LockstepBackend final : public Backend {
 public:
  /// `name_of` gives the parameter that a pointer lies in, or "".
  LockstepBackend(Backend& first, Backend& second, LockstepResult& result)
      : first_(first), second_(second), result_(result) {}
  void set_names(std::function<std::string(const void*)> name_of) { name_of_ = std::move(name_of); }

  std::string name() const override { return first_.name() + " and " + second_.name(); }
  int threads() const override { return first_.threads(); }
  void* allocate(std::size_t bytes) override;
  void release(void* data) noexcept override;
  void to_device(void* device, const void* host, std::size_t bytes) override;
  void to_host(void* host, const void* device, std::size_t bytes) override { first_.to_host(host, device, bytes); }
  void fill_zero(void* device, std::size_t bytes) override;
  void synchronise() override;
  void begin_step(std::uint32_t) override { result_.operation = 0; }

  std::unique_ptr<QuantisedWeights> make_weights(const ConvShape& shape) override;
  void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) override;
  void tensor_range(const float* x, std::int64_t size, Range* range) override;
  void activation_scale(const ActivationScale& args) override;
  void gradient_scale(const ConvGradient& gradient, std::int64_t positions, std::int64_t channels, BitWidth width,
                      MinScale min_scale, bool zero_on_grid, Range* range, Affine* affine) override;
  void conv_forward(const ConvForward& args) override;
  void conv_backward(const ConvBackward& args) override;
  void conv_accumulators(const ConvAccumulators& args) override;
  void norm_prepare(const NormPrepare& args) override;
  void norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                         const float* beta, NormChannel* norm) override;
  void norm_forward(const NormForward& args) override;
  void norm_gradient_prepare(const NormGradientPrepare& args) override;
  void average_pool(const AveragePool& args) override;
  void average_pool_backward(const AveragePoolBackward& args) override;
  void linear_forward(const LinearForward& args) override;
  void linear_backward(const LinearBackward& args) override;
  void softmax_cross_entropy(const SoftmaxCrossEntropy& args) override;
  void sgd_update(const SgdUpdate& args) override;
  void find_non_finite(const float* data, std::int64_t size, std::int64_t* place) override;
  void set_profiling(bool) override {}
  std::vector<ProfileEntry> profile() const override { return {}; }

 private:
  struct Memory {
    std::byte* mate;
    std::size_t bytes;
  };
  /// The same place in the second one's memory.
  template <typename T>
  T* mate(T* p) const {
    return const_cast<T*>(static_cast<const T*>(mate_of(p)));
  }
  template <typename T>
  void move(T*& p) const {
    p = mate(p);
  }
  const void* mate_of(const void* p) const;
  void move(Operand& operand) const;
  void move(ConvGradient& gradient) const;
  void move(GradientJoin& join) const;
  /// What the next comparisons are of.
  void begin(const std::string& operation, const void* named, const std::string& shape);
  template <typename T>
  void compare(const char* tensor, const T* p, std::int64_t count);
  void compare_bytes(const char* tensor, const void* p, std::size_t each, std::int64_t count, bool floats);
  void compare_memories(const char* tensor, const void* a, const void* b, std::size_t each, std::int64_t count,
                        bool floats);
  void compare_codes(const char* tensor, const Operand& operand, std::int64_t count);
  void compare_join(const GradientJoin& join, std::int64_t size, std::int64_t channels);

  Backend& first_;
  Backend& second_;
  LockstepResult& result_;
  std::function<std::string(const void*)> name_of_;
  std::map<const std::byte*, Memory> memory_;  // by address in the first one's
  std::vector<std::byte> bytes_[2];
};

}  // namespace bitcycle
