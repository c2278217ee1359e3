// SPDX-License-Identifier: Apache-2.0
// Scratch: memory of one thread or one operation, kept between calls and grown only, so that the steady state of a
// training allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace bitcycle::cpu {

template <typename T>
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch(Scratch&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
    other.size_ = 0;
  }
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  /// At least `count` elements, 64-byte aligned, and 256 bytes that kernels may read beyond them. Contents are kept
  /// only where nothing grows.
  T* need(std::int64_t count) {
    const auto wanted = static_cast<std::size_t>(count);
    if (data_ == nullptr || wanted > size_) {
      std::free(data_);
      size_ = wanted;
      const std::size_t bytes = (wanted * sizeof(T) + 256 + 63) / 64 * 64;
      data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
      if (data_ == nullptr) throw std::bad_alloc();
      std::memset(static_cast<void*>(data_), 0, bytes);
    }
    return data_;
  }
  T* zeroed(std::int64_t count) {
    T* data = need(count);
    std::memset(static_cast<void*>(data), 0, static_cast<std::size_t>(count) * sizeof(T));
    return data;
  }
  T* data() const { return data_; }
  /// Grows to at least the size of another. Contents are lost where it grows.
  void match(const Scratch& other) { need(static_cast<std::int64_t>(other.size_)); }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Gives every thread's memory the size of the largest: which thread runs what differs from step to step, and a thread
/// must not meet its first large operation late. State::each_scratch(a, b, visit) visits pairs of members.
template <typename State>
void level(std::vector<State>& states) {
  const auto grow = [](auto& to, const auto& from) { to.match(from); };
  for (const State& state : states) State::each_scratch(states.front(), state, grow);
  for (State& state : states) State::each_scratch(state, states.front(), grow);
}

}  // namespace bitcycle::cpu
