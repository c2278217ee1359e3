// SPDX-License-Identifier: Apache-2.0
#include "cli/cpt_command_line.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <stdexcept>

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
  throw std::runtime_error(
      "--arch " + arch +
      ": this model is not there. There are cifar10_mobilenet_v2 and cifar100_mobilenet_v2, and cifar10_resnet_N and "
      "cifar100_resnet_N with N = " +
      list + "; the models of the ImageNet code (resnet18, resnet34, resnet50) cannot be trained yet");
}

class Mapper {
 public:
  explicit Mapper(const std::map<std::string, std::vector<std::string>>& paper) : paper_(paper) {}

  CptRun map() {
    refuse();
    model_and_data();
    run_length();
    precision();
    optimiser();
    return std::move(result_);
  }

 private:
  bool has(const std::string& name) const { return paper_.count(name) != 0; }
  std::string text(const std::string& name, const std::string& fallback) const {
    const auto found = paper_.find(name);
    return found == paper_.end() ? fallback : found->second.front();
  }
  std::int64_t integer(const std::string& name, std::int64_t fallback) const {
    return has(name) ? parse_integer(name, text(name, "")) : fallback;
  }
  static std::int64_t parse_integer(const std::string& name, const std::string& value) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size()) {
      throw UsageError("--" + name + " is '" + value + "': a whole number is needed");
    }
    return number;
  }
  std::string number(const std::string& name, const std::string& fallback) const {
    const std::string value = text(name, fallback);
    double parsed = 0.0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    if (error != std::errc() || end != value.data() + value.size()) {
      throw UsageError("--" + name + " is '" + value + "': a number is needed");
    }
    return value;
  }
  void set(const std::string& key, const std::string& yaml) { result_.keys.push_back({key, yaml}); }
  void set_text(const std::string& key, const std::string& value) { set(key, nlohmann::json(value).dump()); }
  void note(const std::string& text) { result_.notes.push_back(text); }

  void refuse() {
    const auto no = [&](const std::string& name, const std::string& reason) {
      if (has(name)) throw UsageError("--" + name + " of the paper's code is not supported: " + reason);
    };
    no("swa_start", "stochastic weight averaging is not there; the paper's results do not use it");
    no("swa_freq", "stochastic weight averaging is not there; the paper's results do not use it");
    no("pretrained", "weights to start from are a file: --set model.initial_weights=FILE.safetensors");
    if (!text("resume", "").empty()) {
      throw UsageError(
          "--resume of the paper's code is not supported: an interrupted run goes on by itself when it is started "
          "again; weights to start from are --set model.initial_weights=FILE.safetensors");
    }
    if (integer("start_iter", 0) != 0 || integer("start_epoch", 0) != 0) {
      throw UsageError(
          "--start_iter and --start_epoch of the paper's code are not supported: an interrupted run goes "
          "on by itself when it is started again");
    }
    if (const std::string cmd = text("cmd", "train"); cmd != "train") {
      throw UsageError("--cmd " + cmd + ": only train is a training; `bitcycle eval RUN` gives a run's accuracy");
    }
  }

  void model_and_data() {
    const std::string arch = text("arch", "cifar10_resnet_38");
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
    no_epochs();
    const std::string dataset = text("dataset", "cifar10");
    if (dataset != "cifar10" && dataset != "cifar100") {
      throw UsageError("--dataset is '" + dataset + "': one of cifar10, cifar100 is needed");
    }
    if (!has("datadir")) {
      throw UsageError("--datadir is missing: the folder of " + dataset +
                       "'s binary files; `bitcycle data --help` says "
                       "where to get it");
    }
    set_text("name", arch);
    set_text("model.name", mobilenet ? "mobilenet_v2" : kModelPrefix + depth);
    set("model.classes", std::to_string(classes));
    set_text("data.name", dataset);
    set_text("data.path", text("datadir", ""));
    result_.run = std::filesystem::path(text("save_folder", "save_checkpoints")) / arch;
    if (has("workers")) note("--workers has no effect: images are prepared by the training's own threads (--threads)");
    if (has("dir")) note("--dir has no effect, in the paper's code neither");
    if (has("automatic_resume")) note("--automatic_resume is what always happens");
  }

  void no_epochs() const {
    if (has("epoch")) throw UsageError("--epoch belongs to the paper's ImageNet code; for CIFAR the length is --iters");
  }

  void run_length() {
    iters_ = integer("iters", 64000);
    set("train.steps", std::to_string(iters_));
    set("train.batch", std::to_string(integer("batch_size", 128)));
    const std::int64_t every = integer("eval_every", 390);
    set("train.evaluate_every", std::to_string(every));
    set("train.checkpoint_every", std::to_string(every));
    set("train.log_every", std::to_string(integer("print_freq", 10)));
  }

  /// One of the two schedules: `key` is precision.forward or precision.gradient.
  void width(const std::string& key, const std::string& cyclic, const std::string& constant) {
    if (has("is_cyclic_precision")) {
      const auto found = paper_.find(cyclic);
      if (found == paper_.end() || found->second.size() != 2) {
        throw UsageError("--is_cyclic_precision needs --" + cyclic + " MIN MAX");
      }
      const std::int64_t low = parse_integer(cyclic, found->second[0]);
      const std::int64_t high = parse_integer(cyclic, found->second[1]);
      set(key + ".schedule", low == high ? "constant" : "cyclic_cosine");
      if (low != high) {
        set(key + ".min", std::to_string(low));
        set(key + ".cycles", std::to_string(integer("num_cyclic_period", 1)));
      }
      set(key + ".max", std::to_string(high));
      return;
    }
    if (has(cyclic)) note("--" + cyclic + " has no effect without --is_cyclic_precision, in the paper's code neither");
    // 0 bits is the paper's default, and means not quantised.
    const std::int64_t bits = integer(constant, 0);
    set(key + ".schedule", "constant");
    set(key + ".max", bits == 0 ? "float32" : std::to_string(bits));
  }

  void precision() {
    width("precision.forward", "cyclic_num_bits_schedule", "num_bits");
    width("precision.gradient", "cyclic_num_grad_bits_schedule", "num_grad_bits");
    for (const char* name : {"num_bits_schedule", "num_grad_bits_schedule"}) {
      if (has(name))
        note("--" + std::string(name) + " has no effect, in the paper's code neither: it is read and not used");
    }
    if (has("is_cyclic_precision")) {
      for (const char* name : {"num_bits", "num_grad_bits"}) {
        if (has(name)) note("--" + std::string(name) + " has no effect with --is_cyclic_precision");
      }
    }
  }

  void optimiser() {
    set("optimizer.lr", number("lr", "0.1"));
    set("optimizer.momentum", number("momentum", "0.9"));
    set("optimizer.weight_decay", number("weight_decay", "1e-4"));
    const std::string schedule = text("lr_schedule", "piecewise");
    const std::string ratio = number("step_ratio", "0.1");
    bool warm_up = has("warm_up");
    if (schedule == "piecewise") {
      // The paper's code decays at steps 32000 and 48000 however long the run is.
      std::string points;
      for (const std::int64_t point : {std::int64_t{32000}, std::int64_t{48000}}) {
        if (point < iters_) points += (points.empty() ? "" : ", ") + std::to_string(point);
      }
      set("learning_rate.schedule", points.empty() ? "constant" : "piecewise");
      if (!points.empty()) {
        if (iters_ != 64000) set("learning_rate.points", "[" + points + "]");
        set("learning_rate.factor", ratio);
      } else {
        note("--lr_schedule piecewise decays at steps 32000 and 48000, and this run ends before: the rate is constant");
      }
    } else if (schedule == "linear") {
      set("learning_rate.schedule", "linear");
    } else if (schedule == "anneal_cosine") {
      set("learning_rate.schedule", "anneal_cosine");
      set("learning_rate.ratio", ratio);
      if (warm_up) note("--warm_up has no effect with anneal_cosine, in the paper's code neither");
      warm_up = false;
    } else {
      throw UsageError("--lr_schedule is '" + schedule + "': one of piecewise, linear, anneal_cosine is needed");
    }
    if (warm_up) set("learning_rate.warm_up", "true");
  }

  const std::map<std::string, std::vector<std::string>>& paper_;
  CptRun result_;
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

CptRun map_cpt_arguments(const std::map<std::string, std::vector<std::string>>& paper) { return Mapper(paper).map(); }

}  // namespace bitcycle::cli
