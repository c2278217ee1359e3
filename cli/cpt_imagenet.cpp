// SPDX-License-Identifier: Apache-2.0
// cpt_imagenet/train.py of the paper's code. It counts in epochs; here a run counts steps, those of the folder's
// images.
#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "cli/cpt_values.h"
#include "cli/exit_code.h"
#include "nn/data/image_folder.h"
#include "nn/data/pack.h"

namespace bitcycle::cli {
namespace {

constexpr std::int64_t kEpochsOfARate = 30;

/// "imagenet_resnet18" is resnet18, too.
std::string model_of(const std::string& arch) {
  constexpr std::string_view kPrefix = "imagenet_";
  return arch.starts_with(kPrefix) ? arch.substr(kPrefix.size()) : arch;
}
bool is_model(const std::string& arch) { return arch == "resnet18" || arch == "resnet34" || arch == "resnet50"; }

/// Training images and classes of a folder, or of a packed file.
std::pair<std::int64_t, std::size_t> training_images(const std::string& path) {
  if (is_pack(path)) {
    const PackIndex index = read_pack_index(path);
    return {static_cast<std::int64_t>(index.train.size()), index.classes.size()};
  }
  if (!std::filesystem::is_directory(path)) {
    throw std::runtime_error("--datadir '" + path + "' is no folder that holds train/ and val/, and no packed file");
  }
  const ImageFolder images = read_image_folder(path);
  return {images.train.count(), images.classes.size()};
}

void refuse_cifar_options(const CptValues& values, const std::string& arch) {
  const std::string of = " belongs to the paper's CIFAR code; " + arch + " is of its ImageNet code, ";
  if (values.has("iters")) throw UsageError("--iters" + of + "whose length is --epoch");
  for (const char* name : {"swa_start", "swa_freq"}) {
    if (values.has(name)) {
      throw UsageError("--" + std::string(name) + of + "which averages no weights; here --set swa.start=STEP does");
    }
  }
}

/// First and last width of both passes, which name the folder.
struct WidthsOfRun {
  std::pair<std::int64_t, std::int64_t> forward, gradient;
  bool is_static = false;  // by schedules from a width to itself, and no --is_cyclic_precision
};

/// The paper's program wants both schedules, for static training too. Without --is_cyclic_precision it takes its widths
/// from --num_bits and --num_grad_bits, whose 0 is float32, and still names the folder by the schedules: here a folder
/// has the name of what it holds, and schedules that nothing would follow are refused.
WidthsOfRun widths_of(const CptValues& values, const std::string& arch) {
  WidthsOfRun widths;
  widths.forward = values.range("cyclic_num_bits_schedule", "--arch " + arch);
  widths.gradient = values.range("cyclic_num_grad_bits_schedule", "--arch " + arch);
  if (values.has("is_cyclic_precision")) return widths;
  if (values.has("num_bits") || values.has("num_grad_bits")) {
    widths.forward.first = widths.forward.second = values.integer("num_bits", 0);
    widths.gradient.first = widths.gradient.second = values.integer("num_grad_bits", 0);
    return widths;
  }
  widths.is_static = true;
  for (const auto& [name, range] : {std::pair{"cyclic_num_bits_schedule", widths.forward},
                                    std::pair{"cyclic_num_grad_bits_schedule", widths.gradient}}) {
    if (range.first == range.second) continue;
    throw UsageError("--" + std::string(name) + " " + std::to_string(range.first) + " " + std::to_string(range.second) +
                     " without --is_cyclic_precision trains in float32 in the paper's ImageNet code: add "
                     "--is_cyclic_precision; static training is MIN = MAX, float32 is --num_bits 0 --num_grad_bits 0");
  }
  return widths;
}

std::string folder_name(const std::string& arch, const WidthsOfRun& widths, std::int64_t periods) {
  const auto text_of = [](const std::pair<std::int64_t, std::int64_t>& range) {
    return std::to_string(range.first) + "_" + std::to_string(range.second);
  };
  return arch + "_num_bit_" + text_of(widths.forward) + "_grad_bit_" + text_of(widths.gradient) + "_period_" +
         std::to_string(periods);
}

}  // namespace

bool is_imagenet_line(const CptValues& values) {
  if (values.has("arch")) return is_model(model_of(values.text("arch", "")));
  return values.text("dataset", "") == "imagenet" || values.has("epoch");
}

CptRun map_imagenet_line(const CptValues& values) {
  const std::string arch = model_of(values.text("arch", "resnet50"));
  refuse_cifar_options(values, arch);
  if (const std::string dataset = values.text("dataset", "imagenet"); dataset != "imagenet") {
    throw UsageError("--dataset is '" + dataset + "', and --arch " + arch +
                     " is trained on imagenet: the other sets of the paper's ImageNet code do not run");
  }
  const WidthsOfRun widths = widths_of(values, arch);
  if (!values.has("datadir")) {
    throw UsageError("--datadir is missing: a folder that holds train/ and val/; `bitcycle data --help` says more");
  }
  const std::int64_t batch = values.integer("batch_size", 256), epochs = values.integer("epoch", 120);
  if (batch < 1) throw UsageError("--batch_size is " + std::to_string(batch) + ": at least 1 is needed");
  constexpr std::int64_t kMostEpochs = 100'000;
  if (epochs < 1 || epochs > kMostEpochs) {
    throw UsageError("--epoch is " + std::to_string(epochs) + ": 1 to " + std::to_string(kMostEpochs) +
                     " are possible");
  }
  const std::string folder = values.text("datadir", "");
  const auto [images, classes] = training_images(folder);
  const std::int64_t steps = (images + batch - 1) / batch;  // of an epoch
  const std::int64_t periods = values.integer("num_cyclic_period", 32);

  CptMapping mapping{values, {}};
  const std::string name = folder_name(arch, widths, periods);
  mapping.result.run = std::filesystem::path(values.text("save_folder", "save_checkpoints")) / name;
  mapping.set_text("name", name);
  mapping.set_text("model.name", arch, "arch");
  mapping.set("model.classes", std::to_string(classes));
  mapping.set_text("data.name", "imagefolder");
  mapping.set_text("data.path", folder, "datadir");
  if (values.has("workers")) {
    const std::int64_t workers = values.integer("workers", 32);
    if (workers < 0) throw UsageError("--workers is " + std::to_string(workers) + ": 0 or more are possible");
    mapping.set("data.workers", std::to_string(std::clamp<std::int64_t>(workers, 1, 256)), "workers");
  }
  mapping.set("train.steps", std::to_string(epochs * steps), "epoch");
  mapping.set("train.batch", std::to_string(batch), "batch_size");
  mapping.set("train.evaluate_every", std::to_string(steps));
  mapping.set("train.checkpoint_every", std::to_string(steps));
  mapping.set("train.log_every", std::to_string(values.integer("print_freq", 10)), "print_freq");
  if (widths.is_static) {
    map_cpt_static_precision(mapping);
    mapping.note("--cyclic_num_bits_schedule and --cyclic_num_grad_bits_schedule from a width to itself are static " +
                 std::to_string(widths.forward.first) + "/" + std::to_string(widths.gradient.first) +
                 " bits, with --is_cyclic_precision or without");
  } else {
    map_cpt_precision(mapping, 32);
  }
  map_cpt_sgd(mapping);
  std::string points;
  for (std::int64_t epoch = kEpochsOfARate; epoch < epochs; epoch += kEpochsOfARate) {
    points += (points.empty() ? "" : ", ") + std::to_string(epoch * steps);
  }
  mapping.set("learning_rate.schedule", points.empty() ? "constant" : "piecewise");
  if (!points.empty()) {
    mapping.set("learning_rate.points", "[" + points + "]");
    mapping.set("learning_rate.factor", "0.1");
  }

  mapping.note(std::to_string(epochs) + " epochs of " + std::to_string(images) + " images are " +
               std::to_string(epochs * steps) + " steps: " + std::to_string(steps) + " of " + std::to_string(batch) +
               " images an epoch, all full");
  for (const char* ignored : {"lr_schedule", "step_ratio", "warm_up", "eval_every"}) {
    if (!values.has(ignored)) continue;
    mapping.note("--" + std::string(ignored) +
                 " has no effect, as in the paper's ImageNet code: the rate falls to a tenth every 30 epochs, and "
                 "every epoch is evaluated");
  }
  if (values.has("automatic_resume")) mapping.note("--automatic_resume is what always happens");
  if (values.has("dir")) mapping.note("--dir has no effect; the paper's code ignores it, too");
  return std::move(mapping.result);
}

}  // namespace bitcycle::cli
