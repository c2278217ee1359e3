// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "report/assets.h"
#include "report/page_tables.h"
#include "report/words.h"

namespace bitcycle::report {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < words.size() ? ", " : " and ") + words[i];
  }
  return text;
}

std::string counted(std::size_t count, const std::string& one, const std::string& many) {
  return exact(static_cast<std::int64_t>(count)) + " " + (count == 1 ? one : many);
}

std::string bits_of(const LayerWidths& widths) {
  const auto bits = [](BitWidth width) { return width.is_float32() ? width.text() : width.text() + " bits"; };
  return bits(widths.forward) + " forward and " + bits(widths.gradient) + " backward";
}

bool reads_texts(const ReportData& data) { return data.runs.front().text(); }

/// Accuracies and perplexities have no common axis.
void require_one_measure(const ReportData& data) {
  for (const auto& run : data.runs) {
    if (run.text() == reads_texts(data)) continue;
    throw std::invalid_argument("'" + data.runs.front().folder.string() + "' and '" + run.folder.string() +
                                "' cannot be on one page: one trains on a text and has perplexities, the other on " +
                                "images and has accuracies; report them apart");
  }
}

/// Unfinished runs, runs without an evaluation, several data sets: what the plots and fronts leave out, and why.
void add_run_notes(ReportData& data) {
  std::vector<std::string> unfinished;
  for (const auto& run : data.runs) {
    if (run.finished) continue;
    const std::string steps = run.done < run.planned ? exact(run.done) + " of " + exact(run.planned) + " planned steps"
                                                     : "all " + exact(run.planned) + " steps are" +
                                                           " done, but no summary.json, which `bitcycle train` writes";
    unfinished.push_back(run.label + " (" + steps + ")");
  }
  if (!unfinished.empty()) {
    data.notes.push_back("Unfinished: " + joined(unfinished) +
                         ". Costs are those of the steps done; unfinished runs are "
                         "drawn with a dotted outline and are on no Pareto front.");
  }
  std::vector<std::string> not_evaluated;
  for (const auto& run : data.runs) {
    if (!run.quality()) not_evaluated.push_back(run.label);
  }
  if (!not_evaluated.empty()) {
    data.notes.push_back(std::string("Not evaluated yet, so without ") +
                         (reads_texts(data) ? "a perplexity: " : "an accuracy: ") + joined(not_evaluated) + ".");
  }
  if (data.comparisons.size() > 1) {
    std::vector<std::string> labels;
    for (const auto& comparison : data.comparisons) labels.push_back(comparison.label);
    data.notes.push_back("The runs belong to different data sets or tasks: " + joined(labels) +
                         (reads_texts(data) ? ". Perplexities" : ". Accuracies") +
                         " are compared, and Pareto fronts drawn, only within one of them.");
  }
}

/// "8 bits forward and 8 bits backward; conv1 12 bits forward ...".
std::string words_of(const Baseline& baseline) {
  std::string text = bits_of(baseline.widths);
  for (const auto& [widths, layers] : baseline.apart) {
    std::vector<std::string> names = layers;
    if (names.size() > 3) names = {counted(names.size(), "layer", "layers")};
    text += ", but " + joined(names) + " at " + bits_of(widths);
  }
  if (baseline.reached)
    text += " (which no step has: the largest widths of any step are " + bits_of(*baseline.reached) + ")";
  return text;
}

std::string baseline_sentence(const ReportData& data) {
  std::vector<std::string> bits, widths;
  for (const auto& comparison : data.comparisons) {
    bits.push_back(words_of(baseline_of(comparison, data.runs, data.experiments, data.baseline)));
    widths.push_back(bits.back() + " for " + comparison.label);
  }
  if (std::all_of(bits.begin(), bits.end(), [&](const auto& one) { return one == bits.front(); }))
    widths = {bits.front()};
  const std::string chosen = data.baseline           ? "the bit-widths that were asked for with --baseline"
                             : data.runs.size() == 1 ? "the largest bit-widths that its schedules name"
                                                     : "the largest integer bit-widths that the schedules of all "
                                                       "compared runs name";
  return "The baseline is the same number of steps of the same model, static at " + chosen + ": " + joined(widths) +
         ".";
}

std::string percent(double value) { return rounded(value) + "\u00A0%"; }  // a space that keeps both on one line

std::string lead(const ReportData& data) {
  if (data.experiments.size() != 1) {
    return "This report compares " + counted(data.runs.size(), "run", "runs") + " in " +
           counted(data.experiments.size(), "experiment", "experiments") +
           ". Runs that differ only by their seed belong to one experiment.";
  }
  const RecordedRun& run = data.runs.front();
  const Experiment& experiment = data.experiments.front();
  const ExperimentCost& cost = data.costs.front();
  const bool one = data.runs.size() == 1;
  std::string text = (one ? "The run " + run.label + " trains " : "The runs of " + experiment.label + " train ") +
                     run.config.model.name + " on the data set " + data.comparisons.front().label + "; " +
                     (run.done == run.planned ? "all " : exact(run.done) + " of ") + exact(run.planned) +
                     " planned steps are done. ";
  const bool perplexities = reads_texts(data);
  const std::string measure = perplexities ? "perplexity" : "accuracy",
                    measures = perplexities ? "perplexities" : "accuracies";
  const double mean = experiment.accuracy_mean.value_or(0.0);
  const std::string value = perplexities ? rounded(mean) : percent(mean);
  const auto last = run.validation();
  const std::string validation = last ? ", that of the validation text " + rounded(*last) : "";
  text += !experiment.accuracy_mean ? "It has not been evaluated yet. "
          : one                     ? "The last test " + measure + " is " + value + validation + ". "
                                    : "The mean of the last test " + measures + " is " + value + ". ";
  const double saving = 100.0 - percent_of(cost.paper_bitops, cost.baseline_paper_bitops).value_or(100.0);
  text += "These steps took " + rounded(cost.paper_bitops * 1e-9) + " GBitOPs by the metric paper" +
          (saving == 0.0  ? ", as much as"
           : saving > 0.0 ? ", " + percent(saving) + " less than"
                          : ", " + percent(-saving) + " more than") +
          " the baseline, and " + rounded(cost.executed_bitops * 1e-9) + " GBitOPs by the metric executed.";
  return text;
}

std::string list_of(const std::vector<std::string>& notes) {
  if (notes.empty()) return "";
  std::string html = "<ul class=\"notes\">";
  for (const auto& note : notes) html += "<li>" + escaped(note) + "\n";
  return html + "</ul>\n";
}

/// The table of costs refers to them by number.
std::string numbered(const std::vector<std::string>& notes) {
  std::string html;
  for (std::size_t i = 0; i < notes.size(); ++i) {
    html += "<li>Note " + std::to_string(i + 1) + ": " + escaped(notes[i]) + "\n";
  }
  return html.empty() ? "" : "<ul class=\"notes\">" + html + "</ul>\n";
}

std::string title(const ReportData& data) {
  return data.runs.size() == 1 ? "bitcycle report: " + data.runs.front().label
                               : "bitcycle report: " + counted(data.runs.size(), "run", "runs");
}

}  // namespace

void add_pricing_notes(ReportData& data) {
  struct Refusal {
    std::string accelerator, widths, reason;
    bool of_baseline = false;
    auto operator<=>(const Refusal&) const = default;
  };
  std::map<Refusal, std::vector<std::string>> refused;  // -> experiments
  const auto refusal_of = [&](const HardwareCost& hardware) -> std::optional<Refusal> {
    const bool of_baseline = hardware.refusal.empty();
    const std::string& reason = of_baseline ? hardware.baseline_refusal : hardware.refusal;
    if (reason.empty()) return std::nullopt;
    return Refusal{shown(data.accelerators[hardware.accelerator].name), hardware.executed ? "executed" : "scheduled",
                   shown(reason), of_baseline};
  };
  for (std::size_t e = 0; e < data.experiments.size(); ++e) {
    for (const auto& hardware : data.costs[e].hardware) {
      if (const auto refusal = refusal_of(hardware)) refused[*refusal].push_back(data.experiments[e].label);
    }
  }
  for (auto& cost : data.costs) {
    for (auto& hardware : cost.hardware) {
      const auto refusal = refusal_of(hardware);
      if (refusal) hardware.note = 1 + static_cast<std::size_t>(std::distance(refused.begin(), refused.find(*refusal)));
    }
  }
  for (const auto& [refusal, experiments] : refused) {
    const bool all = data.experiments.size() > 1 && experiments.size() == data.experiments.size();
    std::string what = all ? "no experiment could" : joined(experiments) + " could not";
    if (refusal.of_baseline) what = "the baseline of " + (all ? "all experiments" : joined(experiments)) + " could not";
    data.pricing_notes.push_back(
        "On " + refusal.accelerator + ", " + what + " be priced at the " + refusal.widths + " widths: " +
        refusal.reason + (refusal.of_baseline ? "; --baseline compares with other widths, e.g. static-8." : "."));
  }
}

ReportData report_data(const std::vector<std::filesystem::path>& folders, const std::vector<Accelerator>& accelerators,
                       const std::optional<LayerWidths>& baseline) {
  ReportData data;
  data.accelerators = accelerators;
  data.baseline = baseline;
  for (const auto& folder : folders) data.runs.push_back(read_run(folder));
  require_one_measure(data);
  data.notes = remove_repeats(data.runs);
  label_runs(data.runs);
  data.experiments = experiments_of(data.runs);
  data.comparisons = comparisons_of(data.runs, data.experiments);
  data.costs = costs_of(data.runs, data.experiments, data.comparisons, accelerators, baseline);
  add_run_notes(data);
  add_pricing_notes(data);
  return data;
}

std::string report_html(const ReportData& data) {
  const std::map<std::string, std::string> parts{{"TITLE", escaped(title(data))},
                                                 {"STYLE", kStyle},
                                                 {"PLOT STYLE", kPlotStyle},
                                                 {"SCRIPT", kScript},
                                                 {"LEAD", escaped(lead(data))},
                                                 {"MEASURE", reads_texts(data) ? "perplexity" : "accuracy"},
                                                 {"CAPITAL MEASURE", reads_texts(data) ? "Perplexity" : "Accuracy"},
                                                 {"BEST", reads_texts(data) ? "lowest perplexity" : "best accuracy"},
                                                 {"NOTES", list_of(data.notes)},
                                                 {"PRICING NOTES", numbered(data.pricing_notes)},
                                                 {"BASELINE", escaped(baseline_sentence(data))},
                                                 {"RUNS", runs_table(data)},
                                                 {"EXPERIMENTS", experiments_table(data)},
                                                 {"HARDWARE", hardware_table(data)},
                                                 {"EVALUATIONS", evaluations_table(data)},
                                                 {"LOSS", loss_table(data)},
                                                 {"BITS", bits_table(data)},
                                                 {"LAYERS", layer_tables(data)},
                                                 {"CONFIGS", configs_html(data)},
                                                 {"ACCELERATORS", accelerators_html(data)}};
  // One walk over the template: what is put in is never searched for places.
  const std::string page = kPage;
  std::string html;
  for (std::size_t at = 0;;) {
    const std::size_t begin = page.find("{{", at), end = page.find("}}", begin);
    if (end == std::string::npos) return html + page.substr(at);
    html += page.substr(at, begin - at) + parts.at(page.substr(begin + 2, end - begin - 2));
    at = end + 2;
  }
}

}  // namespace bitcycle::report
