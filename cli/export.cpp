// SPDX-License-Identifier: Apache-2.0
// bitcycle export: a trained network as integer codes and as plain ONNX.
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
#include "nn/export/export_run.h"
#include "nn/io/atomic_file.h"

namespace bitcycle::cli {
namespace {

/// One width of all layers is a number.
nlohmann::ordered_json bits_json(const std::string& widths) {
  const bool number = widths.find_first_not_of("0123456789") == std::string::npos;
  return number ? nlohmann::ordered_json(std::stoi(widths)) : nlohmann::ordered_json(widths);
}

}  // namespace

int run_export(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"out", "DIR", "the folder of the files; default: RUN/export"},
      {"bits", "B",
       "2 to 32, or float32: the width of every layer; default: for each layer the largest width that its schedule "
       "names"},
      {"checkpoint", "WHICH", "newest, best, a step, or a file; default: newest"},
      {"samples", "N", "test images to write with their logits; default: 16; 0 does without the data set"},
      {"no-onnx", "", "only the codes; for widths above 8 bits"},
      {"set", "KEY=VALUE", "changes a key, e.g. data.path where the images have moved; may be repeated"}};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(json_option());
  CommandLine line(
      {"export", "RUN",
       "Writes the network of a run's checkpoint for other programs: weights.safetensors holds the weights\n"
       "as integer codes with scales and offsets, model.onnx the whole network in standard operators\n"
       "(ConvInteger on unsigned bytes, for widths of 2 to 8 bits), samples/ some test images with the\n"
       "logits that bitcycle computes for them, README.md how to read all of it.",
       "bitcycle export runs/quickstart --bits 4 --out quickstart-4-bits"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(1);
  Console console(line.json(), false);

  const std::string run = line.positional()[0];
  ExportOptions what;
  what.out = line.text("out", (std::filesystem::path(run) / "export").string());
  if (what.out.empty()) line.fail("--out is empty: the path of a folder is needed");
  std::error_code absent;
  if (std::filesystem::is_directory(what.out, absent) && !std::filesystem::is_empty(what.out, absent)) {
    const auto readme = what.out / "README.md";
    if (!std::filesystem::exists(readme, absent) ||
        read_file(readme).find("exported by bitcycle") == std::string::npos) {
      line.fail("--out " + what.out.string() + " holds other files, which might be overwritten; name a new folder");
    }
  }
  what.checkpoint = line.text("checkpoint", "newest");
  what.samples = line.integer("samples", what.samples, 0);
  what.onnx = !line.has("no-onnx");
  what.version = BITCYCLE_VERSION;
  if (line.has("bits")) {
    try {
      what.width = BitWidth::parse(line.text("bits"));
    } catch (const std::exception& error) {
      line.fail("--bits: " + std::string(error.what()));
    }
  }
  const ConfigInput input = read_run_folder(run, line);
  const auto device = make_device(input.config.execution, line);
  const ExportResult result = export_run(run, *device, what, line.overrides());
  for (const auto& text : result.warnings) console.warning(text);

  nlohmann::ordered_json json{{"run", run},
                              {"step", result.step},
                              {"digest", result.digest},
                              {"bits", bits_json(result.widths)},
                              {"out", what.out.string()},
                              {"files", result.files}};
  if (result.test_accuracy) {
    json["test_accuracy"] = *result.test_accuracy;
    json["images"] = result.images;
  }
  if (!result.warnings.empty()) json["warnings"] = result.warnings;
  console.json(json);
  std::ostream& out = console.result();
  out << run << ", step " << grouped(result.step) << ", bits: " << result.widths;
  if (result.test_accuracy) {
    out << ", test accuracy " << fixed(*result.test_accuracy, 2) << " % (" << grouped(result.images) << " images)";
  }
  out << "\n";
  for (const auto& file : result.files) out << "  " << (what.out / file).string() << "\n";
  return kSuccess;
}

}  // namespace bitcycle::cli
