// SPDX-License-Identifier: Apache-2.0
// The programs of a config: its training step and its evaluation, and what NetworkRun needs to write more of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/config/config.h"
#include "sim/program/host_records.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// Which operands of a layer are float32.
struct FloatOperands {
  bool forward = false, gradient = false;
  bool operator==(const FloatOperands&) const = default;
};

/// The training step of a config as a program: its containers hold every width of the run. Where a layer is float32 in
/// some steps and integer in others, the program of the first step. `stored_images`: as a device that keeps them has
/// it.
std::unique_ptr<builder::NetworkProgram> training_program(const Config& config, bool stored_images = false);
/// Its evaluation at the largest widths of the run.
std::unique_ptr<builder::NetworkProgram> evaluation_program(const Config& config, bool stored_images = false);

// Names of the sets whose images a device keeps.
inline constexpr char kTrainingSet[] = "training";
inline constexpr char kTestSet[] = "test";

/// Indices of images are written for this many steps at a time, so that most steps upload nothing.
constexpr std::int64_t kStepsOfIndices = 64;

/// Batches of a streamed set that lie on the device: of the step that runs, and of the next one.
constexpr std::int64_t kStreamedBatches = 2;

std::int64_t evaluation_batch_of(const Config& config);
/// The widest integer widths of a layer over all steps, and the largest of its schedules; float32 where all are.
LayerWidths widest_of(const PrecisionPlan& plan, const std::string& layer);
inline FloatOperands float_operands(const LayerWidths& widths) {
  return {widths.forward.is_float32(), widths.gradient.is_float32()};
}
/// What every program of a config is written with; widths, optimiser and images are the caller's.
builder::Options builder_options(const Config& config, std::int64_t batch);
/// The same for an evaluation.
builder::Options evaluation_options(const Config& config);
builder::StoredImages stored_training_images(const Config& config, std::int64_t count);
builder::StoredImages stored_test_images(const Config& config, std::int64_t count);

using WidthsOf = std::function<LayerWidths(const std::string& layer)>;
/// Without `backward`, a step only moves statistics and ranges. time_steps: of a text; 0: train.time_steps.
struct StepOptions {
  bool backward = true;
  std::int64_t time_steps = 0;
};
/// The training step with the float32 operands of these widths.
std::unique_ptr<builder::NetworkProgram> write_training_step(const Config& config, const PrecisionPlan& plan,
                                                             const WidthsOf& widths_at_step,
                                                             const std::optional<builder::StoredImages>& images,
                                                             const StepOptions& step = {});

/// The width records of a step.
void set_widths(StepInputs& inputs, const builder::NetworkProgram& network, const std::vector<LayerWidths>& widths);

}  // namespace bitcycle
