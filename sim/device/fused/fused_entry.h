// SPDX-License-Identifier: Apache-2.0
// FusedEntry: an operation of KernelLibrary as a kernel of programs: the nodes that it stands for, and what a match
// becomes. list.inl lists them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/device/kernel_entry.h"
#include "sim/device/kernel_library.h"
#include "sim/program/host_records.h"

namespace bitcycle {

/// A step, as its kernels see it.
struct KernelStep {
  std::int64_t samples = 0;
  const StepInputs& inputs;
};
using KernelLaunch = std::function<void(const KernelStep&)>;

/// A result that a kernel holds in the device's own form, as read() gives it.
struct HeldResult {
  const QuantisedWeights* weights = nullptr;
  const Buffer* memory = nullptr;
  bool codes = false;  // 32-bit, of any width, or bytes, as the memory's size tells; else as they are
};

/// What a kernel is bound to: addresses of the tensors that it touches, and what the device keeps beside them.
class KernelBinding {
 public:
  KernelBinding(const Program& of, const ChosenKernel& chosen, const std::vector<void*>& addresses, KernelLibrary& by,
                std::map<std::string, std::shared_ptr<void>>& held, std::map<std::int32_t, HeldResult>& results)
      : program(of), kernel(chosen), library(by), addresses_(addresses), held_(held), results_(results) {}

  /// Null where the tensor is not there, or is never made.
  template <typename T>
  T* address(Tensor tensor) const {
    return tensor ? static_cast<T*>(addresses_[static_cast<std::size_t>(tensor.id)]) : nullptr;
  }
  /// The kernel's node that is this operation, number `which` of them; null: none.
  template <typename Op>
  const Op* op(int which = 0) const {
    for (const int node : kernel.match.nodes) {
      const auto* found = std::get_if<Op>(&program.node(node).operation);
      if (found != nullptr && which-- == 0) return found;
    }
    return nullptr;
  }
  /// The same among what it makes again for itself.
  template <typename Op>
  const Op* recomputed() const {
    for (const int node : kernel.match.recomputed) {
      const auto* found = std::get_if<Op>(&program.node(node).operation);
      if (found != nullptr) return found;
    }
    return nullptr;
  }
  /// Something that the device keeps beside a tensor of the state, for all programs of a run; made when it is first
  /// asked for.
  template <typename T, typename Make>
  T& held(Tensor tensor, Make make) const {
    auto& slot = held_[program.spec(tensor).name];
    if (!slot) slot = make();
    return *static_cast<T*>(slot.get());
  }

  /// Where a result lies that this kernel holds.
  void holds(Tensor tensor, const HeldResult& result) const { results_[tensor.id] = result; }

  const Program& program;
  const ChosenKernel& kernel;
  KernelLibrary& library;

 private:
  const std::vector<void*>& addresses_;
  std::map<std::string, std::shared_ptr<void>>& held_;
  std::map<std::int32_t, HeldResult>& results_;
};

struct FusedEntry {
  KernelEntry entry;
  KernelLaunch (*bind)(const KernelBinding& binding);
  bool sums_gradients = false;  // of libraries that are SummedGradients, too; else of all
};

/// The most fused first, of all libraries.
const std::vector<FusedEntry>& fused_entries();
/// Those of a library.
std::vector<FusedEntry> fused_entries(bool sums_gradients);

}  // namespace bitcycle
