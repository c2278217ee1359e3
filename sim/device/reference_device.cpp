// SPDX-License-Identifier: Apache-2.0
// The reference device: runs the reference loops of one node after the other (sim/ops). Every other device is right
// where it gives the same bytes.
#include <array>
#include <cstring>
#include <stdexcept>

#include "sim/device/device.h"
#include "sim/device/host_state.h"
#include "sim/program/memory_plan.h"

namespace bitcycle {
namespace {

std::vector<KernelUse> node_by_node(const Program& program) {
  std::vector<KernelUse> kernels;
  for (int number = 0; number < static_cast<int>(program.nodes().size()); ++number) {
    KernelUse kernel{std::string("reference ") + name_of(program.node(number).operation), {number}, {}, {}};
    each_tensor(program.node(number).operation, [&](const char*, Tensor tensor, Access access) {
      if (access != Access::kRead) kernel.writes.push_back(tensor);
    });
    kernels.push_back(std::move(kernel));
  }
  return kernels;
}

class ReferenceExecutable final : public Executable {
 public:
  ReferenceExecutable(const Program& program, const CompileOptions& options)
      : program_(program),
        kernels_(node_by_node(program)),
        state_(host_state(options.state)),
        live_(live_spans(program, options.kept)),
        plan_(plan_step(program, live_)),
        memory_(plan_.bytes),
        inputs_(program, Lifetime::kInput),
        reports_{Report(program, Lifetime::kReport), Report(program, Lifetime::kReport)},
        addresses_(program.tensors().size()) {
    program.validate();
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(addresses_.size()); ++id) {
      const TensorSpec& spec = program.spec({id});
      void*& address = addresses_[static_cast<std::size_t>(id)];
      if (spec.lifetime == Lifetime::kState) address = state_->address(spec);
      if (spec.lifetime == Lifetime::kInput) address = inputs_.at<void>({id});
      const std::size_t offset = plan_.offset[static_cast<std::size_t>(id)];
      if (spec.lifetime == Lifetime::kStep && offset != TensorPlan::kNowhere) address = memory_.data() + offset;
    }
  }

  StepHandle start(const StepInputs& inputs) override {
    if (started_ - finished_ == reports_.size()) throw std::logic_error("a third step was started");
    begin(inputs);
    while (advance()) {
    }
    return {started_++};
  }

  void begin(const StepInputs& inputs) override {
    require_samples(program_, inputs.samples());
    samples_ = inputs.samples();
    next_ = 0;
    Report& report = reports_[started_ % reports_.size()];
    const StepMemory memory(program_.tensors(), addresses_, program_.batch(), samples_);
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(addresses_.size()); ++id) {
      const TensorSpec& spec = program_.spec({id});
      if (spec.lifetime == Lifetime::kReport) addresses_[static_cast<std::size_t>(id)] = report.at<void>({id});
      if (spec.lifetime != Lifetime::kInput) continue;
      std::memcpy(inputs_.at<void>({id}), inputs.data({id}), bytes_of(spec.element, memory.size({id})));
    }
  }

  bool advance() override {
    if (next_ == program_.nodes().size()) return false;
    const StepMemory memory(program_.tensors(), addresses_, program_.batch(), samples_);
    bitcycle::run(program_.nodes()[next_++].operation, memory);
    return true;
  }

  const Report& finish(StepHandle handle) override {
    if (handle.number != finished_ || finished_ == started_) {
      throw std::logic_error("steps are finished in the order in which they were started");
    }
    return reports_[finished_++ % reports_.size()];
  }

  void read(Tensor tensor, void* host) override {
    const TensorSpec& spec = program_.spec(tensor);
    const LiveSpan& live = live_[static_cast<std::size_t>(tensor.id)];
    const bool now = program_.writer(tensor) + 1 == static_cast<int>(next_);
    if (spec.lifetime == Lifetime::kStep && !now && live.end != static_cast<int>(program_.nodes().size())) {
      throw_not_kept(spec);
    }
    const StepMemory memory(program_.tensors(), addresses_, program_.batch(), samples_);
    std::memcpy(host, memory.data<void>(tensor), bytes_of(spec.element, memory.size(tensor)));
  }

  const std::vector<KernelUse>& kernels() const override { return kernels_; }
  std::size_t step_bytes() const override { return plan_.bytes; }

 private:
  const Program& program_;
  std::vector<KernelUse> kernels_;
  std::shared_ptr<HostState> state_;
  std::vector<LiveSpan> live_;
  TensorPlan plan_;
  AlignedMemory memory_;
  HostRecords inputs_;
  std::array<Report, 2> reports_;
  std::vector<void*> addresses_;
  std::int64_t samples_ = 0;
  std::size_t next_ = 0;  // node of the step at hand
  std::uint64_t started_ = 0, finished_ = 0;
};

class ReferenceDevice final : public Device {
 public:
  std::string name() const override { return "reference"; }
  using Device::make_state;
  std::shared_ptr<State> make_state(const std::vector<const Program*>& programs) override {
    return std::make_shared<HostState>(programs);
  }
  std::unique_ptr<Executable> compile(const Program& program, const CompileOptions& options) override {
    return std::make_unique<ReferenceExecutable>(program, options);
  }
  std::vector<KernelUse> explain(const Program& program, const std::vector<Tensor>&) override {
    return node_by_node(program);
  }
  std::size_t step_bytes(const Program& program, const std::vector<Tensor>& kept) override {
    return plan_step(program, live_spans(program, kept)).bytes;
  }
};

}  // namespace

std::unique_ptr<Device> make_reference_device() { return std::make_unique<ReferenceDevice>(); }

}  // namespace bitcycle
