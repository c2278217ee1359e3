// SPDX-License-Identifier: Apache-2.0
// bitcycle cost: what a training costs, by layer, pass and pair of widths, in both metrics; nothing is trained.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/cost_input.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/price.h"
#include "cli/validate.h"
#include "cli/verbs.h"
#include "cost_models/bitops_report.h"

namespace bitcycle::cli {
namespace {

constexpr double kGiga = 1e-9;

std::vector<std::string> cells(const std::string& name, const BitOpsSum& sum, const BitOpsSum& total) {
  const auto giga = [](double value, double largest) { return grouped(value * kGiga, decimals_for(largest * kGiga)); };
  return {name, giga(sum.macs, total.macs), giga(sum.paper, total.paper),
          fixed(100.0 * sum.paper / total.paper, 1) + " %", giga(sum.executed, total.executed)};
}

std::string widths_text(const LayerWidths& widths) { return widths.forward.text() + "/" + widths.gradient.text(); }

/// What of a step the metric `paper` counts, as the config has it.
std::string counted_text(const BitOpsOptions& options) {
  const std::string batch_norm =
      "batch norm is " + std::string(options.count_batch_norm ? "" : "not ") + "counted (cost.count_batch_norm)";
  if (options.paper_layers == "*" && options.paper_samples == 0) return "; " + batch_norm;
  const std::string samples = options.paper_samples == 0 ? "every sample" : grouped(options.paper_samples);
  return "; of each step it\n            counts " + samples + " (cost.paper_samples), and of the layers " +
         options.paper_layers + "\n            (cost.paper_layers), where GMAC counts all; " + batch_norm;
}

void print_table(std::ostream& out, const CostInput& input, const BitOpsReport& report, bool layers) {
  const BitOpsSum& total = report.total;
  const std::string what = input.whole_batches ? "a step" : (input.sample == "image" ? "an " : "a ") + input.sample;
  double macs = static_cast<double>(report.macs_per_image);
  std::string passes = "forward";
  const auto& operations = input.workload.matrix;
  if (!std::all_of(operations.begin(), operations.end(), [](const auto& one) { return one.has(Pass::kForward); })) {
    macs = total.macs / static_cast<double>(input.steps) / static_cast<double>(input.batch);
    passes = "in all passes of the rows";
  }
  out << heading(input) << "; " << figures(1e-6 * macs) << " million MACs for " << what << ", " << passes << "\n";
  for (const auto& note : input.notes) out << "  " << note << "\n";
  out << "\n";

  const auto header = [](const std::string& first) {
    return std::vector<std::string>{first, "GMAC", "GBitOPs 'paper'", "share", "GBitOPs 'executed'"};
  };
  Table pass_table(header("pass"));
  for (const auto& [pass, sum] : report.passes) {
    if (sum.macs > 0.0) pass_table.add(cells(pass_name(pass), sum, total));
  }
  pass_table.rule();
  pass_table.add(cells("all", total, total));
  pass_table.print(out);

  out << '\n';
  Table width_table(header("bits, forward/gradient"));
  for (const auto& [pair, sum] : report.widths) width_table.add(cells(widths_text(pair), sum, total));
  width_table.print(out);

  if (layers) {
    out << '\n';
    Table layer_table(header("layer and pass"));
    for (const auto& layer : report.layers) {
      layer_table.add(cells(layer.layer, layer.total, total));
      for (std::size_t i = 0; i < kPasses.size(); ++i) {
        if (layer.passes[i].macs > 0.0) layer_table.add(cells("  " + pass_name(kPasses[i]), layer.passes[i], total));
      }
    }
    layer_table.print(out);
  }

  out << "\n  saving " << fixed(report.saving_percent, 3) << " % by 'paper', against static "
      << widths_text(report.static_widths) << " bits (" << figures(report.static_total.paper * kGiga) << " GBitOPs"
      << (report.common_baseline     ? ", every layer"
          : sets_layers_apart(input) ? ", layers with a schedule of their own at its largest widths"
                                     : "")
      << ")\n";
  if (!report.common_baseline) {
    if (const auto note = unreached_note(input)) out << "  " << *note << "\n";
  }
  out << "\n"
      << "  BitOPs = MACs x bits of one operand x bits of the other.\n"
      << "  paper     every MAC in all three passes at the scheduled widths: b*b + b*bg + b*bg, as the paper's code\n"
      << "            counts" << counted_text(report.options) << "\n"
      << "  executed  what ran: float32 layers at 32x32, no error pass for the first layer, the error pass's weights "
         "at\n"
      << "            the width of their grid where precision.error_weights is shared\n";
  if (!layers) out << "\n  --layers shows every layer and pass; --format csv every layer, pass and width\n";
}

}  // namespace

int run_cost(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{{"format", "NAME", "table, csv, json or scalesim; default: table"},
                                  {"layers", "", "the table with a row for every layer and pass"}};
  for (const auto& option : schedule_options()) options.push_back(option);
  for (const auto& option : pricing_options()) options.push_back(option);
  options.push_back(
      {"explain", "LAYER",
       "explains the cost of this layer instead: formulas with its numbers; default: the table, without"});
  options.push_back({"widths", "LHSxRHS", "widths for rows of LAYERS that give none; default: 8x8"});
  options.push_back(
      {"out", "PATH",
       "writes to this file, with --format scalesim the two reports to this folder; default: standard output"});
  options.push_back({"validate", "", "prints what each model was checked against, compared again; no CONFIG"});
  options.push_back(set_option());
  options.push_back(json_option());
  CommandLine line(
      {"cost", "CONFIG|RUN|LAYERS",
       "Counts the bit operations of a training: those of the whole run that a CONFIG describes, or of the\n"
       "steps that a RUN folder has done. There are always two metrics: what the paper counts, and what is\n"
       "executed. With --accelerator it computes energy, cycles and traffic on hardware. Nothing is trained.\n"
       "LAYERS is an ONNX model (.onnx), or a CSV file of your own layers in SCALE-Sim's format (convolutions,\n"
       "or Layer, M, N, K), with further columns such as batch, padding and pass. With --schedule or\n"
       "--precision it is priced like a model; without them, each layer is one product.",
       "bitcycle cost configs/quickstart.yaml\n"
       "bitcycle cost configs/quickstart.yaml --precision cyclic_cosine:4-8/8,cycles=8 --format csv\n"
       "bitcycle cost configs/quickstart.yaml --accelerator bitfusion-45nm --accelerator stripes\n"
       "bitcycle cost runs/quickstart --accelerator systolic-int8 --explain conv1\n"
       "bitcycle cost layers.csv --precision cyclic_cosine:3-8/8,cycles=32,steps=64000,batch=128\n"
       "bitcycle cost model.onnx --schedule configs/quickstart.yaml --batch 64 --accelerator bitfusion-45nm\n"
       "bitcycle cost layers.csv --accelerator systolic-int8 --set accelerator.dataflow=ws --widths 8x4"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  if (line.has("validate")) {
    if (!line.positional().empty()) line.fail("--validate takes no CONFIG: it prices the recorded runs");
    if (line.has("out")) line.fail("--validate writes to standard output; redirect it to save it: --validate > FILE");
    return run_validation(line.json());
  }
  line.require_positional(1);
  const bool scheduled = !is_layers_file(line.positional()[0]) || line.has("schedule") || line.has("precision");
  if (!scheduled || line.has("accelerator") || line.has("explain") || line.text("format") == "scalesim") {
    return run_pricing(line);
  }
  for (const char* name : {"metric", "weight-update", "quantisation", "batch-norm", "pooling", "language", "widths"}) {
    if (line.has(name)) line.fail(std::string("--") + name + " needs an --accelerator");
  }
  if (!line.accelerator_settings().empty()) line.fail("--set accelerator.* needs an --accelerator");
  const std::string format = output_format(line, {"table", "csv", "json", "scalesim"});
  if (line.has("layers") && format != "table") line.fail("--layers is for the table; other formats hold every layer");
  const CostInput input = read_cost_input(line);
  const auto baseline = baseline_of(line);
  const BitOpsReport report = bitops_report(input.name, input.workload, input.plan, 0, input.steps, input.bitops,
                                            baseline ? &*baseline : nullptr);
  if (format == "csv") {
    write_result(line, bitops_csv(report.cost));
  } else if (format == "json") {
    auto json = bitops_json(report);
    json["steps_planned"] = input.planned;
    json["sample"] = input.sample;  // what macs_per_image is of
    auto notes = input.notes;
    if (const auto note = unreached_note(input); note && !baseline) notes.push_back(*note);
    if (!notes.empty()) json["notes"] = notes;
    write_result(line, json_text(json));
  } else {
    std::ostringstream text;
    print_table(text, input, report, line.has("layers"));
    write_result(line, text.str());
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
