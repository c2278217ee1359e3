// SPDX-License-Identifier: Apache-2.0
#include "cuda/host/block_scheduler.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>

#include "cuda/host/fibre_switch.h"
#include "cuda/host/warp_operations.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace bitcycle::cuda_on_host {

constinit thread_local Block* running_block = nullptr;
constinit thread_local HostThread* running_thread = nullptr;

namespace {

/// A sequence for shuffling: splitmix64.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace

void HostThread::finish_copies(std::size_t pending) {
  if (groups.size() <= pending) return;
  const std::size_t finished = groups.size() - pending;
  const std::size_t count = groups[finished - 1];
  for (std::size_t i = 0; i < count; ++i) {
    if (copies[i].global == nullptr) {
      std::memset(copies[i].shared, 0, 16);
    } else {
      std::memcpy(copies[i].shared, copies[i].global, 16);
    }
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(count));
  groups.erase(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(finished));
  for (auto& group : groups) group -= count;
}

Block::Block() = default;
Block::~Block() = default;

/// What a fibre runs, kept out of the header.
struct Fibre {
  static void run(FibreTransfer transfer) {
    *static_cast<void**>(transfer.data) = transfer.fctx;
    Block* block = running_block;
#if defined(__SANITIZE_ADDRESS__)
    block->note_left_stack(nullptr);
#endif
    while (true) {  // a fibre serves one block after another
      block->entry_(block->arguments_);
      running_thread->state = HostThread::kDone;
      block->yield();
    }
  }
};

void Block::make_fibre(int thread) {
  const auto at = static_cast<std::size_t>(thread);
  if (stacks_.size() <= at) stacks_.resize(at + 1);
  if (!stacks_[at]) stacks_[at] = std::make_unique_for_overwrite<std::byte[]>(kStackBytes + kPageBytes);
  fibres_[at].context = make_fibre_context(stack_of(thread), kStackBytes, &Fibre::run);
}

std::byte* Block::stack_of(int thread) {
  const auto at = static_cast<std::size_t>(thread);
  return stacks_[at].get() + at * kStackShift % kPageBytes;
}

/// Leaves the fibre (or the scheduler) whose context is kept in `own_context` for a thread, or for the scheduler.
void Block::switch_to(HostThread* thread, void** own_context) {
  if (thread != nullptr) {
    thread->state = HostThread::kReady;
    running_thread = thread;
  }
  void* const context = thread != nullptr ? thread->context : scheduler_;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  if (thread != nullptr) {
    __sanitizer_start_switch_fiber(&fake, stack_of(thread->index), kStackBytes);
  } else {
    __sanitizer_start_switch_fiber(&fake, scheduler_stack_, scheduler_stack_bytes_);
  }
#endif
  const FibreTransfer back = switch_fibre(context, own_context);
  *static_cast<void**>(back.data) = back.fctx;
#if defined(__SANITIZE_ADDRESS__)
  note_left_stack(fake);
#endif
}

#if defined(__SANITIZE_ADDRESS__)
/// After a switch: the sanitizer is told that it is over, and tells the stack that was left. The scheduler's is kept.
void Block::note_left_stack(void* fake) {
  const void* stack = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(fake, &stack, &bytes);
  if (scheduler_left_) {
    scheduler_stack_ = stack;
    scheduler_stack_bytes_ = bytes;
  }
  scheduler_left_ = false;
}
#endif

/// The next lane of the warp that can go on, in the order of this round; a round in which one went on is followed by
/// another. Null where none can.
HostThread* Block::next_lane() {
  const auto first = static_cast<std::size_t>(warp_) * 32;
  HostThread* const thread = fibres_.data() + first;
  const int* const order = order_.data() + first;
  const std::uint64_t generation = warps_[static_cast<std::size_t>(warp_)].generation;
  while (true) {
    while (++lane_ < 32) {
      HostThread& t = thread[order[lane_]];
      if (t.state == HostThread::kReady || (t.state == HostThread::kAtCollective && t.generation != generation)) {
        again_ = moved_ = true;
        return &t;
      }
    }
    if (!again_) return nullptr;
    again_ = false;
    lane_ = -1;
  }
}

/// In a fibre that cannot go on: its warp's next lane does, or the scheduler where there is none. A lane hands over to
/// the next by itself, since a warp's operation would otherwise take twice as many switches.
void Block::yield() {
  HostThread* own = running_thread;
  HostThread* next = stopped_.empty() ? next_lane() : nullptr;
  if (next == own) {  // it waited, and may go on
    own->state = HostThread::kReady;
    return;
  }
  switch_to(next, &own->context);
}

/// In a fibre that has put what is wrong into stopped_: it never goes on, the scheduler throws. Nothing on the fibre's
/// stack may own memory then.
void Block::stop() {
  while (true) yield();
}

void Block::fault(const std::string& text) {
  for (auto& fibre : fibres_) fibre.context = nullptr;  // what they were in is given up
  running_block = nullptr;
  running_thread = nullptr;
  throw KernelFault(std::string("kernel '") + kernel_ + "', block " + std::to_string(index_) + ": " + text);
}

void Block::barrier() {
  running_thread->state = HostThread::kAtBarrier;
  yield();
}

void Block::collective(const Collective& own) {
  HostThread& t = *running_thread;
  Warp& warp = *t.warp;
  const std::uint32_t mask = own.operation.mask;
  if (((mask >> t.lane) & 1U) == 0) {
    stopped_ = "thread " + std::to_string(t.index) + " calls a warp operation whose mask does not name its lane";
    stop();
  }
  const auto operation = std::bit_cast<std::uint64_t>(own.operation);
  if (warp.arrived == 0) {
    warp.operation = operation;
  } else if (warp.operation != operation) {
    stopped_ =
        "lanes of warp " + std::to_string(t.index / 32) + " are at different warp operations, or with different masks";
    stop();
  }
  warp.lane[t.lane] = own;
  warp.arrived |= 1U << t.lane;
  if (warp.arrived == mask) {
    execute_together(warp, own.operation);
    warp.arrived = 0;
    ++warp.generation;
    return;
  }
  t.generation = warp.generation;
  t.state = HostThread::kAtCollective;
  yield();
}

/// Runs a warp's lanes until none of them can go on. False where nothing moved.
bool Block::run_warp(int warp) {
  warp_ = warp;
  lane_ = -1;
  again_ = moved_ = false;
  HostThread* first = next_lane();
  if (first == nullptr) return false;
#if defined(__SANITIZE_ADDRESS__)
  scheduler_left_ = true;
#endif
  switch_to(first, &scheduler_);
  if (!stopped_.empty()) fault(stopped_);
  return moved_;
}

void Block::run(const char* kernel, void (*entry)(const void*), const void* arguments, int index, int count,
                int threads, std::size_t shared_bytes, const BlockOptions& options) {
  kernel_ = kernel;
  entry_ = entry;
  arguments_ = arguments;
  index_ = index;
  count_ = count;
  threads_ = threads;
  counting_ = options.count;
  early_ = options.seed == 0 ? 0 : (options.seed * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(index)) | 1U;
  stopped_.clear();
  if (threads < 1 || threads > kMostThreads || threads % 32 != 0) {
    fault(std::to_string(threads) + " threads: a block has a multiple of 32, at most 1024");
  }
  if (!shared_memory_ || shared_bytes_ != shared_bytes) {
    shared_memory_ = std::make_unique_for_overwrite<std::byte[]>(shared_bytes + 16);
    shared_bytes_ = shared_bytes;
  }
  // The array of new is aligned to 16 bytes; the 16 more keep a block without shared memory from a null address.
  shared_ = shared_memory_.get();
#if defined(__SANITIZE_ADDRESS__)
  shared_memory_ = std::make_unique_for_overwrite<std::byte[]>(std::max<std::size_t>(shared_bytes, 1));
  shared_ = shared_memory_.get();
#endif
  std::memset(shared_, 0xCD, shared_bytes);
  if (fibres_.size() < static_cast<std::size_t>(threads)) fibres_.resize(static_cast<std::size_t>(threads));
  warps_.assign(static_cast<std::size_t>(threads / 32), Warp{});
  order_.resize(static_cast<std::size_t>(threads));
  std::vector<int> warp_order(static_cast<std::size_t>(threads / 32));
  for (std::size_t w = 0; w < warp_order.size(); ++w) warp_order[w] = static_cast<int>(w);
  for (int i = 0; i < threads; ++i) order_[static_cast<std::size_t>(i)] = i % 32;
  std::uint64_t random = options.seed + static_cast<std::uint64_t>(index) * 0x9E37U;
  const auto shuffle = [&](int* begin, std::size_t size) {
    for (std::size_t i = size; i > 1; --i) std::swap(begin[i - 1], begin[next_random(random) % i]);
  };
  for (int i = 0; i < threads; ++i) {
    HostThread& t = fibres_[static_cast<std::size_t>(i)];
    t.index = i;
    t.lane = i % 32;
    t.warp = &warps_[static_cast<std::size_t>(i / 32)];
    t.state = HostThread::kReady;
    t.copies.clear();
    t.groups.clear();
    t.accesses.clear();
    if (t.context == nullptr) make_fibre(i);
  }
  running_block = this;
  while (true) {
    if (options.seed != 0) {
      shuffle(warp_order.data(), warp_order.size());
      for (int w = 0; w < threads / 32; ++w) shuffle(order_.data() + w * 32, 32);
    }
    bool moved = false;
    for (const int warp : warp_order) moved = run_warp(warp) || moved;
    int waiting = 0, done = 0, stuck = -1;
    for (int i = 0; i < threads; ++i) {
      const HostThread& t = fibres_[static_cast<std::size_t>(i)];
      waiting += t.state == HostThread::kAtBarrier ? 1 : 0;
      done += t.state == HostThread::kDone ? 1 : 0;
      if (t.state == HostThread::kAtCollective) stuck = i;
    }
    if (done == threads) break;
    if (stuck >= 0) {
      fault("warp " + std::to_string(stuck / 32) +
            " waits in a warp operation for lanes of its mask that never come to it");
    }
    if (done > 0) {
      fault("a barrier is reached by " + std::to_string(waiting) + " of " + std::to_string(threads) +
            " threads; the others have ended");
    }
    if (!moved) fault("no thread can go on");
    for (int i = 0; i < threads; ++i) fibres_[static_cast<std::size_t>(i)].state = HostThread::kReady;
  }
  if (counting_) count_accesses();
  running_block = nullptr;
  running_thread = nullptr;
}

void Block::note(const void* p, std::size_t bytes, Site site, bool shared) {
  running_thread->accesses.push_back(
      {site, reinterpret_cast<std::uintptr_t>(p), static_cast<std::uint32_t>(bytes), shared});
}

/// The n-th access of each lane at one location of the source is one request of the warp.
void Block::count_accesses() {
  accesses_ = {};
  for (int warp = 0; warp < threads_ / 32; ++warp) {
    std::map<std::tuple<const char*, int, bool, int>, std::vector<Access>> requests;
    for (int lane = 0; lane < 32; ++lane) {
      std::map<std::tuple<const char*, int, bool>, int> ordinal;
      for (const Access& access :
           fibres_[static_cast<std::size_t>(warp) * 32 + static_cast<std::size_t>(lane)].accesses) {
        const int n = ordinal[{access.site.file, access.site.line, access.shared}]++;
        requests[{access.site.file, access.site.line, access.shared, n}].push_back(access);
      }
    }
    for (const auto& [key, lanes] : requests) {
      if (std::get<2>(key)) {
        // 128 bytes a cycle: lanes in groups of 128 / bytes; a cycle more for each further word of the busiest bank.
        const std::size_t group = std::max<std::size_t>(1, 128 / std::max<std::uint32_t>(lanes[0].bytes, 4));
        ++accesses_.shared_requests;
        for (std::size_t first = 0; first < lanes.size(); first += group) {
          std::map<std::uintptr_t, std::set<std::uintptr_t>> words;
          for (std::size_t l = first; l < std::min(lanes.size(), first + group); ++l) {
            for (std::uintptr_t word = lanes[l].address / 4; word <= (lanes[l].address + lanes[l].bytes - 1) / 4;
                 ++word) {
              words[word % 32].insert(word);
            }
          }
          std::size_t busiest = 1;
          for (const auto& [bank, distinct] : words) busiest = std::max(busiest, distinct.size());
          accesses_.shared_cycles += static_cast<std::int64_t>(busiest);
          ++accesses_.least_cycles;
        }
      } else {
        std::set<std::uintptr_t> sectors, bytes;
        for (const Access& access : lanes) {
          for (std::uintptr_t byte = access.address; byte < access.address + access.bytes; ++byte) {
            sectors.insert(byte / 32);
            bytes.insert(byte);
          }
        }
        ++accesses_.global_requests;
        accesses_.global_sectors += static_cast<std::int64_t>(sectors.size());
        accesses_.least_sectors += static_cast<std::int64_t>((bytes.size() + 31) / 32);
      }
    }
  }
}

}  // namespace bitcycle::cuda_on_host
