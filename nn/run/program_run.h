// SPDX-License-Identifier: Apache-2.0
// ProgramRun: a config's network as programs on a device: one for training steps, one for evaluations, over one state.
// What a step does depends on the state before it, the config and the step's number alone.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/config/config.h"
#include "nn/data/dataset.h"
#include "nn/run/program_state.h"
#include "nn/train/network_run.h"
#include "sim/device/device.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// The training step of a config as a program: containers hold every width of the run.
std::unique_ptr<builder::NetworkProgram> training_program(const Config& config);
/// Its evaluation, at forward widths up to `widest` of each layer.
std::unique_ptr<builder::NetworkProgram> evaluation_program(
    const Config& config, const std::function<LayerWidths(const std::string& layer)>& widest);
/// The same at the widest widths of the run.
std::unique_ptr<builder::NetworkProgram> evaluation_program(const Config& config);

class ProgramRun {
 public:
  /// Throws std::invalid_argument: images or classes that do not fit the model, a pattern of precision.layers that no
  /// layer matches. `dataset` must live on. `kept`: names of tensors that training().read() is to find.
  ProgramRun(const Config& config, const Dataset& dataset, Device& device, const std::vector<std::string>& kept = {});

  const builder::NetworkProgram& network() const { return *training_network_; }
  ProgramState& state() { return state_arenas_; }
  Executable& training() { return *training_; }
  const PrecisionPlan& plan() const { return plan_; }

  /// Begins a training step; the next one may be started before this one is finished.
  void start(std::int64_t step);
  /// What the oldest step that was started found. Throws NonFiniteError naming step and tensor.
  StepResult finish();
  StepResult step(std::int64_t step) {
    start(step);
    return finish();
  }
  std::vector<LayerWidths> widths_at(std::int64_t step) const;
  /// The largest widths of the run's schedules.
  std::vector<LayerWidths> max_widths() const;
  /// The whole test set. Throws std::runtime_error before the first training step.
  EvaluationResult evaluate(std::int64_t steps_done, const std::vector<LayerWidths>& widths);

 private:
  static std::vector<Tensor> kept_tensors(const builder::NetworkProgram& network, const std::vector<std::string>& kept);

  const Config config_;
  const Dataset& dataset_;
  PrecisionPlan plan_;
  BatchLoader loader_;
  std::unique_ptr<builder::NetworkProgram> training_network_, evaluation_network_;
  std::shared_ptr<State> state_;
  std::unique_ptr<Executable> training_, evaluation_;
  ProgramState state_arenas_;
  StepInputs evaluation_inputs_;
  /// Steps that were started and not finished, in turns.
  struct Started {
    explicit Started(const Program& program) : inputs(program) {}
    std::int64_t step = 0;
    Ticket ticket;
    StepInputs inputs;
    std::vector<float> x;
    std::vector<std::int32_t> labels;
  };
  std::array<Started, 2> started_;
  std::size_t starts_ = 0, finishes_ = 0;
};

/// Initial state: of model.initial_weights, or drawn from train.seed.
void set_initial_state(ProgramRun& run, const Config& config);

}  // namespace bitcycle
