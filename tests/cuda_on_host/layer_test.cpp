// SPDX-License-Identifier: Apache-2.0
// The host execution layer finds what it is there to find: kernels that are wrong in ways that a GPU may hide fail, and
// the intrinsics are those of the PTX ISA.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <vector>

#include "cuda/host/host_runtime.h"
#include "cuda/kernels/device.h"
#include "cuda/kernels/kernel_entry.h"
#include "sim/number/philox.h"

namespace bitcycle::cuda_on_host {
namespace {

using ::testing::HasSubstr;

template <typename Kernel>
void run_block(const typename Kernel::Args& args, std::size_t shared_bytes, std::uint64_t seed,
               AccessCount* count = nullptr) {
  Block block;
  block.run(Kernel::kName, &kernel_entry<Kernel>, &args, 0, 1, Kernel::kThreads, shared_bytes,
            {seed, count != nullptr});
  if (count != nullptr) *count = block.accesses();
}

/// Thread t gives its number to the thread across the block, through shared memory.
template <bool Barrier>
struct Exchange {
  static constexpr const char* kName = "exchange";
  static constexpr int kThreads = 128;
  struct Args {
    std::int32_t* out;
  };
  static void run(const Args& a) {
    auto* shared = shared_memory<std::int32_t>(0);
    shared_store(shared + thread_index(), thread_index());
    if (Barrier) sync_threads();
    global_store(a.out + thread_index(), shared_load(shared + kThreads - 1 - thread_index()));
  }
};

template <bool Barrier>
int wrong_exchanges(std::uint64_t seed) {
  std::vector<std::int32_t> out(128);
  run_block<Exchange<Barrier>>({out.data()}, 128 * sizeof(std::int32_t), seed);
  int wrong = 0;
  for (int t = 0; t < 128; ++t) wrong += out[static_cast<std::size_t>(t)] != 127 - t ? 1 : 0;
  return wrong;
}

TEST(HostLayer, ARemovedBarrierGivesWrongResultsInEveryOrder) {
  for (const std::uint64_t seed : {0, 1, 2, 3, 4}) {
    EXPECT_EQ(wrong_exchanges<true>(seed), 0) << seed;
    EXPECT_GT(wrong_exchanges<false>(seed), 0) << seed;
  }
}

/// Half of the threads leave before a barrier.
struct EarlyLeave {
  static constexpr const char* kName = "early leave";
  static constexpr int kThreads = 64;
  struct Args {
    int unused;
  };
  static void run(const Args&) {
    if (thread_index() >= 32) return;
    sync_threads();
  }
};

template <typename Kernel>
std::string fault_of(const typename Kernel::Args& args, std::size_t shared_bytes) {
  try {
    run_block<Kernel>(args, shared_bytes, 0);
  } catch (const KernelFault& fault) {
    return fault.what();
  }
  return "no fault";
}

TEST(HostLayer, ABarrierThatNotAllReachIsReported) {
  EXPECT_THAT(fault_of<EarlyLeave>({0}, 0),
              HasSubstr("'early leave', block 0: a barrier is reached by 32 of 64 threads"));
}

/// Sum over a warp by shuffles. Mask 0: the right one; 1: names lanes that never come; 2: leaves out half of the lanes.
template <int Mask>
struct WarpSum {
  static constexpr const char* kName = "warp sum";
  static constexpr int kThreads = 32;
  struct Args {
    std::int32_t* out;
  };
  static void run(const Args& a) {
    if (Mask == 1 && lane_index() >= 16) return;
    std::int32_t sum = lane_index();
    for (int m = 16; m > 0; m /= 2) sum += shuffle_xor(Mask == 2 ? 0x0000FFFFU : 0xFFFFFFFFU, sum, m);
    global_store(a.out + lane_index(), sum);
  }
};

TEST(HostLayer, AWrongMaskIsReported) {
  std::array<std::int32_t, 32> out{};
  EXPECT_EQ(fault_of<WarpSum<0>>({out.data()}, 0), "no fault");
  for (const std::int32_t sum : out) EXPECT_EQ(sum, 31 * 32 / 2);
  EXPECT_THAT(fault_of<WarpSum<1>>({out.data()}, 0), HasSubstr("lanes of its mask that never come"));
  EXPECT_THAT(fault_of<WarpSum<2>>({out.data()}, 0), HasSubstr("mask does not name its lane"));
}

/// After a fault the layer goes on with the next block.
TEST(HostLayer, AFaultDoesNotSpoilWhatRunsNext) {
  Block block;
  const EarlyLeave::Args bad{0};
  EXPECT_THROW(block.run("early leave", &kernel_entry<EarlyLeave>, &bad, 0, 1, 64, 0, {}), KernelFault);
  std::vector<std::int32_t> out(128);
  const Exchange<true>::Args good{out.data()};
  block.run("exchange", &kernel_entry<Exchange<true>>, &good, 0, 1, 128, 512, {});
  for (int t = 0; t < 128; ++t) EXPECT_EQ(out[static_cast<std::size_t>(t)], 127 - t);
}

/// d (16 x 8) = a (16 x 32) b (32 x 8), b given as its columns: fragments by ldmatrix from shared memory, as the
/// products load them. Fault 1: rows 8..15 of a are loaded in place of rows 0..7 and the other way round.
template <bool Signed, int Fault>
struct SmallProduct {
  static constexpr const char* kName = "small product";
  static constexpr int kThreads = 32;
  struct Args {
    const std::uint8_t *a, *b;
    std::int32_t* d;
  };
  static void run(const Args& args) {
    auto* shared = shared_memory<std::uint8_t>(0);
    const int lane = lane_index();
    for (int i = lane; i < 16 * 32; i += 32) shared_store(shared + i / 32 * 48 + i % 32, global_load(args.a + i));
    for (int i = lane; i < 16 * 32; i += 32) {  // a second tile of columns, zeros
      shared_store(shared + 768 + i / 32 * 48 + i % 32, i < 256 ? global_load(args.b + i) : std::uint8_t{0});
    }
    sync_threads();
    std::uint32_t a[1][4], b[2][2], r[4];
    const int row = Fault == 1 ? (lane % 16 + 8) % 16 : lane % 16;
    load_matrices(a[0], shared + row * 48 + lane / 16 * 16);
    load_matrices(r, shared + 768 + (lane / 16 * 8 + lane % 8) * 48 + lane / 8 % 2 * 16);
    b[0][0] = r[0];
    b[0][1] = r[1];
    b[1][0] = r[2];
    b[1][1] = r[3];
    std::int32_t d[1][2][4] = {};
    multiply_tiles<Signed>(d, a, b);
    for (int j = 0; j < 4; ++j) {
      global_store(args.d + (lane / 4 + j / 2 * 8) * 8 + lane % 4 * 2 + j % 2, d[0][0][j]);
    }
  }
};

template <bool Signed, int Fault>
int wrong_products() {
  const PhiloxStream stream = philox_stream(3, 0, RandomPurpose::kSyntheticData, 1);
  std::vector<std::uint8_t> a(16 * 32), b(8 * 32);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<std::uint8_t>(philox_word(stream, i));
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<std::uint8_t>(philox_word(stream, 1000 + i));
  std::vector<std::int32_t> d(16 * 8);
  run_block<SmallProduct<Signed, Fault>>({a.data(), b.data(), d.data()}, 1536, 0);
  int wrong = 0;
  for (std::size_t r = 0; r < 16; ++r) {
    for (std::size_t c = 0; c < 8; ++c) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < 32; ++k) {
        sum += a[r * 32 + k] *
               (Signed ? std::int32_t{static_cast<std::int8_t>(b[c * 32 + k])} : std::int32_t{b[c * 32 + k]});
      }
      wrong += d[r * 8 + c] != sum ? 1 : 0;
    }
  }
  return wrong;
}

TEST(HostLayer, TensorCoreProductsAreExactAndASwappedFragmentRowIsSeen) {
  EXPECT_EQ((wrong_products<false, 0>()), 0);
  EXPECT_EQ((wrong_products<true, 0>()), 0);
  EXPECT_GT((wrong_products<false, 1>()), 100);
}

/// Copies that nobody waits for have not happened.
template <bool Wait>
struct AsyncCopy {
  static constexpr const char* kName = "async copy";
  static constexpr int kThreads = 32;
  struct Args {
    const std::uint8_t* in;
    std::uint8_t* out;
  };
  static void run(const Args& a) {
    auto* shared = shared_memory<std::uint8_t>(0);
    async_copy16(shared + 16 * lane_index(), a.in + 16 * lane_index(), lane_index() != 3);
    async_commit();
    if (Wait) async_wait<0>();
    sync_threads();
    for (int i = 0; i < 16; ++i)
      global_store(a.out + 16 * lane_index() + i, shared_load(shared + 16 * lane_index() + i));
  }
};

TEST(HostLayer, AsynchronousCopiesArriveWhenTheyAreWaitedFor) {
  alignas(16) std::array<std::uint8_t, 512> in{}, out{};
  std::iota(in.begin(), in.end(), std::uint8_t{1});
  run_block<AsyncCopy<true>>({in.data(), out.data()}, 512, 0);
  for (std::size_t i = 0; i < 512; ++i) EXPECT_EQ(out[i], i / 16 == 3 ? 0 : in[i]);
  run_block<AsyncCopy<false>>({in.data(), out.data()}, 512, 0);
  for (const std::uint8_t byte : out) EXPECT_EQ(byte, 0xCD);  // poison
}

struct Misaligned {
  static constexpr const char* kName = "misaligned";
  static constexpr int kThreads = 32;
  struct Args {
    const std::uint8_t* in;
  };
  static void run(const Args& a) { async_copy16(shared_memory<std::uint8_t>(16 * lane_index()), a.in + 8, true); }
};

/// Loads a word that it does not need.
struct NullLoad {
  static constexpr const char* kName = "null load";
  static constexpr int kThreads = 32;
  struct Args {
    const std::uint32_t* in;
  };
  static void run(const Args& a) { static_cast<void>(global_load(a.in)); }
};

TEST(HostLayer, AnAddressThatAGpuWouldRefuseIsReported) {
  alignas(16) std::array<std::uint8_t, 64> in{};
  EXPECT_THAT(fault_of<Misaligned>({in.data()}, 512), HasSubstr("not a multiple of 16 bytes"));
  EXPECT_THAT(fault_of<NullLoad>({nullptr}, 0), HasSubstr("a null address"));
}

/// Word t * Stride of shared and of global memory.
template <int Stride>
struct Strided {
  static constexpr const char* kName = "strided";
  static constexpr int kThreads = 32;
  struct Args {
    std::int32_t* memory;
  };
  static void run(const Args& a) {
    shared_store(shared_memory<std::int32_t>(0) + lane_index() * Stride, 1);
    global_store(a.memory + lane_index() * Stride, 1);
  }
};

TEST(HostLayer, BankConflictsAndUncoalescedAccessesAreCounted) {
  alignas(64) static std::array<std::int32_t, 1024> memory{};
  AccessCount count;
  run_block<Strided<1>>({memory.data()}, 4096, 0, &count);
  EXPECT_EQ(count.shared_cycles, 1);
  EXPECT_EQ(count.global_sectors, 4);
  EXPECT_EQ(count.least_sectors, 4);
  run_block<Strided<32>>({memory.data()}, 4096, 0, &count);
  EXPECT_EQ(count.shared_cycles, 32);
  EXPECT_EQ(count.least_cycles, 1);
  EXPECT_EQ(count.global_sectors, 32);
}

#if defined(__SANITIZE_ADDRESS__)
/// The thread after the last one's word: shared memory ends where the block's does.
struct Overrun {
  static constexpr const char* kName = "overrun";
  static constexpr int kThreads = 32;
  struct Args {
    std::int32_t* out;
    bool shared;
  };
  static void run(const Args& a) {
    std::int32_t* to = a.shared ? shared_memory<std::int32_t>(0) : a.out;
    global_store(to + thread_index() + 1, 1);
  }
};

TEST(HostLayerDeathTest, AccessesBeyondSharedAndGlobalMemoryAreFound) {
  std::vector<std::int32_t> out(32);
  EXPECT_DEATH(run_block<Overrun>({out.data(), true}, 128, 0), "heap-buffer-overflow");
  EXPECT_DEATH(run_block<Overrun>({out.data(), false}, 0, 0), "heap-buffer-overflow");
}
#endif

TEST(HostLayer, BytesArePermutedAndMultipliedAsPtxSays) {
  EXPECT_EQ(permute_bytes(0x33221100U, 0x77665544U, 0x6420U), 0x66442200U);
  EXPECT_EQ(permute_bytes(0x33221180U, 0x77665544U, 0x8881U), 0xFFFFFF11U);
  EXPECT_EQ(dot_bytes(0xFFFFFFFFU, 0xFFFFFFFFU, 7U), 4U * 255U * 255U + 7U);
}

}  // namespace
}  // namespace bitcycle::cuda_on_host
