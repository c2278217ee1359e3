// SPDX-License-Identifier: Apache-2.0
#include "sim/device/kernel_device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <stdexcept>

#include "sim/device/fused/fused_entry.h"
#include "sim/device/host_state.h"
#include "sim/device/node_kernels.h"
#include "sim/device/step_records.h"
#include "sim/device/summed_gradients.h"
#include "sim/program/memory_plan.h"

namespace bitcycle {
namespace {

class KernelState final : public State {
 public:
  KernelState(std::shared_ptr<KernelLibrary> library, const std::vector<const Program*>& programs)
      : library_(std::move(library)), plan_(programs), memory_(*library_, plan_.bytes) {}
  std::size_t bytes() const override { return plan_.bytes; }
  void read(const std::string& name, void* host) override {
    const StatePlan::Allocation& of = plan_.allocation(name);
    library_->to_host(host, at(of), of.spec.bytes());
  }
  void read(const std::vector<Read>& reads) override {
    std::size_t begin = plan_.bytes, end = 0, sum = 0;
    for (const Read& one : reads) {
      const StatePlan::Allocation& of = plan_.allocation(one.name);
      begin = std::min(begin, of.offset);
      end = std::max(end, of.offset + of.spec.bytes());
      sum += of.spec.bytes();
    }
    if (library_->on_host() || end <= begin || end - begin > 3 * sum) return State::read(reads);
    // Neighbours, mostly: one copy of everything between them.
    between_.resize(end - begin);
    library_->to_host(between_.data(), memory_.as<std::byte>() + begin, end - begin);
    for (const Read& one : reads) {
      const StatePlan::Allocation& of = plan_.allocation(one.name);
      std::memcpy(one.host, between_.data() + (of.offset - begin), of.spec.bytes());
    }
  }
  void write(const std::string& name, const void* host) override {
    const StatePlan::Allocation& of = plan_.allocation(name);
    library_->to_device(at(of), host, of.spec.bytes());
  }
  void upload(const std::string& name, std::size_t offset, const void* host, std::size_t bytes) override {
    library_->upload(at(plan_.allocation(name)) + offset, host, bytes);
  }
  void* address(const TensorSpec& spec) { return at(plan_.allocation(spec)); }
  /// Steps of a run never overlap, so its programs share the memory of a step; the first one that asks decides how
  /// much.
  std::byte* step_memory(std::size_t bytes, std::shared_ptr<Buffer>& own) {
    if (!step_memory_) step_memory_ = std::make_shared<Buffer>(*library_, bytes);
    own = step_memory_->bytes() >= bytes ? step_memory_ : std::make_shared<Buffer>(*library_, bytes);
    return own->as<std::byte>();
  }

  std::map<std::string, std::shared_ptr<void>> held;  // what kernels keep beside a tensor of the state

 private:
  std::vector<std::byte> between_;
  std::byte* at(const StatePlan::Allocation& of) { return memory_.as<std::byte>() + of.offset; }

  std::shared_ptr<KernelLibrary> library_;
  StatePlan plan_;
  Buffer memory_;
  std::shared_ptr<Buffer> step_memory_;
};

/// Any node, by its reference loops.
std::optional<Match> any_node(const Candidates& c, int node) {
  if (c.taken(node)) return {};
  Match match;
  match.nodes = {node};
  each_tensor(c.program().node(node).operation, [&](const char*, Tensor tensor, Access access) {
    if (access != Access::kRead) match.makes.push_back(tensor);
  });
  return match;
}

bool sums_gradients(const KernelLibrary& library) { return dynamic_cast<const SummedGradients*>(&library) != nullptr; }

/// The library's own patterns, then those of all libraries.
std::vector<FusedEntry> fused_entries_of(const KernelLibrary& library) {
  std::vector<FusedEntry> all;
  if (const auto* nodes = dynamic_cast<const NodeKernels*>(&library); nodes != nullptr) {
    if (const auto* own = nodes->own_entries(); own != nullptr) all = *own;
  }
  for (const FusedEntry& entry : fused_entries(sums_gradients(library))) all.push_back(entry);
  return all;
}

std::vector<KernelEntry> entries_with_reference(const std::vector<FusedEntry>& fused) {
  std::vector<KernelEntry> entries;
  for (const FusedEntry& entry : fused) entries.push_back(entry.entry);
  entries.push_back({"reference loops", any_node, nullptr, false, true});
  return entries;
}

/// Weight gradients run beside what follows them, until the next gradient's codes or the optimiser wait for them: what
/// they read lives as long.
void linger(const std::vector<ChosenKernel>& kernels, std::vector<LiveSpan>& live) {
  const auto is = [&](std::size_t k, const char* name) { return kernels[k].entry->name == name; };
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    if (!is(k, "convolution backward") && !is(k, "linear backward")) continue;
    std::size_t next = k + 1;
    while (next < kernels.size() && !is(next, "convolution backward") && !is(next, "find non-finite")) ++next;
    for (const auto* tensors : {&kernels[k].reads, &kernels[k].writes}) {
      for (const Tensor tensor : *tensors) {
        LiveSpan& span = live[static_cast<std::size_t>(tensor.id)];
        span.end = std::max(span.end, static_cast<int>(next) - 1);
      }
    }
  }
}

std::vector<LiveSpan> spans_of(const Program& program, const std::vector<ChosenKernel>& kernels,
                               const std::vector<Tensor>& kept, bool on_host) {
  std::vector<LiveSpan> live = live_spans(program, kernels, kept);
  if (!on_host) linger(kernels, live);
  return live;
}

std::vector<KernelUse> uses_of(const std::vector<ChosenKernel>& kernels) {
  std::vector<KernelUse> uses;
  for (const auto& kernel : kernels) {
    uses.push_back({kernel.entry->name, kernel.match.nodes, kernel.match.recomputed, kernel.writes});
  }
  return uses;
}

/// Sums of a product of activations that nobody but its rescaling looks at.
bool is_made_by_reader(const Program& program, const Operation& operation, const std::vector<Tensor>& kept) {
  const auto* product = std::get_if<ops::PairProduct>(&operation);
  if (product == nullptr || std::find(kept.begin(), kept.end(), product->sums) != kept.end()) return false;
  const auto& readers = program.readers(product->sums);
  return readers.size() == 1 && std::holds_alternative<ops::PairRescale>(program.node(readers.front()).operation);
}

class KernelExecutable final : public Executable {
 public:
  KernelExecutable(std::shared_ptr<KernelLibrary> library, const Program& program, const CompileOptions& options)
      : library_(std::move(library)),
        on_host_(library_->on_host()),
        program_(program),
        fused_(fused_entries_of(*library_)),
        entries_(entries_with_reference(fused_)),
        chosen_(choose_kernels(program, entries_, options.kept)),
        uses_(uses_of(chosen_)),
        live_(spans_of(program, chosen_, options.kept, on_host_)),
        state_(std::dynamic_pointer_cast<KernelState>(options.state)),
        plan_(plan_step(program, live_)),
        input_plan_(plan_side_by_side(program, Lifetime::kInput)),
        lists_(*library_, plan_.list_bytes),
        inputs_(*library_, input_plan_.bytes),
        records_(*library_, program),
        reports_{Report(program, Lifetime::kReport), Report(program, Lifetime::kReport)},
        device_reports_(*library_, reports_[0].plan().bytes),
        addresses_(program.tensors().size()) {
    if (!state_) throw std::invalid_argument("a program needs the state that its own device made (Device::make_state)");
    program.validate();
    std::byte* step = state_->step_memory(plan_.bytes - plan_.list_bytes, step_memory_);
    for (std::size_t id = 0; id < addresses_.size(); ++id) {
      const TensorSpec& spec = program.tensors()[id];
      const auto at = [id](std::byte* base, const TensorPlan& plan) -> void* {
        return plan.offset[id] == TensorPlan::kNowhere ? nullptr : base + plan.offset[id];
      };
      switch (spec.lifetime) {
        case Lifetime::kStep:
          if (plan_.offset[id] == TensorPlan::kNowhere) break;
          addresses_[id] = plan_.offset[id] < plan_.list_bytes ? lists_.as<std::byte>() + plan_.offset[id]
                                                               : step + (plan_.offset[id] - plan_.list_bytes);
          break;
        case Lifetime::kState: addresses_[id] = state_->address(spec); break;
        case Lifetime::kInput:
          addresses_[id] = records_.address({static_cast<std::int32_t>(id)});
          if (addresses_[id] != nullptr) break;
          addresses_[id] = at(inputs_.as<std::byte>(), input_plan_);
          (is_written(spec) ? written_ : uploads_).push_back(static_cast<std::int32_t>(id));
          break;
        case Lifetime::kReport: addresses_[id] = at(device_reports_.as<std::byte>(), reports_[0].plan()); break;
      }
    }
    for (const ChosenKernel& kernel : chosen_) {
      const auto number = static_cast<std::size_t>(kernel.entry - entries_.data());
      if (number < fused_.size()) {
        launches_.push_back(
            fused_[number].bind(KernelBinding(program_, kernel, addresses_, *library_, state_->held, held_results_)));
      } else {
        const Operation* operation = &program_.node(kernel.match.nodes.front()).operation;
        // A library may have kernels for single nodes.
        auto* nodes = dynamic_cast<NodeKernels*>(library_.get());
        if (nodes != nullptr && nodes->has_kernel(*operation)) {
          uses_[launches_.size()].kernel = name_of(*operation);
          if (is_made_by_reader(program_, *operation, options.kept)) {
            uses_[launches_.size()].writes.clear();
            launches_.push_back([](const KernelStep&) {});
            continue;
          }
          launches_.push_back([this, nodes, operation](const KernelStep& of) {
            nodes->run_node(*operation, StepMemory(program_.tensors(), addresses_, program_.batch(), of.samples));
          });
          continue;
        }
        if (!on_host_) make_host_copies(*operation);
        launches_.push_back([this, operation](const KernelStep& of) { run_reference(*operation, of); });
      }
    }
  }

  ~KernelExecutable() override {
    for (; finished_ != started_; ++finished_) {
      try {
        library_->finish_to_host();
      } catch (const std::exception&) {
        // What failed has been reported, or nobody looks at it any more.
      }
    }
  }

  StepHandle start(const StepInputs& inputs) override {
    if (started_ - finished_ == reports_.size()) throw std::logic_error("a third step was started");
    take(inputs, uploads_);
    const Tensor number = program_.find("step");
    // A step that the host takes part in is not recorded.
    const bool recorded = host_copies_.empty();
    if (recorded) library_->begin_step(number ? inputs.value<std::uint32_t>(number) : 0);
    records_.write(inputs);
    for (const std::int32_t id : written_) {
      library_->write_records(addresses_[static_cast<std::size_t>(id)], inputs.data({id}), bytes_now({id}));
    }
    const KernelStep step{samples_, inputs};
    for (const KernelLaunch& launch : launches_) launch(step);
    next_ = launches_.size();
    if (recorded) library_->end_step();
    Report& report = reports_[started_ % reports_.size()];
    library_->start_to_host(report.bytes(), device_reports_.as<std::byte>(), report.plan().bytes);
    return {started_++};
  }

  void begin(const StepInputs& inputs) override {
    take(inputs, uploads_);
    take(inputs, written_);
    records_.write(inputs);
    observed_ = &inputs;
    next_ = 0;
  }

  bool advance() override {
    if (next_ == launches_.size()) return false;
    launches_[next_++]({samples_, *observed_});
    library_->synchronise();
    return true;
  }

  const Report& finish(StepHandle handle) override {
    if (handle.number != finished_ || finished_ == started_) {
      throw std::logic_error("steps are finished in the order in which they were started");
    }
    const Report& report = reports_[finished_++ % reports_.size()];
    library_->finish_to_host();
    return report;
  }

  void read(Tensor tensor, void* host) override {
    const TensorSpec& spec = program_.spec(tensor);
    if (const auto held = held_results_.find(tensor.id); held != held_results_.end()) {
      return read_held(held->second, spec, host);
    }
    const LiveSpan& live = live_[static_cast<std::size_t>(tensor.id)];
    if (spec.lifetime == Lifetime::kStep && live.end != static_cast<int>(chosen_.size()) && !is_written_now(tensor)) {
      throw_not_kept(spec);
    }
    const std::int64_t size = spec.sample_axis < 0 ? spec.size() : spec.size() / program_.batch() * samples_;
    library_->to_host(host, addresses_[static_cast<std::size_t>(tensor.id)], bytes_of(spec.element, size));
  }

  const std::vector<KernelUse>& kernels() const override { return uses_; }
  std::size_t step_bytes() const override { return plan_.bytes; }

 private:
  /// Room on the host for what the reference loops of an operation touch, on a device with memory of its own.
  void make_host_copies(const Operation& operation) {
    host_addresses_.resize(addresses_.size());
    each_tensor(operation, [&](const char*, Tensor tensor, Access) {
      void*& address = host_addresses_[static_cast<std::size_t>(tensor.id)];
      if (address != nullptr) return;
      host_copies_.emplace_back(program_.spec(tensor).bytes());
      address = host_copies_.back().data();
    });
  }
  /// What no kernel makes, because a probe asked for something that lies between: slow, and right.
  void run_reference(const Operation& operation, const KernelStep& step) {
    if (on_host_) {
      return bitcycle::run(operation, StepMemory(program_.tensors(), addresses_, program_.batch(), step.samples));
    }
    const StepMemory memory(program_.tensors(), host_addresses_, program_.batch(), step.samples);
    const auto copy = [&](Access unless, auto&& move) {
      each_tensor(operation, [&](const char*, Tensor tensor, Access access) {
        if (access != unless) move(tensor, bytes_of(program_.spec(tensor).element, memory.size(tensor)));
      });
    };
    library_->synchronise();
    copy(Access::kWrite, [&](Tensor tensor, std::size_t bytes) {
      void* host = host_addresses_[static_cast<std::size_t>(tensor.id)];
      if (program_.spec(tensor).lifetime == Lifetime::kInput) {
        std::memcpy(host, step.inputs.data(tensor), bytes);
      } else {
        library_->to_host(host, addresses_[static_cast<std::size_t>(tensor.id)], bytes);
      }
    });
    bitcycle::run(operation, memory);
    copy(Access::kRead, [&](Tensor tensor, std::size_t bytes) {
      const auto id = static_cast<std::size_t>(tensor.id);
      library_->to_device(addresses_[id], host_addresses_[id], bytes);
    });
  }
  void take(const StepInputs& inputs, const std::vector<std::int32_t>& uploads) {
    require_samples(program_, inputs.samples());
    samples_ = inputs.samples();
    for (const std::int32_t id : uploads) {
      library_->to_device(addresses_[static_cast<std::size_t>(id)], inputs.data({id}), bytes_now({id}));
    }
  }
  /// Of this step's samples.
  std::size_t bytes_now(Tensor tensor) const {
    const TensorSpec& spec = program_.spec(tensor);
    const std::int64_t size = spec.sample_axis < 0 ? spec.size() : spec.size() / program_.batch() * samples_;
    return bytes_of(spec.element, size);
  }
  /// Few words of a text go with the step, in the order of the queue: a copy would wait for the step before.
  bool is_written(const TensorSpec& spec) const {
    constexpr std::size_t kMostBytes = 4096;
    return !on_host_ && spec.element == Element::kInt32 && spec.bytes() <= kMostBytes;
  }
  /// The bytes that the program's tensor has.
  void read_held(const HeldResult& held, const TensorSpec& spec, void* host) {
    const bool bytes = held.memory->bytes() == static_cast<std::size_t>(spec.size());  // codes in bytes already
    if (!held.codes) return library_->to_host(host, held.memory->as<void>(), spec.bytes());
    if (bytes) return library_->to_host(host, held.memory->as<void>(), held.memory->bytes());
    std::vector<std::uint32_t> codes(static_cast<std::size_t>(spec.size()));
    library_->to_host(codes.data(), held.memory->as<void>(), codes.size() * sizeof(codes[0]));
    switch (spec.element == Element::kInt32 ? Container::kUint32 : held.weights->width.container()) {
      case Container::kUint8: std::copy(codes.begin(), codes.end(), static_cast<std::uint8_t*>(host)); break;
      case Container::kUint16: std::copy(codes.begin(), codes.end(), static_cast<std::uint16_t*>(host)); break;
      default: std::copy(codes.begin(), codes.end(), static_cast<std::uint32_t*>(host));
    }
  }
  bool is_written_now(Tensor tensor) const {
    if (next_ == 0) return false;
    const auto& writes = chosen_[next_ - 1].writes;
    return std::find(writes.begin(), writes.end(), tensor) != writes.end();
  }

  std::shared_ptr<KernelLibrary> library_;
  bool on_host_;
  const Program& program_;
  std::vector<FusedEntry> fused_;
  std::vector<KernelEntry> entries_;
  std::vector<ChosenKernel> chosen_;
  std::vector<KernelUse> uses_;
  std::vector<LiveSpan> live_;
  std::shared_ptr<KernelState> state_;
  TensorPlan plan_, input_plan_;
  Buffer lists_, inputs_;
  StepRecords records_;
  std::vector<std::int32_t> uploads_, written_;  // inputs that are no records
  std::array<Report, 2> reports_;
  Buffer device_reports_;
  std::shared_ptr<Buffer> step_memory_;
  std::vector<void*> addresses_;
  std::vector<void*> host_addresses_;
  std::deque<AlignedMemory> host_copies_;
  std::vector<KernelLaunch> launches_;
  std::map<std::int32_t, HeldResult> held_results_;
  std::int64_t samples_ = 0;
  const StepInputs* observed_ = nullptr;  // of a step kernel by kernel
  std::size_t next_ = 0;                  // kernel of the step at hand
  std::uint64_t started_ = 0, finished_ = 0;
};

class KernelDevice final : public Device {
 public:
  explicit KernelDevice(std::shared_ptr<KernelLibrary> library)
      : library_(std::move(library)), on_host_(library_->on_host()) {}
  std::string name() const override { return library_->name(); }
  int threads() const override { return library_->threads(); }
  std::size_t memory_bytes() const override { return library_->device_bytes(); }
  bool runs_behind() const override { return library_->runs_behind(); }
  bool keeps_images() const override { return library_->keeps_images(); }
  using Device::make_state;
  std::shared_ptr<State> make_state(const std::vector<const Program*>& programs) override {
    return std::make_shared<KernelState>(library_, programs);
  }
  std::unique_ptr<Executable> compile(const Program& program, const CompileOptions& options) override {
    return std::make_unique<KernelExecutable>(library_, program, options);
  }
  std::vector<KernelUse> explain(const Program& program, const std::vector<Tensor>& kept) override {
    const std::vector<KernelEntry> entries = entries_with_reference(fused_entries_of(*library_));
    return uses_of(choose_kernels(program, entries, kept));
  }
  std::size_t step_bytes(const Program& program, const std::vector<Tensor>& kept) override {
    const std::vector<KernelEntry> entries = entries_with_reference(fused_entries_of(*library_));
    return plan_step(program, spans_of(program, choose_kernels(program, entries, kept), kept, on_host_)).bytes;
  }
  void set_profiling(bool on) override { library_->set_profiling(on); }
  std::vector<ProfileEntry> profile() const override { return library_->profile(); }

 private:
  std::shared_ptr<KernelLibrary> library_;
  bool on_host_;
};

}  // namespace

std::vector<KernelUse> chosen_kernels(const Program& program, const std::vector<Tensor>& kept, bool sums_gradients) {
  const std::vector<KernelEntry> entries = entries_with_reference(fused_entries(sums_gradients));
  return uses_of(choose_kernels(program, entries, kept));
}

std::unique_ptr<Device> make_kernel_device(std::shared_ptr<KernelLibrary> library) {
  return std::make_unique<KernelDevice>(std::move(library));
}

}  // namespace bitcycle
