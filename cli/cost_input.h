// SPDX-License-Identifier: Apache-2.0
// What `cost` and `schedule` are given: whose layers, under which schedule, for how many steps.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cost_models/bitops.h"
#include "cost_models/pricing.h"
#include "cost_models/topology.h"
#include "nn/config/config.h"

namespace bitcycle::cli {

/// Layers under a schedule.
struct CostInput {
  std::string name;  // of the config, or of the file of layers and the schedule
  Workload workload;
  PrecisionPlan plan;
  std::int64_t steps = 1;  // that are priced: all, or those that a run has done
  std::int64_t planned = 1;
  std::int64_t batch = 1;
  bool whole_batches = false;   // the layers' shapes hold the batch
  bool is_layers_file = false;  // her own layers: no batch norm, and samples rather than images
  bool inference = false;
  BitOpsOptions bitops;                        // how bit operations are counted
  std::vector<std::string> notes;              // sentences of the file of layers
  std::map<std::string, std::int64_t> uses{};  // of recurrent layers (PricingOptions)
  UpdateWork update{};                         // of the config's optimiser
  std::string sample{"sample"};                // what MACs are counted for: sample, image, word, sequence
  std::int64_t sequence = 1;                   // words of a sequence
};

/// True for names of files of layers: .csv and .onnx, in small letters or capitals.
bool is_layers_file(const std::string& path);
/// Reads one; --dim sizes the open axes of an ONNX model. Without --schedule and --precision layers are priced as they
/// are.
Topology read_layers(const CommandLine& line, const std::string& path);
/// Its warnings, on standard error.
void print_warnings(const Topology& topology, const std::string& path);

/// --schedule, --precision, --inference, --batch, --dim.
std::vector<OptionSpec> schedule_options();

/// Layers and schedule of the command line's one argument: a CONFIG or RUN (its own schedule, or that of --precision or
/// --schedule), or a file of layers, which needs one of these. Throws UsageError where options contradict each other,
/// or mean nothing for what is priced.
CostInput read_cost_input(const CommandLine& line);
/// For `schedule`: one for each CONFIG, RUN, --schedule and --precision, in this order; a file of layers among the
/// arguments is what all of them are priced on.
std::vector<CostInput> read_schedules(const CommandLine& line);

/// True where some layers have widths of their own.
bool sets_layers_apart(const CostInput& input);
/// unreached_note() of what is priced.
std::optional<std::string> unreached_note(const CostInput& input, const std::string& schedule = "the schedule");
/// A heading: layers, steps and batch.
std::string heading(const CostInput& input);

}  // namespace bitcycle::cli
