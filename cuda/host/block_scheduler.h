// SPDX-License-Identifier: Apache-2.0
// One block of a kernel on the CPU: its threads are fibres (fibre_switch.h) of one thread, run warp by warp and lane by
// lane in an order that a seed shuffles. Barriers and warp collectives are where fibres change; a barrier that not all
// threads reach, a collective that not all lanes of its mask reach, and lanes that disagree are reported, not waited
// for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace bitcycle::cuda_on_host {

/// A kernel did what a GPU does not promise to survive.
class KernelFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A location in a kernel's source.
struct Site {
  const char* file = "";
  int line = 0;
};

/// What a lane brings to a warp's common operation. The first eight bytes say which operation it is; all lanes of the
/// mask must agree on them.
struct Collective {
  enum Kind : std::uint8_t {
    kShuffle,
    kShuffleFrom,
    kBallot,
    kMatrices,
    kMatricesTransposed,
    kMultiply,
    kMultiplySigned
  };
  struct Operation {
    Kind kind = kShuffle;
    std::uint8_t bytes = 0;     // of a shuffled value: 4 or 8
    std::uint8_t m = 0, n = 0;  // shuffle: lane mask, or lane; multiply: tiles
    std::uint32_t mask = 0;
  } operation;
  const void* input = nullptr;
  const void* input2 = nullptr;
  void* output = nullptr;
};

struct Access {
  Site site;
  std::uintptr_t address = 0;
  std::uint32_t bytes = 0;
  bool shared = false;
};

struct Warp;

struct HostThread {
  struct Copy {
    void* shared;
    const void* global;  // null: zeros
  };
  int index = 0, lane = 0;
  Warp* warp = nullptr;
  void* context = nullptr;  // of fibre_switch.h
  enum State : std::uint8_t { kReady, kAtBarrier, kAtCollective, kDone } state = kDone;
  std::uint64_t generation = 0;  // of the warp's collectives, when it began to wait
  std::vector<Copy> copies;
  std::vector<std::size_t> groups;  // copies before the end of each committed group
  std::vector<Access> accesses;

  /// Does the copies of all committed groups but the last `pending`.
  void finish_copies(std::size_t pending);
};

/// What the lanes of a warp have brought to its next operation, and how many operations there were.
struct Warp {
  std::uint64_t operation = 0;  // of the first that arrived
  std::uint32_t arrived = 0;
  std::uint64_t generation = 0;
  Collective lane[32];
};

/// Memory accesses of a kernel, counted on its first block.
struct AccessCount {
  std::int64_t global_requests = 0, global_sectors = 0, least_sectors = 0;  // sectors of 32 bytes
  std::int64_t shared_requests = 0, shared_cycles = 0, least_cycles = 0;    // 32 banks of 4 bytes
};

struct BlockOptions {
  std::uint64_t seed = 0;  // 0: threads in order
  bool count = false;
};

class Block {
 public:
  static constexpr int kMostThreads = 1024;
  static constexpr std::size_t kStackBytes = 64 * 1024;
  /// Stacks begin this far from one another within a page, so that what lanes use most does not fall into the same few
  /// sets of the caches: an odd number of lines.
  static constexpr std::size_t kStackShift = 7 * 64, kPageBytes = 4096;
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Runs block `index` of `count`. Shared memory is filled with 0xCD before.
  void run(const char* kernel, void (*entry)(const void*), const void* arguments, int index, int count, int threads,
           std::size_t shared_bytes, const BlockOptions& options);

  int index() const { return index_; }
  int count() const { return count_; }
  int threads() const { return threads_; }
  std::byte* shared() { return shared_; }
  void barrier();
  void collective(const Collective& own);
  /// Null is refused here, as the compiler may drop or move a load whose value nobody needs, and a GPU does not.
  void global_access(const void* p, std::size_t bytes, Site site) {
    if (p == nullptr) {
      stopped_ = "a null address is read or written";
      stop();
    }
    if (counting_) note(p, bytes, site, false);
  }
  void shared_access(const void* p, std::size_t bytes, Site site) {
    if (counting_) note(p, bytes, site, true);
  }
  /// Whether the next asynchronous copy is done at once: half of a seed's blocks and copies.
  bool lands_early() {
    if (early_ == 0) return false;
    early_ = early_ * 6364136223846793005U + 1442695040888963407U;
    return (early_ >> 63) != 0;
  }
  /// Reports an address that 16-byte copies and ldmatrix do not take.
  void require_aligned(const void* p) {
    if (reinterpret_cast<std::uintptr_t>(p) % 16 == 0) return;
    stopped_ = "an address of 16 bytes, of cp.async or of ldmatrix is not a multiple of 16 bytes";
    stop();
  }
  const AccessCount& accesses() const { return accesses_; }

 private:
  friend struct Fibre;
  void make_fibre(int thread);
  std::byte* stack_of(int thread);
  HostThread* next_lane();
  void switch_to(HostThread* thread, void** own_context);
  void yield();
  void stop();
  [[noreturn]] void fault(const std::string& text);
  void note(const void* p, std::size_t bytes, Site site, bool shared);
  void count_accesses();
  bool run_warp(int warp);

  std::vector<HostThread> fibres_;
  std::vector<std::unique_ptr<std::byte[]>> stacks_;
  std::vector<Warp> warps_;
  std::vector<int> order_;
  std::unique_ptr<std::byte[]> shared_memory_;  // exactly as large as asked for, so that overruns are seen
  std::size_t shared_bytes_ = 0;
  std::byte* shared_ = nullptr;
  const char* kernel_ = "";
  void (*entry_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  int index_ = 0, count_ = 0, threads_ = 0;
  void* scheduler_ = nullptr;  // its context
  // The warp that runs, the position of its lane in order_, and whether a lane went on in this round and in any.
  int warp_ = 0, lane_ = 0;
  bool again_ = false, moved_ = false;
  std::string stopped_;
  bool counting_ = false;
  std::uint64_t early_ = 0;  // state of the draws of lands_early; 0: never
  AccessCount accesses_;
#if defined(__SANITIZE_ADDRESS__)
  void note_left_stack(void* fake);
  bool scheduler_left_ = false;
#endif
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_bytes_ = 0;
};

/// The block and the thread that this CPU thread runs.
extern constinit thread_local Block* running_block;
extern constinit thread_local HostThread* running_thread;
inline Block& current_block() { return *running_block; }
inline HostThread& current_thread() { return *running_thread; }

}  // namespace bitcycle::cuda_on_host
