// SPDX-License-Identifier: Apache-2.0
#include "nn/export/export_run.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <stdexcept>

#include "nn/data/dataset.h"
#include "nn/export/export_files.h"
#include "nn/export/export_readme.h"
#include "nn/io/atomic_file.h"
#include "nn/io/layout.h"
#include "nn/io/npy.h"
#include "nn/models/model.h"
#include "nn/models/state.h"
#include "nn/run/network_run.h"
#include "nn/train/run_damage.h"
#include "nn/train/run_folder.h"
#include "nn/train/unreached_width.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

/// "8", or "8 (conv1: 4, fc: float32)": the most frequent width, and the layers with another one.
std::string widths_text(const std::vector<std::string>& layers, const std::vector<BitWidth>& widths) {
  std::map<BitWidth, int> counts;
  for (const auto width : widths) ++counts[width];
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::string others;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (widths[i] != most->first) others += (others.empty() ? "" : ", ") + layers[i] + ": " + widths[i].text();
  }
  return most->first.text() + (others.empty() ? "" : " (" + others + ")");
}

/// Every file that an export may write. README.md is the mark of a folder of exports.
constexpr const char* kReadme = "README.md";
constexpr std::array kFiles{"weights.safetensors", "model.onnx", "samples/pixels.npy", "samples/labels.npy",
                            "samples/logits.npy"};

/// Replaces the files of a folder as a set. While it does, and where it is interrupted, README.md says so.
class Exporter {
 public:
  Exporter(const ExportOptions& options) : out_(options.out) {
    make_folder(out_);
    write_file_atomically(out_ / kReadme, export_unfinished());
  }
  void write(const std::string& name, const std::string& bytes) {
    make_folder((out_ / name).parent_path());
    write_file_atomically(out_ / name, bytes);
    files_.push_back(name);
  }
  /// What another export left here and this one does not have goes away; what others put here stays.
  void finish(const std::string& readme) {
    std::error_code ignored;
    for (const std::string name : kFiles) {
      if (std::find(files_.begin(), files_.end(), name) != files_.end()) continue;
      std::error_code error;
      fs::remove(out_ / name, error);
      if (error) throw_file_error("cannot remove what an earlier export wrote,", out_ / name, error.value());
    }
    if (fs::is_empty(out_ / "samples", ignored)) fs::remove(out_ / "samples", ignored);
    remove_orphans(out_);
    remove_orphans(out_ / "samples");
    write(kReadme, readme);
  }
  const std::vector<std::string>& files() const { return files_; }

 private:
  fs::path out_;
  std::vector<std::string> files_;
};

/// The first test images as bytes, their labels and their logits.
void write_samples(Exporter& exporter, const Dataset& dataset, std::int64_t samples, const std::vector<float>& logits,
                   std::int64_t classes) {
  const ImageSet& set = dataset.test;
  const auto size = static_cast<std::size_t>(set.height * set.width * set.channels);
  const auto count = static_cast<std::size_t>(samples);
  std::vector<std::uint8_t> nhwc(count * size);
  if (dataset.source == nullptr) {
    std::copy_n(set.pixels.begin(), nhwc.size(), nhwc.begin());
  } else {
    const auto reader = dataset.source->reader({});
    for (std::size_t i = 0; i < count; ++i) {
      reader->read(ImagePart::kTest, static_cast<std::int64_t>(i), 0, nhwc.data() + i * size);
    }
  }
  const auto nchw = channels_first(nhwc, set.channels, set.height * set.width);
  exporter.write("samples/pixels.npy",
                 npy_bytes(make_npy<std::uint8_t>({samples, set.channels, set.height, set.width}, nchw)));
  exporter.write("samples/labels.npy",
                 npy_bytes(make_npy<std::int32_t>({samples}, std::span(set.labels).first(count))));
  exporter.write("samples/logits.npy",
                 npy_bytes(make_npy<float>({samples, classes},
                                           std::span(logits).first(count * static_cast<std::size_t>(classes)))));
}

}  // namespace

ExportResult export_run(const fs::path& run, Device& device, const ExportOptions& options,
                        const std::vector<ConfigOverride>& overrides) {
  const RunFolder folder = RunFolder::existing(run);
  Config config = folder.config();
  if (!overrides.empty()) config = parse_config(config_yaml(config), (run / "config.yaml").string(), overrides);
  if (is_language_model(config.model.name)) {
    throw std::runtime_error("'" + run.string() + "' is a run of " + config.model.name +
                             ": language models are not exported; their weights are in the run's checkpoints, which " +
                             "are safetensors files");
  }
  ExportResult result;
  const Checkpoint checkpoint = folder.read_checkpoint(options.checkpoint, result.warnings);
  for (auto& text : damage_of_records(folder)) result.warnings.push_back(std::move(text));
  const std::string origin = run.string() + ", checkpoint '" + options.checkpoint + "'";
  const InferenceGraph graph = inference_graph(config);
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  std::vector<std::string> graph_layers;
  std::vector<BitWidth> widths;
  for (const auto& node : graph.nodes) {
    if (node.op != InferenceNode::Op::kConv) continue;
    graph_layers.push_back(node.name);
    widths.push_back(options.width.value_or(plan.own_max(node.name).forward));
  }
  if (!options.width) {
    for (auto& text : unreached_width(plan, graph_layers, checkpoint.step)) result.warnings.push_back(std::move(text));
  }
  const ExportedModel model =
      export_model(config.model.name, graph, checkpoint.file, widths, config.precision.min_scale, origin);

  result.step = checkpoint.step;
  result.digest = to_text(digest_root(checkpoint.file.tensors));
  result.widths = widths_text(graph_layers, widths);
  const std::string name = fs::weakly_canonical(run).filename().string();  // runs of one config differ in their folder
  const std::map<std::string, std::string> metadata{{"bitcycle.run", name},
                                                    {"bitcycle.model", config.model.name},
                                                    {"bitcycle.step", std::to_string(result.step)},
                                                    {"bitcycle.digest", result.digest},
                                                    {"bitcycle.bits", result.widths}};
  std::string onnx;
  if (options.onnx) onnx = onnx_bytes(model, pixel_scale(config.data), options.version, metadata);
  Dataset dataset;
  std::vector<float> logits;
  if (options.samples > 0) {
    dataset = load_dataset(config);
    NetworkRun evaluation(config, dataset, device);
    load_state(evaluation.state(), checkpoint.file, origin);
    const auto at = options.width ? evaluation.widths_of(*options.width) : evaluation.max_widths();
    const EvaluationResult found = evaluation.evaluate(checkpoint.step, at, &logits);
    result.test_accuracy = found.accuracy;
    result.images = found.images;
  }

  Exporter exporter(options);
  exporter.write("weights.safetensors", codes_safetensors(model, metadata));
  if (options.onnx) exporter.write("model.onnx", onnx);
  if (options.samples > 0) {
    const std::int64_t samples = std::min(options.samples, dataset.test.count);
    write_samples(exporter, dataset, samples, logits, config.model.classes);
  }
  result.files = exporter.files();
  exporter.finish(export_readme(name, config.model.name, result));
  result.files = exporter.files();
  return result;
}

}  // namespace bitcycle
