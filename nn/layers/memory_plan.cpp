// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/memory_plan.h"

#include <algorithm>

namespace bitcycle {

void ScratchPlan::allocate(Backend& backend) {
  struct Slot {
    std::size_t bytes;
    int free_from;  // event
    std::vector<const Request*> users;
  };
  std::vector<const Request*> order;
  for (const auto& request : requests_) order.push_back(&request);
  std::stable_sort(order.begin(), order.end(), [](const Request* a, const Request* b) { return a->begin < b->begin; });
  std::vector<Slot> slots;
  for (const Request* request : order) {
    // The free slot that has to grow least, then the smallest that holds it.
    Slot* best = nullptr;
    const auto cost = [&](const Slot& slot) {
      return slot.bytes < request->bytes ? 2 * (request->bytes - slot.bytes) : slot.bytes - request->bytes;
    };
    for (auto& slot : slots) {
      if (slot.free_from <= request->begin && (best == nullptr || cost(slot) < cost(*best))) best = &slot;
    }
    if (best == nullptr) {
      slots.push_back({0, 0, {}});
      best = &slots.back();
    }
    best->bytes = std::max(best->bytes, request->bytes);
    best->free_from = request->end + 1;
    best->users.push_back(request);
  }
  slots_.clear();
  for (const auto& slot : slots) {
    slots_.emplace_back(backend, slot.bytes);
    for (const Request* request : slot.users) request->set(slots_.back().as<void>());
  }
}

std::size_t ScratchPlan::bytes() const {
  std::size_t total = 0;
  for (const auto& slot : slots_) total += slot.bytes();
  return total;
}

void RecordArena::allocate(Backend& backend) {
  device_ = Buffer(backend, size_);
  host_.resize((size_ + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
  for (const auto& bind : bind_) {
    bind(device_.as<std::byte>(), reinterpret_cast<const std::byte*>(host_.data()));
  }
}

void RecordArena::start_fetch(Backend& backend) { backend.start_to_host(host_.data(), device_.as<std::byte>(), size_); }

}  // namespace bitcycle
