// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <queue>
#include <set>
#include <stdexcept>

#include "sim/device/kernel_entry.h"
#include "sim/program/memory_plan.h"

namespace bitcycle {

Candidates::Candidates(const Program& program, const std::vector<Tensor>& kept)
    : program_(program), taken_(program.nodes().size()), visible_(program.tensors().size()) {
  for (std::size_t id = 0; id < visible_.size(); ++id) {
    const Lifetime lifetime = program.tensors()[id].lifetime;
    visible_[id] = lifetime == Lifetime::kState || lifetime == Lifetime::kReport;
  }
  for (const Tensor tensor : kept) visible_[static_cast<std::size_t>(tensor.id)] = true;
}

namespace {

bool contains(const std::vector<int>& sorted, int node) {
  return std::binary_search(sorted.begin(), sorted.end(), node);
}
bool contains(const std::vector<Tensor>& tensors, Tensor tensor) {
  return std::find(tensors.begin(), tensors.end(), tensor) != tensors.end();
}

}  // namespace

class KernelChoice {
 public:
  /// `not_held`: results that nobody can be asked to hold; matches that would take one are left out.
  KernelChoice(const Program& program, const std::vector<KernelEntry>& table, const std::vector<Tensor>& kept,
               const std::set<std::int32_t>& not_held)
      : program_(program),
        candidates_(program, kept),
        needed_(program.nodes().size()),
        kernels_at_(program.nodes().size()) {
    for (const KernelEntry& entry : table) {
      find_needed();
      for (int node = 0; node < count(); ++node) {
        if (candidates_.taken(node) || !needed_[static_cast<std::size_t>(node)]) continue;
        std::optional<Match> match = entry.pattern(candidates_, node);
        if (!match) continue;
        std::sort(match->nodes.begin(), match->nodes.end());
        std::sort(match->recomputed.begin(), match->recomputed.end());
        if (!stays_inside(*match) || !is_convex(*match)) continue;
        const auto& takes = match->takes;
        if (std::any_of(takes.begin(), takes.end(), [&](Tensor t) { return not_held.count(t.id) != 0; })) continue;
        if (entry.supports != nullptr && !entry.supports(program, *match)) continue;
        const std::size_t kernel = chosen_.size();
        for (const int taken : match->nodes) candidates_.taken_[static_cast<std::size_t>(taken)] = true;
        for (const int at : match->nodes) kernels_at_[static_cast<std::size_t>(at)].push_back(kernel);
        for (const int at : match->recomputed) kernels_at_[static_cast<std::size_t>(at)].push_back(kernel);
        chosen_.push_back({&entry, std::move(*match), {}, {}});
      }
    }
  }

  /// Results that some kernel takes and none holds.
  std::vector<Tensor> missing() const {
    std::set<std::int32_t> held;
    for (const ChosenKernel& kernel : chosen_) {
      for (const Tensor tensor : kernel.match.holds) held.insert(tensor.id);
    }
    std::vector<Tensor> missing;
    for (const ChosenKernel& kernel : chosen_) {
      for (const Tensor tensor : kernel.match.takes) {
        if (held.count(tensor.id) == 0) missing.push_back(tensor);
      }
    }
    return missing;
  }

  std::vector<ChosenKernel> result() {
    find_needed();
    for (int node = 0; node < count(); ++node) {
      if (candidates_.taken(node) || !needed_[static_cast<std::size_t>(node)]) continue;
      throw std::invalid_argument("no kernel for " + node_text(program_.node(node)) + " (node " + std::to_string(node) +
                                  " of program " + program_.name() + ")");
    }
    for (ChosenKernel& kernel : chosen_) find_operands(kernel);
    return in_order();
  }

 private:
  int count() const { return static_cast<int>(program_.nodes().size()); }

  /// A kernel reads `tensor` for one of its nodes, rather than making it itself.
  bool kernel_reads(const ChosenKernel& kernel, Tensor tensor) const {
    const int writer = program_.writer(tensor);
    if (contains(kernel.match.from_memory, tensor)) return true;
    return !contains(kernel.match.nodes, writer) && !contains(kernel.match.recomputed, writer);
  }

  /// A node is needed where somebody looks at one of its results, where a needed node that is not taken reads one, or
  /// where a kernel does.
  void find_needed() {
    for (int node = count() - 1; node >= 0; --node) {
      bool needed = false;
      each_tensor(program_.node(node).operation, [&](const char*, Tensor tensor, Access access) {
        if (access == Access::kRead || needed) return;
        needed = candidates_.is_visible(tensor);
        for (const int reader : program_.readers(tensor)) {
          if (reader <= node) continue;
          needed = needed || (!candidates_.taken(reader) && needed_[static_cast<std::size_t>(reader)]);
          for (const std::size_t kernel : kernels_at_[static_cast<std::size_t>(reader)]) {
            needed = needed || kernel_reads(chosen_[kernel], tensor);
          }
        }
      });
      needed_[static_cast<std::size_t>(node)] = needed;
    }
  }

  /// Results that the kernel cannot write are seen by nobody else.
  bool stays_inside(const Match& match) const {
    for (const int node : match.nodes) {
      bool inside = true;
      each_tensor(program_.node(node).operation, [&](const char*, Tensor tensor, Access access) {
        if (access == Access::kRead || program_.spec(tensor).lifetime == Lifetime::kState) return;
        if (contains(match.makes, tensor)) return;
        const bool held = contains(match.holds, tensor);  // whoever looks at it is given it in the program's form
        if (candidates_.is_visible(tensor) && !held) inside = false;
        for (const int reader : program_.readers(tensor)) {
          if (!candidates_.taken(reader)) inside = inside && contains(match.nodes, reader);
          for (const std::size_t kernel : kernels_at_[static_cast<std::size_t>(reader)]) {
            const bool taken = held && contains(chosen_[kernel].match.takes, tensor);
            inside = inside && (taken || !kernel_reads(chosen_[kernel], tensor));
          }
        }
      });
      if (!inside) return false;
    }
    return true;
  }

  /// Whether a node, as it is executed by now, reads a tensor from memory.
  bool node_reads(int node, Tensor tensor) const {
    const auto& kernels = kernels_at_[static_cast<std::size_t>(node)];
    return !candidates_.taken(node) ||
           std::any_of(kernels.begin(), kernels.end(), [&](std::size_t k) { return kernel_reads(chosen_[k], tensor); });
  }

  /// No node outside depends on the match's results and is needed by the match.
  bool is_convex(const Match& match) const {
    std::set<std::int32_t> tainted;
    std::set<std::int32_t> own;
    for (int node = match.nodes.front(); node <= match.nodes.back(); ++node) {
      const bool mine = contains(match.nodes, node) || contains(match.recomputed, node);
      bool reads_tainted = false, reads_own = false;
      each_tensor(program_.node(node).operation, [&](const char*, Tensor tensor, Access access) {
        if (access == Access::kWrite || (!mine && !node_reads(node, tensor))) return;
        reads_tainted = reads_tainted || tainted.count(tensor.id) != 0;
        reads_own = reads_own || own.count(tensor.id) != 0;
      });
      if (mine && reads_tainted) return false;
      each_tensor(program_.node(node).operation, [&](const char*, Tensor tensor, Access access) {
        if (access == Access::kRead) return;
        if (mine) own.insert(tensor.id);
        if (!mine && (reads_tainted || reads_own)) tainted.insert(tensor.id);
      });
    }
    return true;
  }

  void find_operands(ChosenKernel& kernel) const {
    const auto note = [](std::vector<Tensor>& list, Tensor tensor) {
      if (!contains(list, tensor)) list.push_back(tensor);
    };
    for (const auto* nodes : {&kernel.match.nodes, &kernel.match.recomputed}) {
      for (const int node : *nodes) {
        each_tensor(program_.node(node).operation, [&](const char*, Tensor tensor, Access access) {
          const bool taken = contains(kernel.match.takes, tensor);
          if (access != Access::kWrite && !taken && kernel_reads(kernel, tensor)) note(kernel.reads, tensor);
          if (access == Access::kRead || nodes != &kernel.match.nodes) return;
          const bool state = program_.spec(tensor).lifetime == Lifetime::kState;
          if (state || contains(kernel.match.makes, tensor)) note(kernel.writes, tensor);
        });
      }
    }
  }

  /// By the first node of each, as far as who needs whom allows.
  std::vector<ChosenKernel> in_order() {
    // Results that nobody reads from memory, the kernel itself included, are not written.
    std::set<std::int32_t> read;
    for (const ChosenKernel& kernel : chosen_) {
      for (const Tensor tensor : kernel.reads) read.insert(tensor.id);
      for (const int node : kernel.match.nodes) {
        each_tensor(program_.node(node).operation, [&](const char*, Tensor tensor, Access access) {
          if (access != Access::kWrite && contains(kernel.match.makes, tensor)) read.insert(tensor.id);
        });
      }
    }
    for (ChosenKernel& kernel : chosen_) {
      if (kernel.entry->writes_all) continue;
      std::erase_if(kernel.writes,
                    [&](Tensor tensor) { return read.count(tensor.id) == 0 && !candidates_.is_visible(tensor); });
    }
    const std::size_t size = chosen_.size();
    std::vector<std::set<std::size_t>> after(size);  // kernels that wait for this one
    std::vector<int> waits(size);
    const auto edge = [&](std::size_t first, std::size_t second) {
      if (first != second && after[first].insert(second).second) ++waits[second];
    };
    std::vector<int> holder(program_.tensors().size(), -1);
    for (std::size_t k = 0; k < size; ++k) {
      for (const Tensor tensor : chosen_[k].match.holds) {
        holder[static_cast<std::size_t>(tensor.id)] = static_cast<int>(k);
      }
    }
    for (std::size_t k = 0; k < size; ++k) {
      for (const Tensor tensor : chosen_[k].match.takes) {
        edge(static_cast<std::size_t>(holder[static_cast<std::size_t>(tensor.id)]), k);
      }
    }
    std::vector<std::vector<std::size_t>> touching(program_.tensors().size());
    for (std::size_t k = 0; k < size; ++k) {
      for (const Tensor tensor : chosen_[k].reads) touching[static_cast<std::size_t>(tensor.id)].push_back(k);
      for (const Tensor tensor : chosen_[k].writes) touching[static_cast<std::size_t>(tensor.id)].push_back(k);
    }
    for (std::size_t id = 0; id < touching.size(); ++id) {
      const Tensor tensor{static_cast<std::int32_t>(id)};
      const auto writes = [&](std::size_t k) { return contains(chosen_[k].writes, tensor); };
      for (const std::size_t a : touching[id]) {
        if (!writes(a)) continue;
        for (const std::size_t b : touching[id]) {
          if (a == b) continue;
          if (program_.spec(tensor).lifetime != Lifetime::kState) {
            edge(a, b);  // the only writer
          } else if (first_touch(chosen_[a], tensor) < first_touch(chosen_[b], tensor)) {
            edge(a, b);
          } else {
            edge(b, a);
          }
        }
      }
    }
    const auto key = [&](std::size_t k) {
      return std::pair{chosen_[k].entry->early ? 0 : 1, chosen_[k].match.nodes.front()};
    };
    const auto later = [&](std::size_t a, std::size_t b) { return key(a) > key(b); };
    std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> ready(later);
    for (std::size_t k = 0; k < size; ++k) {
      if (waits[k] == 0) ready.push(k);
    }
    std::vector<ChosenKernel> ordered;
    while (!ready.empty()) {
      const std::size_t k = ready.top();
      ready.pop();
      for (const std::size_t next : after[k]) {
        if (--waits[next] == 0) ready.push(next);
      }
      ordered.push_back(std::move(chosen_[k]));
    }
    if (ordered.size() != size)
      throw std::logic_error("kernels of program " + program_.name() + " wait for each other");
    return ordered;
  }

  /// First node of a kernel that touches a state tensor.
  int first_touch(const ChosenKernel& kernel, Tensor tensor) const {
    for (const auto* nodes : {&kernel.match.nodes, &kernel.match.recomputed}) {
      for (const int node : *nodes) {
        bool touches = false;
        each_tensor(program_.node(node).operation,
                    [&](const char*, Tensor other, Access) { touches = touches || other == tensor; });
        if (touches) return node;
      }
    }
    return count();
  }

  const Program& program_;
  Candidates candidates_;
  std::vector<bool> needed_;                          // by node
  std::vector<std::vector<std::size_t>> kernels_at_;  // by node: kernels that execute it or make its results again
  std::vector<ChosenKernel> chosen_;
};

std::vector<ChosenKernel> choose_kernels(const Program& program, const std::vector<KernelEntry>& table,
                                         const std::vector<Tensor>& kept) {
  std::set<std::int32_t> not_held;
  for (;;) {
    KernelChoice choice(program, table, kept, not_held);
    const std::vector<Tensor> missing = choice.missing();
    if (missing.empty()) return choice.result();
    for (const Tensor tensor : missing) not_held.insert(tensor.id);
  }
}

std::vector<LiveSpan> live_spans(const Program& program, const std::vector<ChosenKernel>& kernels,
                                 const std::vector<Tensor>& kept) {
  std::vector<LiveSpan> live(program.tensors().size());
  const auto touch = [&](Tensor tensor, int event) {
    LiveSpan& span = live[static_cast<std::size_t>(tensor.id)];
    if (span.begin < 0) span.begin = event;
    span.end = event;
  };
  for (int event = 0; event < static_cast<int>(kernels.size()); ++event) {
    for (const Tensor tensor : kernels[static_cast<std::size_t>(event)].reads) touch(tensor, event);
    for (const Tensor tensor : kernels[static_cast<std::size_t>(event)].writes) touch(tensor, event);
  }
  for (const Tensor tensor : kept) {
    live[static_cast<std::size_t>(tensor.id)].end = static_cast<int>(kernels.size());
  }
  return live;
}

}  // namespace bitcycle
