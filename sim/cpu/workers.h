// SPDX-License-Identifier: Apache-2.0
// Workers: the threads of one library. A loop's body gets the index of the thread that runs it, for scratch of its own;
// which thread runs what never reaches a result.
#pragma once

#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace bitcycle::cpu {

class Workers {
 public:
  explicit Workers(int threads)
      : threads_(threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))),
        control_(tbb::global_control::max_allowed_parallelism,
                 std::max(static_cast<std::size_t>(threads_),
                          tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism))),
        arena_(threads_) {}

  int threads() const { return threads_; }

  /// body(thread, index) for index 0..count-1.
  template <typename Body>
  void each(std::int64_t count, const Body& body) {
    if (threads_ == 1 || count <= 1) {
      for (std::int64_t i = 0; i < count; ++i) body(0, i);
      return;
    }
#if defined(__SANITIZE_THREAD__)
    // ThreadSanitizer does not see how the library's oneTBB hands work over, and would report every loop; with threads
    // that it knows it checks what the bodies share.
    std::atomic<std::int64_t> next{0};
    const auto run = [&](int thread) {
      for (std::int64_t i = next++; i < count; i = next++) body(thread, i);
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads_; ++thread) others.emplace_back(run, thread);
    run(0);
    for (auto& other : others) other.join();
#else
    arena_.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<std::int64_t>(0, count, 1),
          [&](const tbb::blocked_range<std::int64_t>& range) {
            const int thread = tbb::this_task_arena::current_thread_index();
            for (std::int64_t i = range.begin(); i < range.end(); ++i) body(thread, i);
          },
          tbb::simple_partitioner());
    });
#endif
  }

  /// body(thread, begin, end) over 0..count-1 in chunks of `grain`.
  template <typename Body>
  void chunks(std::int64_t count, std::int64_t grain, const Body& body) {
    each((count + grain - 1) / grain,
         [&](int thread, std::int64_t chunk) { body(thread, chunk * grain, std::min(count, (chunk + 1) * grain)); });
  }

 private:
  int threads_;
  tbb::global_control control_;
  tbb::task_arena arena_;
};

}  // namespace bitcycle::cpu
