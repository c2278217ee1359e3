// SPDX-License-Identifier: Apache-2.0
#include "nn/train/lockstep.h"

#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "nn/data/dataset.h"
#include "nn/run/initial_state.h"
#include "nn/run/network_run.h"

namespace bitcycle {
namespace {

using Bytes = std::vector<std::byte>;

std::string text_of(const std::byte* bytes, std::size_t each, bool is_float) {
  std::string hex;
  for (std::size_t i = each; i-- > 0;) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(bytes[i]));
    hex += two;
  }
  if (!is_float) return "0x" + hex;
  float value = 0.0F;
  std::memcpy(&value, bytes, sizeof value);
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return std::string(text) + " (0x" + hex + ")";
}

/// One device's side: its step, and the tensors that wait for the other side's.
class Side {
 public:
  Side(const Config& config, const Dataset& dataset, Device& device) : run_(config, dataset, device) {
    set_initial_state(run_, config);
  }
  NetworkRun& run() { return run_; }
  void begin(std::int64_t step) {
    executable_ = &run_.begin(step);
    program_ = &run_.network_of(step).program;
    next_ = 0;
  }
  const Program& program() const { return *program_; }
  Executable& executable() { return *executable_; }
  std::set<std::string> written() const {
    std::set<std::string> names;
    for (const KernelUse& kernel : executable_->kernels()) {
      for (const Tensor tensor : kernel.writes) names.insert(program().spec(tensor).name);
    }
    return names;
  }
  /// Executes the next kernel and reads what it wrote of `wanted`. False: there was none.
  bool advance(const std::set<std::string>& wanted) {
    if (!executable_->advance()) return false;
    for (const Tensor tensor : executable_->kernels()[next_].writes) {
      const TensorSpec& spec = program().spec(tensor);
      if (wanted.count(spec.name) == 0) continue;
      Bytes& bytes = found[spec.name].emplace_back(spec.bytes(), std::byte{0});
      executable_->read(tensor, bytes.data());
    }
    ++next_;
    return true;
  }
  std::size_t next() const { return next_; }

  /// By name: programs of devices that keep images have other tensors. State may be written several times in a step.
  std::map<std::string, std::deque<Bytes>> found;

 private:
  NetworkRun run_;
  Executable* executable_ = nullptr;
  const Program* program_ = nullptr;
  std::size_t next_ = 0;
};

class Lockstep {
 public:
  Lockstep(const Config& config, Device& first, Device& second)
      : dataset_(load_dataset(config)), first_(config, dataset_, first), second_(config, dataset_, second) {}

  /// False: they differ.
  bool step(std::int64_t number, LockstepResult& result) {
    first_.begin(number);
    second_.begin(number);
    std::set<std::string> both;
    const auto other = second_.written();
    for (const auto& name : first_.written()) {
      if (other.count(name) != 0) both.insert(name);
    }
    while (first_.advance(both)) {
      const KernelUse& kernel = first_.executable().kernels()[first_.next() - 1];
      ++result.operations;
      result.operation = static_cast<std::int64_t>(first_.next());
      const Node& node = first_.program().node(kernel.nodes.front());
      result.what = kernel.kernel + (node.site.layer.empty() ? "" : " of " + node.site.layer);
      for (const Tensor tensor : kernel.writes) {
        const TensorSpec& spec = first_.program().spec(tensor);
        if (both.count(spec.name) == 0) continue;
        while (second_.found[spec.name].empty() && second_.advance(both)) {
        }
        if (!compare(spec, result)) return false;
      }
    }
    while (second_.advance(both)) {
    }
    first_.found.clear();
    second_.found.clear();
    return true;
  }

 private:
  bool compare(const TensorSpec& spec, LockstepResult& result) {
    auto &ours = first_.found[spec.name], &others = second_.found[spec.name];
    // Devices that fuse may write a state tensor fewer times.
    if (others.empty()) return true;
    const Bytes a = std::move(ours.front()), b = std::move(others.front());
    ours.pop_front();
    others.pop_front();
    ++result.tensors;
    if (a == b) return true;
    const std::size_t each = spec.element == Element::kBit ? sizeof(std::uint32_t) : bytes_of(spec.element, 1);
    result.equal = false;
    result.tensor = spec.name + ", " + spec.text();
    result.elements = static_cast<std::int64_t>(a.size() / each);
    result.different = 0;
    for (std::size_t i = 0; i < a.size() / each; ++i) {
      if (std::memcmp(&a[i * each], &b[i * each], each) == 0) continue;
      if (result.different++ > 0) continue;
      result.element = static_cast<std::int64_t>(i);
      result.first = text_of(&a[i * each], each, spec.element == Element::kFloat32);
      result.second = text_of(&b[i * each], each, spec.element == Element::kFloat32);
    }
    return false;
  }

  const Dataset dataset_;
  Side first_, second_;
};

}  // namespace

LockstepResult train_in_lockstep(const Config& config, Device& first, Device& second, std::int64_t steps,
                                 const std::function<void(std::int64_t step)>& progress) {
  LockstepResult result;
  Lockstep both(config, first, second);
  for (; result.steps < steps; ++result.steps) {
    if (!both.step(result.steps, result)) return result;
    if (progress) progress(result.steps + 1);
  }
  result.operation = -1;
  result.what.clear();
  return result;
}

}  // namespace bitcycle
