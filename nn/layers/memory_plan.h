// SPDX-License-Identifier: Apache-2.0
// Memory of a network, planned once: scratch tensors that share space where their lifetimes do not meet, and the
// small records that the host reads after a step in one transfer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "sim/backend.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// Tensors that live for a stretch of a step. Events are numbered in the order in which they happen.
class ScratchPlan {
 public:
  /// `where` is set when the plan is allocated; the tensor may be used from event `begin` to event `end`, both
  /// included.
  template <typename T>
  void add(T** where, std::size_t bytes, int begin, int end) {
    requests_.push_back({bytes, begin, end, [where](void* data) { *where = static_cast<T*>(data); }});
  }
  void allocate(Backend& backend);
  std::size_t bytes() const;

 private:
  struct Request {
    std::size_t bytes;
    int begin, end;
    std::function<void(void*)> set;
  };
  std::vector<Request> requests_;
  std::vector<Buffer> slots_;
};

/// Records side by side in device memory, with a mirror on the host.
class RecordArena {
 public:
  /// `device` is set when the arena is allocated.
  template <typename T>
  void add(T** device, std::size_t count) {
    add(device, static_cast<const T**>(nullptr), count);
  }
  /// The same, and `host`, where a copy of the records is found after fetch().
  template <typename T>
  void add(T** device, const T** host, std::size_t count) {
    const std::size_t offset = size_;
    size_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    bind_.push_back([device, host, offset](std::byte* device_base, const std::byte* host_base) {
      *device = reinterpret_cast<T*>(device_base + offset);
      if (host != nullptr) *host = reinterpret_cast<const T*>(host_base + offset);
    });
  }
  void allocate(Backend& backend);
  /// Copies all records to the host, once the pass before is done.
  void fetch(Backend& backend) {
    start_fetch(backend);
    backend.finish_to_host();
  }
  void start_fetch(Backend& backend);

 private:
  static constexpr std::size_t kAlignment = 64;
  std::size_t size_ = 0;
  std::vector<std::function<void(std::byte*, const std::byte*)>> bind_;
  Buffer device_;
  std::vector<std::max_align_t> host_;
};

/// What layers need to know to reserve their memory.
struct MemoryPlan {
  Backend& backend;
  std::int64_t batch = 0;               // largest number of images a call
  const LayerWidths* widest = nullptr;  // by convolution: containers are made for these
  int layers = 0;
  ScratchPlan& scratch;
  RecordArena& records;

  int forward_event(int layer) const { return layer; }
  int backward_event(int layer) const { return 2 * layers - layer; }
};

}  // namespace bitcycle
