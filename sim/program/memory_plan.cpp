// SPDX-License-Identifier: Apache-2.0
#include "sim/program/memory_plan.h"

#include <algorithm>
#include <stdexcept>

namespace bitcycle {
namespace {

constexpr std::size_t kShared = 4096;  // bytes from which sharing is worth the search

std::size_t aligned(std::size_t bytes) {
  return (bytes + TensorPlan::kAlignment - 1) / TensorPlan::kAlignment * TensorPlan::kAlignment;
}

/// Neighbours that are allocated together.
struct Block {
  std::vector<Tensor> tensors;
  std::size_t bytes = 0, offset = 0;
  LiveSpan live;
};

/// Lists of the program first, each tensor once, then the others.
template <typename Wanted>
std::vector<Block> blocks_of(const Program& program, const Wanted& wanted) {
  std::vector<Block> blocks;
  std::vector<bool> done(program.tensors().size());
  const auto add = [&](const std::vector<Tensor>& tensors) {
    Block block;
    for (const Tensor tensor : tensors) {
      const auto id = static_cast<std::size_t>(tensor.id);
      if (done[id] || !wanted(tensor)) continue;
      done[id] = true;
      block.tensors.push_back(tensor);
      block.bytes += aligned(program.spec(tensor).bytes());
    }
    if (!block.tensors.empty()) blocks.push_back(std::move(block));
  };
  for (const Node& node : program.nodes()) each_list(node.operation, add);
  for (std::size_t i = 0; i < program.tensors().size(); ++i) add({Tensor{static_cast<std::int32_t>(i)}});
  return blocks;
}

void assign(const Program& program, const Block& block, TensorPlan& plan) {
  std::size_t offset = block.offset;
  for (const Tensor tensor : block.tensors) {
    plan.offset[static_cast<std::size_t>(tensor.id)] = offset;
    offset += aligned(program.spec(tensor).bytes());
  }
  plan.bytes = std::max(plan.bytes, offset);
}

TensorPlan empty_plan(const Program& program) {
  TensorPlan plan;
  plan.offset.assign(program.tensors().size(), TensorPlan::kNowhere);
  return plan;
}

bool meet(const LiveSpan& a, const LiveSpan& b) { return a.begin <= b.end && b.begin <= a.end; }

}  // namespace

std::vector<LiveSpan> live_spans(const Program& program, const std::vector<Tensor>& kept) {
  std::vector<LiveSpan> live(program.tensors().size());
  const int last = static_cast<int>(program.nodes().size());
  for (int number = 0; number < last; ++number) {
    each_tensor(program.node(number).operation, [&](const char*, Tensor tensor, Access) {
      LiveSpan& span = live[static_cast<std::size_t>(tensor.id)];
      if (span.begin < 0) span.begin = number;
      span.end = number;
    });
  }
  for (const Tensor tensor : kept) live[static_cast<std::size_t>(tensor.id)].end = last;
  return live;
}

TensorPlan plan_step(const Program& program, const std::vector<LiveSpan>& live) {
  std::vector<Block> blocks = blocks_of(program, [&](Tensor tensor) {
    return program.spec(tensor).lifetime == Lifetime::kStep && live[static_cast<std::size_t>(tensor.id)].begin >= 0;
  });
  for (Block& block : blocks) {
    block.live = live[static_cast<std::size_t>(block.tensors.front().id)];
    for (const Tensor tensor : block.tensors) {
      const LiveSpan& span = live[static_cast<std::size_t>(tensor.id)];
      block.live.begin = std::min(block.live.begin, span.begin);
      block.live.end = std::max(block.live.end, span.end);
    }
  }
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.bytes > b.bytes; });
  TensorPlan plan = empty_plan(program);
  for (Block& block : blocks) {
    if (block.tensors.size() == 1) continue;
    block.offset = plan.bytes;
    assign(program, block, plan);
  }
  plan.list_bytes = plan.bytes;
  std::vector<const Block*> large;
  std::size_t behind = plan.list_bytes;  // small ones lie behind the large ones, each for itself
  for (Block& block : blocks) {
    if (block.tensors.size() > 1) continue;
    if (block.bytes < kShared) {
      block.offset = behind;
      behind += block.bytes;
    } else {
      // Blocks that live at the same time, by offset; the first gap between them that is wide enough.
      std::vector<const Block*> others;
      for (const Block* other : large) {
        if (meet(other->live, block.live)) others.push_back(other);
      }
      std::sort(others.begin(), others.end(), [](const Block* a, const Block* b) { return a->offset < b->offset; });
      std::size_t offset = plan.list_bytes;
      for (const Block* other : others) {
        if (offset + block.bytes <= other->offset) break;
        offset = std::max(offset, other->offset + other->bytes);
      }
      block.offset = offset;
      large.push_back(&block);
      behind = std::max(behind, block.offset + block.bytes);
    }
    assign(program, block, plan);
  }
  return plan;
}

TensorPlan plan_side_by_side(const Program& program, Lifetime lifetime) {
  std::vector<Block> blocks =
      blocks_of(program, [&](Tensor tensor) { return program.spec(tensor).lifetime == lifetime; });
  TensorPlan plan = empty_plan(program);
  for (Block& block : blocks) {
    block.offset = plan.bytes;
    assign(program, block, plan);
  }
  return plan;
}

StatePlan::StatePlan(const std::vector<const Program*>& programs) {
  for (const Program* program : programs) {
    const TensorPlan plan = plan_side_by_side(*program, Lifetime::kState);
    std::map<std::size_t, const TensorSpec*> ascending;  // neighbours stay neighbours
    for (std::size_t id = 0; id < program->tensors().size(); ++id) {
      if (plan.offset[id] != TensorPlan::kNowhere) ascending.emplace(plan.offset[id], &program->tensors()[id]);
    }
    for (const auto& [offset, spec] : ascending) {
      if (allocations.count(spec->name) != 0) {
        allocation(*spec);
        continue;
      }
      allocations.emplace(spec->name, Allocation{*spec, bytes});
      bytes += aligned(spec->bytes());
    }
  }
}

const StatePlan::Allocation& StatePlan::allocation(const std::string& name) const {
  const auto found = allocations.find(name);
  if (found == allocations.end()) throw std::invalid_argument("the state has no tensor '" + name + "'");
  return found->second;
}

const StatePlan::Allocation& StatePlan::allocation(const TensorSpec& spec) const {
  const Allocation& of = allocation(spec.name);
  if (of.spec.element == spec.element && of.spec.shape == spec.shape) return of;
  throw std::invalid_argument("the state's tensor '" + spec.name + "' is " + of.spec.text() + ", the program's " +
                              spec.text());
}

}  // namespace bitcycle
