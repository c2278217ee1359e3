// SPDX-License-Identifier: Apache-2.0
// Device: compiles programs. Executable: runs one. State: the tensors that outlive a step, by name, so that the
// programs of a run (training, evaluation) share them.
//
// The contract of every device:
//  1. The bytes of every tensor that it makes are those of the reference device (docs/numerics.md). It may fuse and
//     reorder nodes, and leave out tensors that nobody asked for.
//  2. Nothing is allocated after compile().
//  3. A step that fails, when it is started or later, throws from start() or finish() with the reason. State that the
//     step was to update must not be used any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/device/profile.h"
#include "sim/program/host_records.h"
#include "sim/program/program.h"

namespace bitcycle {

/// Device memory of a run's state. Reading and writing waits for steps that are on their way.
class State {
 public:
  virtual ~State() = default;
  virtual std::size_t bytes() const = 0;
  struct Read {
    std::string name;
    void* host = nullptr;
  };
  /// Throws std::invalid_argument: no such tensor.
  virtual void read(const std::string& name, void* host) = 0;
  /// The same for several, in as few copies as a device needs.
  virtual void read(const std::vector<Read>& reads) {
    for (const Read& one : reads) read(one.name, one.host);
  }
  virtual void write(const std::string& name, const void* host) = 0;
  /// Writes bytes of a tensor, from byte `offset` on, that no step on its way uses: it does not wait for such steps,
  /// and steps that are started later find them. `host` may be used again at once.
  virtual void upload(const std::string& name, std::size_t offset, const void* host, std::size_t bytes) = 0;
};

struct CompileOptions {
  /// State of the run. Its tensors are the program's by name; an error where it lacks one, or has another shape.
  std::shared_ptr<State> state;
  /// Tensors that read() is to find after a step. Only fusions that would not make them are switched off.
  std::vector<Tensor> kept;
};

/// A step that was started.
struct StepHandle {
  std::uint64_t number = 0;
};

/// One kernel of a compiled program: a launch, or what stands for one on a CPU.
struct KernelUse {
  std::string kernel;
  std::vector<int> nodes;       // that it executes
  std::vector<int> recomputed;  // whose results it makes again for itself
  std::vector<Tensor> writes;   // results that are there after it
};

class Executable {
 public:
  virtual ~Executable() = default;

  /// Queues a step. At most two may be on their way; the inputs' memory stays until the step is finished.
  virtual StepHandle start(const StepInputs& inputs) = 0;
  /// Waits for a step, oldest first. The report is valid until the step after the next one is started.
  virtual const Report& finish(StepHandle handle) = 0;
  const Report& run(const StepInputs& inputs) { return finish(start(inputs)); }
  /// A tensor of the last step that was started: kept ones, state, inputs and reports. Throws std::invalid_argument for
  /// another, naming CompileOptions::kept. `host` has room for the whole batch.
  virtual void read(Tensor tensor, void* host) = 0;

  /// A step kernel by kernel, for comparing devices: begin() takes the inputs, each advance() executes the next kernel
  /// and waits for it; false: there was none left. In between, read() also finds what that kernel has written.
  virtual void begin(const StepInputs& inputs) = 0;
  virtual bool advance() = 0;

  virtual const std::vector<KernelUse>& kernels() const = 0;
  /// Memory of tensors of a step.
  virtual std::size_t step_bytes() const = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  /// "reference", "cpu avx512vnni", ...; of a GPU: its name.
  virtual std::string name() const = 0;
  virtual int threads() const { return 1; }
  /// Bytes of device memory in use, on a device with memory of its own; else 0.
  virtual std::size_t memory_bytes() const { return 0; }
  /// True where steps return before they are done, so that starting the next one before looking at this one pays.
  virtual bool runs_behind() const { return false; }
  /// True where a set of images should be part of the state, and batches be made of it by the step itself.
  virtual bool keeps_images() const { return false; }
  /// Zero-filled memory for every state tensor of a run's programs.
  virtual std::shared_ptr<State> make_state(const std::vector<const Program*>& programs) = 0;
  std::shared_ptr<State> make_state(const Program& program) { return make_state(std::vector{&program}); }
  /// `program` must live on. Throws std::invalid_argument where this device cannot run it, naming the node and one that
  /// can.
  virtual std::unique_ptr<Executable> compile(const Program& program, const CompileOptions& options) = 0;
  /// The kernels that compile() would choose, without any memory.
  virtual std::vector<KernelUse> explain(const Program& program, const std::vector<Tensor>& kept) = 0;
  /// Memory of tensors of a step that compile() would need.
  virtual std::size_t step_bytes(const Program& program, const std::vector<Tensor>& kept) = 0;

  /// Time by operation, gathered while profiling is on: off by default; resets when switched on.
  virtual void set_profiling(bool) {}
  virtual std::vector<ProfileEntry> profile() const { return {}; }
};

/// The specification: interprets node by node, one thread, host memory.
std::unique_ptr<Device> make_reference_device();

}  // namespace bitcycle
