// SPDX-License-Identifier: Apache-2.0
#include "cli/cpt_command_line.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "cli/cpt_values.h"
#include "cli/exit_code.h"
#include "nn/models/resnet.h"

namespace bitcycle::cli {
namespace {

enum class Arity { kSwitch, kOne, kList };

struct CptOption {
  const char* name;
  Arity arity;
};

// cpt_cifar/train.py and cpt_imagenet/train.py of the paper's code.
constexpr CptOption kOptions[] = {
    {"dir", Arity::kOne},
    {"cmd", Arity::kOne},
    {"arch", Arity::kOne},
    {"dataset", Arity::kOne},
    {"datadir", Arity::kOne},
    {"workers", Arity::kOne},
    {"iters", Arity::kOne},
    {"start_iter", Arity::kOne},
    {"epoch", Arity::kOne},
    {"start_epoch", Arity::kOne},
    {"batch_size", Arity::kOne},
    {"lr_schedule", Arity::kOne},
    {"lr", Arity::kOne},
    {"momentum", Arity::kOne},
    {"weight_decay", Arity::kOne},
    {"print_freq", Arity::kOne},
    {"resume", Arity::kOne},
    {"pretrained", Arity::kSwitch},
    {"step_ratio", Arity::kOne},
    {"warm_up", Arity::kSwitch},
    {"save_folder", Arity::kOne},
    {"eval_every", Arity::kOne},
    {"num_bits", Arity::kOne},
    {"num_grad_bits", Arity::kOne},
    {"num_bits_schedule", Arity::kList},
    {"num_grad_bits_schedule", Arity::kList},
    {"is_cyclic_precision", Arity::kSwitch},
    {"cyclic_num_bits_schedule", Arity::kList},
    {"cyclic_num_grad_bits_schedule", Arity::kList},
    {"num_cyclic_period", Arity::kOne},
    {"automatic_resume", Arity::kSwitch},
    {"swa_start", Arity::kOne},
    {"swa_freq", Arity::kOne},
};

const CptOption* find_option(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kOptions), std::end(kOptions), [&](const CptOption& o) { return o.name == name; });
  return found == std::end(kOptions) ? nullptr : found;
}

/// The paper's code calls a model of d layers for c classes cifar<c>_resnet_<d>; here it is resnet<d>.
constexpr const char* kModelPrefix = "resnet";

[[noreturn]] void complain_model(const std::string& arch) {
  std::string list;
  for (const auto& name : resnet_family().names) {
    list += (list.empty() ? "" : ", ") + name.substr(std::string(kModelPrefix).size());
  }
  throw std::runtime_error("--arch " + arch +
                           ": there is no such model. The models are cifar10_mobilenet_v2 and cifar100_mobilenet_v2, "
                           "and cifar10_resnet_N and "
                           "cifar100_resnet_N with N = " +
                           list + "; the models of the ImageNet code are resnet18, resnet34, resnet50");
}

/// cpt_cifar/train.py.
class CifarMapper {
 public:
  explicit CifarMapper(const CptValues& values) : values_(values), mapping_{values, {}} {}

  CptRun map() {
    model_and_data();
    run_length();
    map_cpt_precision(mapping_, 1);
    map_cpt_sgd(mapping_);
    learning_rate();
    averaging();
    return std::move(mapping_.result);
  }

 private:
  void model_and_data() {
    const std::string arch = values_.text("arch", "cifar10_resnet_38");
    std::int64_t classes = 0;
    std::string depth;
    bool mobilenet = false;
    for (const std::int64_t count : {std::int64_t{10}, std::int64_t{100}}) {
      const std::string prefix = "cifar" + std::to_string(count) + "_resnet_";
      if (arch.rfind(prefix, 0) == 0) {
        classes = count;
        depth = arch.substr(prefix.size());
      }
      if (arch == "cifar" + std::to_string(count) + "_mobilenet_v2") {
        classes = count;
        mobilenet = true;
      }
    }
    const auto known = resnet_family().names;
    if (!mobilenet && std::find(known.begin(), known.end(), kModelPrefix + depth) == known.end()) complain_model(arch);
    if (values_.has("epoch")) {
      throw UsageError("--epoch belongs to the paper's ImageNet code; for CIFAR the length is --iters");
    }
    const std::string dataset = values_.text("dataset", "cifar10");
    if (dataset != "cifar10" && dataset != "cifar100") {
      throw UsageError("--dataset is '" + dataset + "': one of cifar10, cifar100 is needed");
    }
    if (!values_.has("datadir")) {
      throw UsageError("--datadir is missing: the folder of " + dataset +
                       "'s binary files; `bitcycle data --help` says "
                       "where to get it");
    }
    mapping_.set_text("name", arch);
    mapping_.set_text("model.name", mobilenet ? "mobilenet_v2" : kModelPrefix + depth, "arch");
    mapping_.set("model.classes", std::to_string(classes), "arch");
    mapping_.set_text("data.name", dataset, "dataset");
    mapping_.set_text("data.path", values_.text("datadir", ""), "datadir");
    mapping_.result.run = std::filesystem::path(values_.text("save_folder", "save_checkpoints")) / arch;
    if (values_.has("workers"))
      mapping_.note("--workers has no effect: images are prepared by the training's own threads (--threads)");
    if (values_.has("dir")) mapping_.note("--dir has no effect; the paper's code ignores it, too");
    if (values_.has("automatic_resume"))
      mapping_.note("--automatic_resume is of the paper's ImageNet code; here it is what always happens");
  }

  void run_length() {
    iters_ = values_.integer("iters", 64000);
    mapping_.set("train.steps", std::to_string(iters_), "iters");
    mapping_.set("train.batch", std::to_string(values_.integer("batch_size", 128)), "batch_size");
    const std::int64_t every = values_.integer("eval_every", 390);
    mapping_.set("train.evaluate_every", std::to_string(every), "eval_every");
    mapping_.set("train.checkpoint_every", std::to_string(every), "eval_every");
    mapping_.set("train.log_every", std::to_string(values_.integer("print_freq", 10)), "print_freq");
  }

  void learning_rate() {
    const std::string schedule = values_.text("lr_schedule", "piecewise");
    const std::string ratio = values_.number("step_ratio", "0.1");
    bool warm_up = values_.has("warm_up");
    if (schedule == "piecewise") {
      // The paper's code decays at steps 32000 and 48000 however long the run is.
      std::string points;
      for (const std::int64_t point : {std::int64_t{32000}, std::int64_t{48000}}) {
        if (point < iters_) points += (points.empty() ? "" : ", ") + std::to_string(point);
      }
      mapping_.set("learning_rate.schedule", points.empty() ? "constant" : "piecewise", "lr_schedule");
      if (!points.empty()) {
        if (iters_ != 64000) mapping_.set("learning_rate.points", "[" + points + "]");
        mapping_.set("learning_rate.factor", ratio, "step_ratio");
      } else {
        mapping_.note(
            "--lr_schedule piecewise decays at steps 32000 and 48000, and this run ends before: the rate is constant");
      }
    } else if (schedule == "linear") {
      mapping_.set("learning_rate.schedule", "linear", "lr_schedule");
    } else if (schedule == "anneal_cosine") {
      mapping_.set("learning_rate.schedule", "anneal_cosine", "lr_schedule");
      mapping_.set("learning_rate.factor", ratio, "step_ratio");
      if (warm_up) mapping_.note("--warm_up has no effect with anneal_cosine; the paper's code ignores it, too");
      warm_up = false;
    } else {
      throw UsageError("--lr_schedule is '" + schedule + "': one of piecewise, linear, anneal_cosine is needed");
    }
    if (warm_up) mapping_.set("learning_rate.warm_up", "true", "warm_up");
  }

  void averaging() {
    if (!values_.has("swa_start")) {
      if (values_.has("swa_freq"))
        mapping_.note("--swa_freq has no effect without --swa_start; the paper's code ignores it, too");
      return;
    }
    const std::int64_t start = values_.integer("swa_start", 0);
    // The paper's code counts steps from 1, so that 0 averages from the first multiple of the frequency on.
    mapping_.set("swa.start", std::to_string(std::max<std::int64_t>(start, 1)), "swa_start");
    mapping_.set("swa.freq", std::to_string(values_.integer("swa_freq", 1170)), "swa_freq");
  }

  const CptValues& values_;
  CptMapping mapping_;
  std::int64_t iters_ = 0;
};

}  // namespace

std::vector<std::string> cpt_option_names() {
  std::vector<std::string> names;
  for (const auto& option : kOptions) names.emplace_back(option.name);
  return names;
}

SplitArguments split_cpt_arguments(const std::vector<std::string>& arguments) {
  SplitArguments result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string word = arguments[i];
    if (word == "-d") word = "--dataset";
    const std::size_t equals = word.find('=');
    const std::string name =
        word.rfind("--", 0) == 0 ? word.substr(2, equals == std::string::npos ? equals : equals - 2) : "";
    const CptOption* option = find_option(name);
    if (option == nullptr) {
      result.rest.push_back(arguments[i]);
      continue;
    }
    auto& values = result.paper[name];
    values.clear();
    if (equals != std::string::npos) values.push_back(word.substr(equals + 1));
    const bool takes_more = option->arity == Arity::kList || (option->arity == Arity::kOne && values.empty());
    while (takes_more && i + 1 < arguments.size() && arguments[i + 1].rfind("--", 0) != 0 && arguments[i + 1] != "-d") {
      values.push_back(arguments[++i]);
      if (option->arity == Arity::kOne) break;
    }
    if (option->arity == Arity::kSwitch && !values.empty()) throw UsageError("--" + name + " takes no value");
    if (option->arity == Arity::kOne && values.empty()) throw UsageError("--" + name + " needs a value");
  }
  return result;
}

CptRun map_cpt_arguments(const std::map<std::string, std::vector<std::string>>& paper) {
  const CptValues values(paper);
  refuse_cpt_options(values);
  return is_imagenet_line(values) ? map_imagenet_line(values) : CifarMapper(values).map();
}

std::string with_option_names(const std::string& message, const std::map<std::string, std::string>& options) {
  const auto part_of_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::string names;
  for (const auto& [key, option] : options) {
    for (std::size_t at = message.find(key); at != std::string::npos; at = message.find(key, at + 1)) {
      const std::size_t end = at + key.size();
      const bool longer =
          end < message.size() && (part_of_name(message[end]) ||
                                   (message[end] == '.' && end + 1 < message.size() && part_of_name(message[end + 1])));
      if (longer || (at > 0 && (part_of_name(message[at - 1]) || message[at - 1] == '.'))) continue;
      names += (names.empty() ? "" : ", ") + ("--" + option) + " is " + key;
      break;
    }
  }
  return names.empty() ? message : message + (message.ends_with('.') ? " " : "; ") + "of the paper's options " + names;
}

}  // namespace bitcycle::cli
