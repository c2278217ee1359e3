// SPDX-License-Identifier: Apache-2.0
// HostState: a run's state in host memory, for devices that compute there.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "sim/device/device.h"
#include "sim/program/memory_plan.h"

namespace bitcycle {

/// Zero-filled bytes, aligned to 64, with a margin that kernels may read.
class AlignedMemory {
 public:
  explicit AlignedMemory(std::size_t bytes);
  std::byte* data() { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data_;
};

class HostState final : public State {
 public:
  explicit HostState(const std::vector<const Program*>& programs);

  std::size_t bytes() const override { return plan_.bytes; }
  using State::read;
  void read(const std::string& name, void* host) override;
  void write(const std::string& name, const void* host) override;
  void upload(const std::string& name, std::size_t offset, const void* host, std::size_t bytes) override;
  /// Throws std::invalid_argument where there is no such tensor, or it has another shape.
  void* address(const TensorSpec& spec);

 private:
  StatePlan plan_;
  AlignedMemory memory_;
};

/// What devices say of a step that a program does not take, and of a tensor that read() does not find.
void require_samples(const Program& program, std::int64_t samples);
[[noreturn]] void throw_not_kept(const TensorSpec& spec);

/// Throws std::invalid_argument where it is none of this kind.
std::shared_ptr<HostState> host_state(const std::shared_ptr<State>& state);

}  // namespace bitcycle
