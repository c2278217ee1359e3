// SPDX-License-Identifier: Apache-2.0
// The memory plan: tensors that live at the same time never share memory, others do.
#include "nn/layers/memory_plan.h"

#include <gtest/gtest.h>

#include <array>

#include "sim/number/philox.h"

namespace bitcycle {
namespace {

struct Tensor {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  int begin = 0, end = 0;
};

bool overlap_in_time(const Tensor& a, const Tensor& b) { return a.begin <= b.end && b.begin <= a.end; }
bool overlap_in_memory(const Tensor& a, const Tensor& b) {
  return a.data < b.data + b.bytes && b.data < a.data + a.bytes;
}

TEST(ScratchPlan, TensorsThatLiveTogetherNeverShareMemory) {
  const auto backend = make_reference_backend();
  const auto stream = philox_stream(5, 0, RandomPurpose::kSyntheticData, 0);
  std::array<Tensor, 60> tensors;
  ScratchPlan plan;
  std::size_t sum = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Tensor& tensor = tensors[i];
    const PhiloxBlock random = philox_block(stream, i);
    tensor.bytes = 1 + bounded(random.word[0], 4096);
    tensor.begin = static_cast<int>(bounded(random.word[1], 40));
    tensor.end = tensor.begin + static_cast<int>(bounded(random.word[2], 6));
    sum += tensor.bytes;
    plan.add(&tensor.data, tensor.bytes, tensor.begin, tensor.end);
  }
  plan.allocate(*backend);
  for (const auto& a : tensors) {
    for (const auto& b : tensors) {
      if (&a == &b || !overlap_in_time(a, b)) continue;
      EXPECT_FALSE(overlap_in_memory(a, b));
    }
  }
  EXPECT_LT(plan.bytes(), sum / 2);
}

TEST(ScratchPlan, ChainOfTensorsNeedsTwoSlots) {
  const auto backend = make_reference_backend();
  std::array<std::byte*, 20> chain{};
  ScratchPlan plan;
  for (int i = 0; i < 20; ++i) plan.add(&chain[static_cast<std::size_t>(i)], 1024, i, i + 1);
  plan.allocate(*backend);
  EXPECT_EQ(plan.bytes(), 2048U);
}

TEST(RecordArena, HostSeesWhatTheDeviceHolds) {
  const auto backend = make_reference_backend();
  RecordArena records;
  Range* range = nullptr;
  const Range* host_range = nullptr;
  double* numbers = nullptr;
  const double* host_numbers = nullptr;
  records.add(&range, &host_range, 1);
  records.add(&numbers, &host_numbers, 3);
  records.allocate(*backend);
  const Range written{-1.0F, 2.0F};
  const double values[3] = {1.0, 2.0, 3.0};
  backend->to_device(range, &written, sizeof written);
  backend->to_device(numbers, values, sizeof values);
  records.fetch(*backend);
  EXPECT_EQ(host_range->lo, -1.0F);
  EXPECT_EQ(host_range->hi, 2.0F);
  EXPECT_EQ(host_numbers[2], 3.0);
}

}  // namespace
}  // namespace bitcycle
