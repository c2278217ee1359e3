// SPDX-License-Identifier: Apache-2.0
// bitcycle verify: compares the digests of two runs; names the first step and the tensors that differ.
#include "nn/train/verify.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/verbs.h"
#include "nn/train/lockstep.h"
#include "nn/train/run_damage.h"

namespace bitcycle::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Steps that never came are null.
Json step_or_null(std::int64_t step) { return step < 0 ? Json() : Json(step); }

std::string first_and_more(const std::vector<std::string>& names) {
  if (names.empty()) return "none recorded";
  std::string text = names.front();
  if (names.size() > 1) text += ", and " + std::to_string(names.size() - 1) + " more";
  return text;
}

void print_comparison(std::ostream& out, const RunComparison& result, const std::string& first,
                      const std::string& second) {
  if (!result.different_keys.empty()) {
    out << "The configs differ:\n";
    for (const auto& key : result.different_keys) out << "  " << key << '\n';
  }
  if (result.compared == 0) {
    const auto recorded = [&](std::size_t run) {
      return result.last_step[run] < 0 ? std::string(" recorded none")
                                       : " recorded up to step " + grouped(result.last_step[run]);
    };
    out << "There is nothing to compare: no step is recorded in both runs (" << first << recorded(0) << ", " << second
        << recorded(1) << ").\n";
    return;
  }
  if (result.equal()) {
    out << "The runs are equal at all " << grouped(result.compared) << " steps that both recorded; the last is step "
        << grouped(result.last_equal) << ".\n";
    if (result.last_step[0] != result.last_step[1]) {
      out << "Their lengths differ: " << first << " recorded up to step " << grouped(result.last_step[0]) << ", "
          << second << " up to step " << grouped(result.last_step[1]) << ".\n";
    }
    return;
  }
  out << "The runs differ from recorded step " << grouped(result.first_different) << " on";
  if (result.last_equal >= 0) out << "; they are equal at step " << grouped(result.last_equal);
  out << ".\nThe first tensor that differs: " << first_and_more(result.tensors) << ".\n";
}

void print_bisection(std::ostream& out, const Bisection& found, const std::string (&runs)[2]) {
  if (found.first_different >= 0) {
    out << "Replayed from step " << grouped(found.start) << ": the runs differ after step "
        << grouped(found.first_different) << ".\nThe first tensor that differs: " << first_and_more(found.tensors)
        << ".\n";
  } else {
    out << "Replayed from step " << grouped(found.start) << " to " << grouped(found.replayed_to)
        << ": both give the same bits now.\n";
  }
  for (int i = 0; i < 2; ++i) {
    if (found.unlike_record[i] < 0) continue;
    out << runs[i] << " recorded other bits at step " << grouped(found.unlike_record[i])
        << " than it gives now: it was recorded by another program, device or data set.\n";
  }
}

/// Trains a config on two devices side by side; the tensor in which they first differ.
int verify_devices(const CommandLine& line, Console& console) {
  line.require_positional(1);
  const ConfigInput input = read_config_or_run(line.positional()[0], line);
  ExecutionConfig against = input.config.execution;
  against.device = line.choice("against", "cpu", device_names());
  const std::int64_t steps = line.integer("steps", std::min<std::int64_t>(2, input.config.train.steps), 1);
  if (steps > input.config.train.steps) {
    line.fail("--steps " + std::to_string(steps) + " is more than the run has: train.steps is " +
              std::to_string(input.config.train.steps) + "; --set train.steps=N makes it longer");
  }
  const auto first = make_device(input.config.execution, line);
  const auto second = make_device(against, line);
  if (first->name() == second->name()) {
    line.fail("--against " + against.device + " and --device " + input.config.execution.device + " are the same: " +
              first->name() + ", with the same threads. A comparison of it with itself proves nothing; --against " +
              (against.device == "reference" ? "cpu" : "reference") +
              " is another device. Instruction sets are compared by two runs: train with --isa, then verify RUN RUN");
  }
  const LockstepResult result = train_in_lockstep(input.config, *first, *second, steps, [&](std::int64_t step) {
    console.notes() << "step " << step << " of " << steps << ": every tensor is equal" << std::endl;
  });
  Json json{{"devices", {first->name(), second->name()}},
            {"equal", result.equal},
            {"steps", result.steps},
            {"operations_compared", result.operations},
            {"tensors_compared", result.tensors}};
  if (!result.equal) {
    json["difference"] = {{"step", result.steps},          {"operation", result.operation},
                          {"what", result.what},           {"tensor", result.tensor},
                          {"element", result.element},     {"elements", result.elements},
                          {"different", result.different}, {"values", {result.first, result.second}}};
  }
  console.json(json);
  std::ostream& out = console.result();
  if (result.equal) {
    out << first->name() << " and " << second->name() << " gave the same bits in all " << grouped(result.tensors)
        << " tensors that both wrote, after each of " << grouped(result.operations) << " kernels of " << first->name()
        << ", " << grouped(result.steps) << (result.steps == 1 ? " step.\n" : " steps.\n");
    return kSuccess;
  }
  out << "The devices differ from step " << grouped(result.steps) << " on, in kernel " << grouped(result.operation)
      << " (" << result.what << "): " << result.tensor << ".\nElement " << grouped(result.element) << " of "
      << grouped(result.elements) << " is " << result.first << " on " << first->name() << " and " << result.second
      << " on " << second->name() << "; " << grouped(result.different) << " elements differ.\n";
  return kMismatch;
}

}  // namespace

int run_verify(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"bisect", "", "replays both runs from their last equal checkpoints, to the step that differs"},
      {"against", "DEVICE",
       "trains CONFIG on --device and on this other one side by side, and compares every tensor; default: "
       "two runs are compared"},
      {"steps", "N", "with --against: so many training steps; default: 2"},
      set_option()};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(json_option());
  CommandLine line(
      {"verify", "RUN RUN, or CONFIG with --against",
       "Compares the digests of all tensors that two runs recorded (every digest.every steps, and at\n"
       "evaluations and checkpoints). The exit code is 0 if all steps that both runs recorded are equal, 3 if\n"
       "one differs or the runs have no step in common, and 1 if digests.jsonl is damaged, cut short or has\n"
       "gaps. With --bisect, --isa, --threads and --device replace what the config of each run says.\n"
       "With --against, it trains a config on two devices at once, one operation after the other, compares\n"
       "every tensor, and names the first one that differs.",
       "bitcycle verify runs/quickstart runs/quickstart.1\n"
       "bitcycle verify configs/quickstart.yaml --device cuda --against cpu --steps 2"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  Console console(line.json(), false);
  if (line.has("against")) {
    if (line.has("bisect")) line.fail("--bisect is for two runs, --against for a config on two devices");
    return verify_devices(line, console);
  }
  for (const char* option : {"steps", "set"}) {
    if (line.has(option)) line.fail(std::string("--") + option + " goes with --against");
  }
  line.require_positional(2);
  const std::string runs[2] = {line.positional()[0], line.positional()[1]};
  for (const char* option : {"device", "isa", "threads"}) {
    if (line.has(option) && !line.has("bisect")) {
      line.fail(std::string("--") + option +
                " goes with --bisect or --against; recorded digests are compared as they are");
    }
  }
  const RunFolder a = RunFolder::existing(runs[0]);
  const RunFolder b = RunFolder::existing(runs[1]);
  std::error_code ignored;
  if (std::filesystem::equivalent(runs[0], runs[1], ignored)) {
    line.fail("'" + runs[0] + "' and '" + runs[1] + "' are the same folder; name two runs");
  }
  const RunComparison result = compare_runs(a, b);
  for (const RunFolder* run : {&a, &b}) {
    for (const auto& text : damage_of(*run)) console.warning(text);
    for (const auto& text : unsealed_note(*run)) console.warning(text);
  }

  std::optional<Bisection> bisection;
  if (line.has("bisect") && result.first_different >= 0) {
    const auto device_a = make_device(read_config_or_run(runs[0], line).config.execution, line);
    const auto device_b = make_device(read_config_or_run(runs[1], line).config.execution, line);
    bisection = bisect_runs(a, *device_a, b, *device_b);
  }

  Json json{{"equal", result.equal()},
            {"steps_compared", result.compared},
            {"last_equal_step", step_or_null(result.last_equal)},
            {"first_different_step", step_or_null(result.first_different)},
            {"different_tensors", result.tensors},
            {"different_keys", result.different_keys}};
  if (bisection) {
    json["bisection"] = {
        {"replayed_from", bisection->start},
        {"first_different_step", step_or_null(bisection->first_different)},
        {"different_tensors", bisection->tensors},
        {"unlike_record", {step_or_null(bisection->unlike_record[0]), step_or_null(bisection->unlike_record[1])}}};
  }
  console.json(json);
  print_comparison(console.result(), result, runs[0], runs[1]);
  if (bisection) print_bisection(console.result(), *bisection, runs);
  return result.equal() ? kSuccess : kMismatch;
}

}  // namespace bitcycle::cli
