// SPDX-License-Identifier: Apache-2.0
// A training step in its steady state allocates nothing: every operator new and every aligned_alloc of this process is
// counted, which is what Scratch grows by. What oneTBB takes from its own pools for a parallel loop's tasks passes
// through neither. Sanitizers have allocators of their own: there the tests are skipped.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "sim/cpu/scratch.h"
#include "training_fixture.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<std::int64_t> allocations{0};

[[maybe_unused]] void* counted(std::size_t bytes, std::size_t alignment) {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  void* data = alignment == 0 ? std::malloc(bytes == 0 ? 1 : bytes)
                              : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BITCYCLE_COUNTS 1
void* operator new(std::size_t bytes) { return counted(bytes, 0); }
void* operator new[](std::size_t bytes) { return counted(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes, 0); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes, 0); }
extern "C" void* __libc_memalign(std::size_t alignment, std::size_t bytes) noexcept;
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  return __libc_memalign(alignment, bytes);
}
#endif

namespace bitcycle::test {
namespace {

#if defined(BITCYCLE_COUNTS)
#define SKIP_WHERE_NOTHING_COUNTS()
#else
#define SKIP_WHERE_NOTHING_COUNTS() GTEST_SKIP() << "allocations are not counted under a sanitizer"
#endif

std::int64_t allocations_of_steps_3_to_5(Config config, Isa isa, int threads) {
  const auto device = make_cpu_device(isa, threads);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, *device);
  set_initial_state(run, config);
  for (std::int64_t step = 0; step < 3; ++step) run.step(step);
  allocations = 0;
  counting = true;
  for (std::int64_t step = 3; step < 6; ++step) run.step(step);
  counting = false;
  return allocations;
}

TEST(Allocation, TheCounterCounts) {
  SKIP_WHERE_NOTHING_COUNTS();
  allocations = 0;
  counting = true;
  const auto number = std::make_unique<int>(3);
  counting = false;
  EXPECT_EQ(allocations, 1);
  EXPECT_EQ(*number, 3);
  allocations = 0;
  counting = true;
  cpu::Scratch<float> scratch;
  scratch.need(100);
  scratch.need(50);
  counting = false;
  EXPECT_EQ(allocations, 1);
}

TEST(Allocation, AStepInTheSteadyStateAllocatesNothing) {
  SKIP_WHERE_NOTHING_COUNTS();
  Config config = short_config(6, 4);
  for (const auto error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    config.precision.error_weights = error_weights;
    for (const Isa isa : available_isas()) {
      EXPECT_EQ(allocations_of_steps_3_to_5(config, isa, 1), 0) << isa_name(isa);
      EXPECT_EQ(allocations_of_steps_3_to_5(config, isa, 2), 0) << isa_name(isa) << ", 2 threads";
    }
  }
}

TEST(Allocation, AStepOfWideOrUnquantisedLayersAllocatesNothing) {
  SKIP_WHERE_NOTHING_COUNTS();
  for (const auto& [forward, gradient] : {std::pair{BitWidth::integer(16), BitWidth::integer(16)},
                                          {BitWidth::integer(8), BitWidth::integer(32)},
                                          {BitWidth::float32(), BitWidth::float32()}}) {
    Config config = short_config(6, 2);
    config.precision.forward = ScheduleSpec{"constant", {}, forward, 1, 6};
    config.precision.gradient = ScheduleSpec{"constant", {}, gradient, 1, 6};
    EXPECT_EQ(allocations_of_steps_3_to_5(config, Isa::kAuto, 1), 0) << forward.text() << " " << gradient.text();
    EXPECT_EQ(allocations_of_steps_3_to_5(config, Isa::kAuto, 2), 0) << forward.text() << " " << gradient.text();
  }
}

TEST(Allocation, AStepWithAnOverriddenLayerAllocatesNothing) {
  SKIP_WHERE_NOTHING_COUNTS();
  Config config = short_config(6, 2);
  config.precision.layers = {{"group2_*", ScheduleSpec{"constant", {}, BitWidth::integer(4), 1, 6}, {}}};
  EXPECT_EQ(allocations_of_steps_3_to_5(config, Isa::kAuto, 1), 0);
}

}  // namespace
}  // namespace bitcycle::test
