// SPDX-License-Identifier: Apache-2.0
// bitcycle replay: computes a recorded case again (an operator, a step, a trajectory, images) and compares.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/verbs.h"
#include "nn/train/replay_report.h"

namespace bitcycle::cli {
namespace {

/// "0" for equal bits, "1.2e-07" otherwise.
std::string deviation_text(double value) {
  if (value == 0.0) return "0";
  char text[32];
  std::snprintf(text, sizeof text, "%.2e", value);
  return text;
}

}  // namespace

int run_replay(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"data", "DIR",
       "where a trajectory finds CIFAR-10's binary files, and images the folders of their sets; default: none"},
      {"out", "DIR", "writes codes, scales, accumulators and results there, as .npy; default: nothing is written"}};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(json_option());
  CommandLine line(
      {"replay", "CASE",
       "Computes the case that the folder CASE records (case.json and arrays) again, and compares every\n"
       "result. It prints one line for each array, tensor or step, with the largest deviation beside its\n"
       "tolerance (0: the bits must be equal). Tolerances are those of case.json (close_tolerance,\n"
       "loss_tolerance, tolerance by tensor), or the defaults. The exit code is 0 if all results are within\n"
       "them, and 3 if one is not. A case without recorded results is computed for --out alone.",
       "bitcycle replay tests/golden/ops/conv3x3_b8_g8 --isa portable --out /tmp/replayed"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(1);
  Console console(line.json(), false);

  ExecutionConfig execution;
  execution.isa = line.choice("isa", "auto", isa_choices());
  execution.threads = static_cast<int>(std::min<std::int64_t>(line.integer("threads", 0, 0), 4096));
  execution.device = line.choice("device", "cpu", device_names());

  ReplayPaths paths;
  paths.case_dir = line.positional()[0];
  if (line.has("data")) paths.data_dir = line.text("data");
  if (paths.data_dir && !std::filesystem::is_directory(*paths.data_dir)) {
    line.fail("--data '" + paths.data_dir->string() + "' is no folder");
  }
  if (line.has("out")) paths.out_dir = line.text("out");
  std::error_code absent;
  if (paths.out_dir && std::filesystem::equivalent(*paths.out_dir, paths.case_dir, absent)) {
    line.fail("--out " + paths.out_dir->string() +
              " is the case itself, whose recorded arrays would be overwritten; name another folder");
  }
  if (paths.out_dir && std::filesystem::exists(*paths.out_dir, absent)) {
    const std::string out = "--out " + paths.out_dir->string();
    if (std::filesystem::is_regular_file(*paths.out_dir, absent)) line.fail(out + " is a file; name a folder");
    if (std::filesystem::exists(*paths.out_dir / "config.yaml", absent)) {
      line.fail(out + " is the folder of a run, whose files would be mixed with the case's; name another folder");
    }
  }
  const auto device = make_device(execution, line);
  const ReplayReport report = replay_case(paths, *device);

  nlohmann::ordered_json json{{"case", paths.case_dir.string()}, {"kind", report.kind}, {"backend", device->name()}};
  if (!report.gradient_rounding.empty()) json["gradient_rounding"] = report.gradient_rounding;
  json["ok"] = report.compared() ? nlohmann::ordered_json(report.ok()) : nlohmann::ordered_json();
  auto& lines = json["results"] = nlohmann::ordered_json::array();
  Table table({report.kind, "deviation", "tolerance", "", ""});
  for (const auto& item : report.lines) {
    lines.push_back({{"name", item.name},
                     {"deviation", item.deviation},
                     {"tolerance", item.tolerance},
                     {"checked", item.checked},
                     {"ok", item.ok},
                     {"note", item.note}});
    table.add({item.name, deviation_text(item.deviation), item.checked ? deviation_text(item.tolerance) : "-",
               !item.checked ? "shown" : (item.ok ? "ok" : "DIFFERS"), item.note});
  }
  if (!report.compared() && !paths.out_dir) {
    throw std::runtime_error("'" + paths.case_dir.string() + "' records no results (the lists 'exact' and 'close' of " +
                             "its case.json), so there is nothing to compare; --out DIR writes what is computed");
  }
  console.json(json);
  std::ostream& out = console.result();
  const std::string rounding =
      report.gradient_rounding.empty() ? "" : "The gradient dy is rounded " + report.gradient_rounding + ".\n";
  if (!report.compared()) {
    out << paths.case_dir.string() << " on " << device->name()
        << ": the case records no results, so nothing was compared; what was computed is in " << paths.out_dir->string()
        << "\n"
        << rounding;
    return kSuccess;
  }
  out << paths.case_dir.string() << " on " << device->name() << "\n\n";
  table.print(out);
  if (!rounding.empty()) out << "\n" << rounding;
  const auto missing =
      std::count_if(report.lines.begin(), report.lines.end(), [](const ReplayLine& one) { return one.absent; });
  if (missing > 0) out << "\n" << missing << " of " << report.lines.size() << " were not at hand and not compared.\n";
  out << (report.ok() ? missing > 0 ? "\nAll that was compared is within its tolerance.\n"
                                    : "\nAll results are within their tolerances.\n"
                      : "\nSome results are outside their tolerances; they are marked DIFFERS.\n");
  return report.ok() ? kSuccess : kMismatch;
}

}  // namespace bitcycle::cli
