// SPDX-License-Identifier: Apache-2.0
// Work on each of many images by a few threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace bitcycle {

/// make() gives each thread what it works with; act(worker, i) is called once for each i below `count`, in any order.
/// Throws the error of the smallest i whose act() threw; later ones may then be left out.
template <typename Make, typename Act>
void for_each_image(std::int64_t count, int threads, Make make, Act act) {
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  std::int64_t first_error = count;
  const auto work = [&] {
    try {
      auto worker = make();
      for (std::int64_t i = next++; i < count; i = next++) {
        try {
          act(worker, i);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (i < first_error) error = std::current_exception();
          if (i < first_error) first_error = i;
          next = count;
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  others.clear();
  if (error) std::rethrow_exception(error);
}

}  // namespace bitcycle
