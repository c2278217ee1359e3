// SPDX-License-Identifier: Apache-2.0
// bitcycle verify: compares the digests of two runs; names the first step and the tensors that differ.
#include "nn/train/verify.h"

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
    out << "Nothing to compare: no step is recorded in both (" << first << " up to step "
        << grouped(result.last_step[0]) << ", " << second << " up to " << grouped(result.last_step[1]) << ").\n";
    return;
  }
  if (result.equal()) {
    out << "Equal at all " << grouped(result.compared) << " recorded steps, the last being "
        << grouped(result.last_equal) << ".\n";
    if (result.last_step[0] != result.last_step[1]) {
      out << "They go to different steps: " << first << " to " << grouped(result.last_step[0]) << ", " << second
          << " to " << grouped(result.last_step[1]) << ".\n";
    }
    return;
  }
  out << "Different first at recorded step " << grouped(result.first_different);
  if (result.last_equal >= 0) out << " (equal at step " << grouped(result.last_equal) << ")";
  out << ".\nFirst tensor that differs: " << first_and_more(result.tensors) << ".\n";
}

void print_bisection(std::ostream& out, const Bisection& found, const std::string (&runs)[2]) {
  if (found.first_different >= 0) {
    out << "Replayed from step " << grouped(found.start) << ": different first after " << grouped(found.first_different)
        << " steps.\nFirst tensor that differs: " << first_and_more(found.tensors) << ".\n";
  } else {
    out << "Replayed from step " << grouped(found.start) << " to " << grouped(found.replayed_to)
        << ": here both give the same bits.\n";
  }
  for (int i = 0; i < 2; ++i) {
    if (found.unlike_record[i] < 0) continue;
    out << runs[i] << " recorded other bits at step " << grouped(found.unlike_record[i])
        << " than it gives here: it was computed with something else.\n";
  }
}

}  // namespace

int run_verify(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"bisect", "", "replays both runs from their last equal checkpoints, to the step that differs"}};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(json_option());
  CommandLine line(
      {"verify", "RUN RUN",
       "Compares the digests that two runs recorded (every digest.every steps, and at evaluations and\n"
       "checkpoints). Exit code 0 where all steps recorded in both are equal, 3 where one differs or none\n"
       "is common. --isa, --threads and --device apply to --bisect, instead of what each run's config says.",
       "bitcycle verify runs/quickstart runs/quickstart.1"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(2);
  Console console(line.json(), false);
  const std::string runs[2] = {line.positional()[0], line.positional()[1]};
  const RunFolder a = RunFolder::existing(runs[0]);
  const RunFolder b = RunFolder::existing(runs[1]);
  const RunComparison result = compare_runs(a, b);

  std::optional<Bisection> bisection;
  if (line.has("bisect") && result.first_different >= 0) {
    const auto backend_a = make_backend(read_config_or_run(runs[0], line).config.execution);
    const auto backend_b = make_backend(read_config_or_run(runs[1], line).config.execution);
    bisection = bisect_runs(a, *backend_a, b, *backend_b);
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
