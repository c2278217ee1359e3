// SPDX-License-Identifier: Apache-2.0
#include "report/page_tables.h"

#include <algorithm>
#include <sstream>

#include "nn/train/perplexity.h"
#include "report/html_table.h"
#include "report/words.h"

namespace bitcycle::report {
namespace {

constexpr std::size_t kMostPoints = 400;  // of a loss curve: as many as a screen shows
constexpr double kGiga = 1e-9;

std::string metric(bool executed) { return executed ? "executed" : "paper"; }
std::string state(bool finished) { return finished ? "finished" : "unfinished"; }
std::string yes(bool is_so) { return is_so ? "yes" : "no"; }

bool texts(const ReportData& data) { return data.runs.front().text(); }
/// "accuracy (%)", "accuracy, mean (%)", "perplexity".
std::string measure(const ReportData& data, const std::string& what = "") {
  const std::string behind = what.empty() ? "" : ", " + what;
  return texts(data) ? "perplexity" + behind : "accuracy" + behind + " (%)";
}

/// Tables of texts have one column more, behind that of the test's perplexity.
template <typename Entry>
std::vector<Entry> with_validation(const ReportData& data, std::vector<Entry> entries, std::ptrdiff_t place,
                                   const Entry& more) {
  if (texts(data)) entries.insert(entries.begin() + place, more);
  return entries;
}

std::string schedule_text(const ScheduleSpec& schedule) {
  const std::string smallest = smallest_width(schedule).text(), largest = largest_width(schedule).text();
  const std::string range = schedule.name + " " + (smallest == largest ? largest : smallest + "-" + largest);
  if (schedule.name == "constant" || schedule.name == "piecewise") return range;
  return range + ", " + exact(schedule.cycles) + (schedule.cycles == 1 ? " cycle" : " cycles");
}

const RecordedRun& first_run(const ReportData& data, const Experiment& experiment) {
  return data.runs[experiment.runs.front()];
}

template <typename Cost>
std::vector<bool> fronts(const ReportData& data, const Cost& cost_of) {
  std::vector<std::optional<double>> costs;
  for (std::size_t e = 0; e < data.experiments.size(); ++e) costs.push_back(cost_of(e));
  std::vector<bool> on(data.experiments.size(), false);
  for (const auto& comparison : data.comparisons) {
    const auto front = front_of(comparison, data.experiments, costs);
    for (const auto e : comparison.experiments) on[e] = front[e];
  }
  return on;
}

}  // namespace

std::string runs_table(const ReportData& data) {
  const std::vector<HtmlColumn> columns{{"run", "run", true},
                                        {"experiment", "experiment", true},
                                        {"model", "model", true},
                                        {"data", "data set", true},
                                        {"seed", "seed"},
                                        {"state", "state", true},
                                        {"done", "steps done"},
                                        {"planned", "steps planned"},
                                        {"batch", "batch"},
                                        {"forward", "forward bits", true},
                                        {"gradient", "gradient bits", true},
                                        {"accuracy", "last test " + measure(data)},
                                        {"accuracy_step", "evaluated after step"},
                                        {"best", "best test " + measure(data)},
                                        {"best_step", "best after step"},
                                        {"digest", "digest of the newest record", true},
                                        {"name", "name in the config", true},
                                        {"folder", "folder", true}};
  constexpr std::ptrdiff_t kValidation = 12;
  HtmlTable table("runs", with_validation(data, columns, kValidation, {"validation", "last validation perplexity"}));
  for (std::size_t i = 0; i < data.runs.size(); ++i) {
    const RecordedRun& run = data.runs[i];
    const auto experiment = std::find_if(data.experiments.begin(), data.experiments.end(), [&](const Experiment& e) {
      return std::find(e.runs.begin(), e.runs.end(), i) != e.runs.end();
    });
    const auto better = [&](const EvaluationRecord& a, const EvaluationRecord& b) {
      return run.text() ? quality_of(a) > quality_of(b) : quality_of(a) < quality_of(b);
    };
    const auto best = std::max_element(run.evaluations.begin(), run.evaluations.end(), better);
    const bool evaluated = best != run.evaluations.end();
    const HtmlCell none("");
    const std::vector<HtmlCell> cells{run.label,
                                      experiment->label,
                                      run.config.model.name,
                                      run.config.data.name,
                                      std::to_string(run.config.train.seed),
                                      state(run.finished),
                                      run.done,
                                      run.planned,
                                      run.config.train.batch,
                                      schedule_text(run.config.precision.forward),
                                      schedule_text(run.config.precision.gradient),
                                      run.quality(),
                                      evaluated ? HtmlCell(run.evaluations.back().step) : none,
                                      evaluated ? HtmlCell(quality_of(*best)) : none,
                                      evaluated ? HtmlCell(best->step) : none,
                                      run.digests.empty() ? std::string() : to_text(run.digests.back().second),
                                      run.config.name,
                                      run.folder.string()};
    table.row(with_validation(data, cells, kValidation, HtmlCell(run.validation())));
  }
  return table.html();
}

std::string experiments_table(const ReportData& data) {
  HtmlTable table("experiments", {{"experiment", "experiment", true},
                                  {"comparison", "data set and task", true},
                                  {"model", "model", true},
                                  {"seeds", "seeds"},
                                  {"state", "state", true},
                                  {"done", "steps done"},
                                  {"planned", "steps planned"},
                                  {"accuracy", "test " + measure(data, "mean")},
                                  {"deviation", texts(data) ? "standard deviation" : "standard deviation (%)"},
                                  {"paper", "GBitOPs, paper"},
                                  {"paper_percent", "% of baseline, paper"},
                                  {"paper_front", "on its Pareto front", true},
                                  {"executed", "GBitOPs, executed"},
                                  {"executed_percent", "% of baseline, executed"},
                                  {"executed_front", "on its Pareto front, executed", true},
                                  {"baseline", "bits of the baseline", true}});
  const auto paper = fronts(data, [&](std::size_t e) { return std::optional(data.costs[e].paper_bitops); });
  const auto executed = fronts(data, [&](std::size_t e) { return std::optional(data.costs[e].executed_bitops); });
  for (std::size_t e = 0; e < data.experiments.size(); ++e) {
    const Experiment& experiment = data.experiments[e];
    const RecordedRun& run = first_run(data, experiment);
    const ExperimentCost& cost = data.costs[e];
    const Comparison& comparison = data.comparisons[experiment.comparison];
    table.row({experiment.label, comparison.label, run.config.model.name,
               static_cast<std::int64_t>(experiment.runs.size()), state(experiment.finished), run.done, run.planned,
               experiment.accuracy_mean, experiment.accuracy_deviation, cost.paper_bitops * kGiga,
               percent_of(cost.paper_bitops, cost.baseline_paper_bitops), yes(paper[e]), cost.executed_bitops * kGiga,
               percent_of(cost.executed_bitops, cost.baseline_executed_bitops), yes(executed[e]),
               baseline_text(baseline_of(comparison, data.runs, data.experiments, data.baseline))});
  }
  return table.html();
}

std::string hardware_table(const ReportData& data) {
  HtmlTable table("hardware", {{"experiment", "experiment", true},
                               {"accelerator", "accelerator", true},
                               {"metric", "metric", true},
                               {"unit", "unit of energy", true},
                               {"arithmetic", "compute"},
                               {"buffers", "buffers"},
                               {"dram", "DRAM"},
                               {"leakage", "leakage"},
                               {"energy", "energy in total"},
                               {"cycles", "cycles"},
                               {"seconds", "time (s)"},
                               {"arithmetic_percent", "compute (% of baseline)"},
                               {"energy_percent", "energy (% of baseline)"},
                               {"cycles_percent", "cycles (% of baseline)"},
                               {"front", "on its Pareto front by energy", true},
                               {"refusal", "why a figure is missing", true}});
  for (std::size_t h = 0; h < 2 * data.accelerators.size(); ++h) {
    const auto on = fronts(data, [&](std::size_t e) {
      const auto& cost = data.costs[e].hardware[h].cost;
      return cost ? cost->energy : std::nullopt;
    });
    for (std::size_t e = 0; e < data.experiments.size(); ++e) {
      const HardwareCost& hardware = data.costs[e].hardware[h];
      const HardwareFigures cost = hardware.cost.value_or(HardwareFigures{}),
                            baseline = hardware.baseline.value_or(HardwareFigures{});
      table.row({data.experiments[e].label, data.accelerators[hardware.accelerator].name, metric(hardware.executed),
                 unit_of(data.accelerators[hardware.accelerator]), cost.arithmetic, cost.buffers, cost.dram,
                 cost.leakage, cost.energy, cost.cycles, cost.seconds, percent_of(cost.arithmetic, baseline.arithmetic),
                 percent_of(cost.energy, baseline.energy), percent_of(cost.cycles, baseline.cycles), yes(on[e]),
                 hardware.note == 0 ? "" : "note " + std::to_string(hardware.note)});
    }
  }
  return table.html();
}

std::string evaluations_table(const ReportData& data) {
  const std::vector<HtmlColumn> columns{
      {"run", "run", true},
      {"step", "after step"},
      {"epoch", "epoch"},
      {"accuracy", "test " + measure(data)},
      {"accuracy_max", texts(data) ? "at the largest width" : "at the largest width (%)"},
      {"test_loss", "test loss"},
      {"train_loss", "training loss since the last"},
      {"forward", "forward bits"},
      {"gradient", "gradient bits"},
      {"paper", "GBitOPs so far, paper"},
      {"executed", "GBitOPs so far, executed"}};
  constexpr std::ptrdiff_t kValidation = 3;
  HtmlTable table("evaluations", with_validation(data, columns, kValidation, {"validation", "validation perplexity"}));
  for (const auto& run : data.runs) {
    for (const auto& e : run.evaluations) {
      const double widest = e.text ? perplexity(e.text->test_max_width) : e.test_accuracy_max_width;
      const std::vector<HtmlCell> cells{run.label,       e.step,          e.epoch,           quality_of(e),
                                        widest,          e.test_loss,     e.train_loss,      e.forward_bits,
                                        e.gradient_bits, e.paper_gbitops, e.executed_gbitops};
      table.row(with_validation(data, cells, kValidation, HtmlCell(validation_of(e))));
    }
  }
  return table.html();
}

std::string loss_table(const ReportData& data) {
  HtmlTable table("loss", {{"run", "run", true},
                           {"first", "first step"},
                           {"last", "last step"},
                           {"loss", "training loss, mean of these steps"}});
  for (const auto& run : data.runs) {
    // Runs of one length have the same stretches of steps, so that their seeds can be averaged.
    const std::size_t stretch = std::max<std::size_t>(1, (run.steps.size() + kMostPoints - 1) / kMostPoints);
    for (std::size_t i = 0; i < run.steps.size(); i += stretch) {
      const std::size_t end = std::min(run.steps.size(), i + stretch);
      double sum = 0.0;
      for (std::size_t j = i; j < end; ++j) sum += run.steps[j].loss;
      table.row({run.label, run.steps[i].step, run.steps[end - 1].step, sum / static_cast<double>(end - i)});
    }
  }
  return table.html();
}

std::string bits_table(const ReportData& data) {
  HtmlTable table("bits", {{"experiment", "experiment", true},
                           {"first", "first step"},
                           {"last", "last step"},
                           {"forward", "forward bits"},
                           {"gradient", "gradient bits"}});
  for (const auto& experiment : data.experiments) {
    const auto& steps = first_run(data, experiment).steps;
    for (std::size_t begin = 0, end = 0; begin < steps.size(); begin = end) {
      const auto same = [&](const StepRecord& step) {
        return step.forward_bits == steps[begin].forward_bits && step.gradient_bits == steps[begin].gradient_bits;
      };
      while (end < steps.size() && same(steps[end])) ++end;
      table.row({experiment.label, steps[begin].step, steps[end - 1].step, steps[begin].forward_bits,
                 steps[begin].gradient_bits});
    }
  }
  return table.html();
}

std::string layer_tables(const ReportData& data) {
  std::string html;
  for (std::size_t e = 0; e < data.experiments.size(); ++e) {
    for (const auto& hardware : data.costs[e].hardware) {
      if (hardware.layers.empty()) continue;
      const std::string& experiment = data.experiments[e].label;
      const std::string& accelerator = data.accelerators[hardware.accelerator].name;
      const bool relative = data.accelerators[hardware.accelerator].relative();
      const std::string unit = relative ? " (units)" : " (mJ)";
      const double scale = relative ? 1.0 : 1e3;
      HtmlTable table("layers", {{"layer", "layer", true},
                                 {"forward", "forward" + unit},
                                 {"error", "error" + unit},
                                 {"weight_gradient", "weight gradient" + unit},
                                 {"arithmetic", "compute" + unit},
                                 {"buffers", "buffers" + unit},
                                 {"dram", "DRAM" + unit},
                                 {"leakage", "leakage" + unit},
                                 {"total", "in total" + unit}});
      for (const auto& layer : hardware.layers) {
        // A pass that does not run, and a part that the accelerator does not price, is a dash.
        const auto energy = [&](double value) { return value > 0.0 ? std::optional(value * scale) : std::nullopt; };
        table.row({layer.layer, energy(layer.passes[0]), energy(layer.passes[1]), energy(layer.passes[2]),
                   energy(layer.arithmetic), energy(layer.buffers), energy(layer.dram), energy(layer.leakage),
                   energy(layer.total())});
      }
      html += "<details class=\"layers\" data-experiment=\"" + escaped(experiment) + "\" data-accelerator=\"" +
              escaped(accelerator) + "\" data-metric=\"" + metric(hardware.executed) +
              "\"><summary>Table: energy of every layer, " + escaped(experiment) + " on " + escaped(accelerator) +
              ", metric <code>" + metric(hardware.executed) + "</code></summary>" + table.html() + "</details>\n";
    }
  }
  return html;
}

std::string configs_html(const ReportData& data) {
  std::string html;
  for (const auto& run : data.runs) {
    std::string text, line;
    for (std::istringstream config(config_yaml(run.config)); std::getline(config, line);) text += escaped(line) + "\n";
    html += "<details><summary>Config of " + escaped(run.label) + "</summary><pre>" + text + "</pre></details>\n";
  }
  return html;
}

std::string accelerators_html(const ReportData& data) {
  std::string html;
  for (const auto& accelerator : data.accelerators) {
    html +=
        "<details><summary>Constants of " + escaped(accelerator.name) + "</summary><p>" +
        escaped(accelerator.described()) +
        (accelerator.relative() ? " Energies are ratios: one unit is " + escaped(accelerator.relative_to) + "." : "") +
        "</p><ul>";
    for (const auto& constant : accelerator.constants) html += "<li>" + escaped(constant) + "\n";
    html += "</ul></details>\n";
  }
  return html;
}

}  // namespace bitcycle::report
