// SPDX-License-Identifier: Apache-2.0
// bitcycle report: one page of any number of runs.
#include "report/report.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/price.h"
#include "cli/verbs.h"
#include "nn/io/atomic_file.h"
#include "nn/train/run_damage.h"

namespace bitcycle::cli {

namespace fs = std::filesystem;

std::vector<std::string> report_accelerators() {
  return {"bitfusion-45nm", "systolic-int8", "stripes", "horowitz-45nm"};
}

int run_report(const std::vector<std::string>& arguments) {
  CommandLine line(
      {"report", "RUN...",
       "Writes one self-contained HTML page of the runs: accuracy against bit operations and energy with the\n"
       "Pareto fronts, cost beside one baseline, curves over steps, energy per layer, and tables that hold every\n"
       "number. It opens from disk without a network, and its tables are readable without JavaScript.\n"
       "Runs that differ only by seed are one experiment. Only runs of one data set and task are compared.\n"
       "Every training writes a report of its own into its run folder.",
       "bitcycle report runs/quickstart\n"
       "bitcycle report runs/resnet20-cpt runs/resnet20-static --accelerator bitfusion-45nm --out compare.html"},
      {{"accelerator", "NAME",
        "prices on this design: a name of configs/accelerators, or a YAML file; default: bitfusion-45nm, "
        "systolic-int8, stripes and horowitz-45nm; may be repeated"},
       {"baseline", "WIDTHS",
        "compares costs with this static training, e.g. static-8 or static-8/6; default: the largest widths of all "
        "runs"},
       {"out", "FILE",
        "default: report.html in the first run's folder; only an earlier report is overwritten, no other file"},
       {"set", "KEY=VALUE", "accelerator.KEY=VALUE sets a key of the accelerators; may be repeated"},
       json_option()});
  if (!line.parse(arguments)) return kSuccess;
  if (line.positional().empty()) line.fail_for_want("needs RUN, the folder of a run");
  for (const auto& setting : line.texts("set")) {
    if (!setting.starts_with("accelerator."))
      line.fail("--set " + setting + ": the config of a recorded run cannot be changed; only accelerator.* can be set");
  }
  Console console(line.json(), false);
  const std::vector<fs::path> runs(line.positional().begin(), line.positional().end());
  const fs::path out = line.has("out") ? fs::path(line.text("out")) : runs.front() / "report.html";
  if (out.empty()) line.fail("--out is empty: the path of a file is needed");
  report::check_report_path(out);
  const auto data = report::report_data(runs, accelerators_of(line, report_accelerators()), baseline_of(line));
  for (const auto& note : data.notes) console.warning(note);
  for (const auto& note : data.pricing_notes) {
    if (note.find("--baseline") != std::string::npos) console.warning(note);
  }
  for (const auto& run : runs) {
    const RunFolder folder = RunFolder::existing(run);
    for (const auto& text : damage_of(folder)) console.warning(text);
    for (const auto& text : unsealed_note(folder)) console.warning(text);
  }
  write_file_atomically(out, report::report_html(data));
  console.json({{"report", out.string()},
                {"runs", data.runs.size()},
                {"experiments", data.experiments.size()},
                {"comparisons", data.comparisons.size()},
                {"notes", data.notes},
                {"pricing_notes", data.pricing_notes}});
  console.result() << "Report: " << out.string() << "\n";
  return kSuccess;
}

}  // namespace bitcycle::cli
