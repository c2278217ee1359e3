// SPDX-License-Identifier: Apache-2.0
// bitcycle report: one page of any number of runs.
#include "report/report.h"

#include <filesystem>
#include <stdexcept>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/price.h"
#include "cli/verbs.h"
#include "nn/io/atomic_file.h"

namespace bitcycle::cli {

namespace fs = std::filesystem;

std::vector<std::string> report_accelerators() {
  return {"bitfusion-45nm", "systolic-int8", "stripes", "horowitz-45nm"};
}

int run_report(const std::vector<std::string>& arguments) {
  CommandLine line(
      {"report", "RUN...",
       "Writes one self-contained HTML page of the runs: accuracy against BitOPs and against energy with the\n"
       "Pareto front, curves over steps, energy by layer, pass and component, and the tables behind them.\n"
       "It opens from disk without network. Every training writes one of its own into its run folder.",
       "bitcycle report runs/quickstart\n"
       "bitcycle report runs/resnet20-cpt runs/resnet20-static --accelerator bitfusion-45nm --out compare.html"},
      {{"accelerator", "NAME",
        "prices on this design: a name of configs/accelerators, or a YAML file; may be repeated"},
       {"out", "FILE", "default: report.html in the first run's folder"},
       {"set", "KEY=VALUE", "accelerator.KEY=VALUE sets a key of the accelerators; may be repeated"},
       json_option()});
  if (!line.parse(arguments)) return kSuccess;
  if (line.positional().empty()) line.fail("a run folder is needed");
  for (const auto& setting : line.texts("set")) {
    if (!setting.starts_with("accelerator."))
      line.fail("--set " + setting + ": a recorded run's config cannot be changed; only accelerator.*");
  }
  Console console(line.json(), false);
  std::vector<fs::path> runs(line.positional().begin(), line.positional().end());
  const fs::path out = line.has("out") ? fs::path(line.text("out")) : runs.front() / "report.html";
  const auto data = report::report_data(runs, accelerators_of(line, report_accelerators()));
  write_file_atomically(out, report::report_html(data));
  console.json({{"report", out.string()}, {"runs", runs.size()}, {"experiments", data["groups"].size()}});
  console.result() << "Report: " << out.string() << "\n";
  return kSuccess;
}

}  // namespace bitcycle::cli
