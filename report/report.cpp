// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "nn/models/model.h"
#include "nn/train/cost_options.h"
#include "nn/train/run_folder.h"
#include "nn/train/trainer.h"
#include "report/assets.h"

namespace bitcycle::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostPoints = 1200;  // of a curve: more than a screen shows

Json figures(const ProductCost& cost) {
  return {{"gbitops", cost.bitops * 1e-9},     {"cycles", cost.total_cycles()}, {"stall_cycles", cost.stall_cycles},
          {"utilisation", cost.utilisation()}, {"compute_nj", cost.compute_nj}, {"buffers_nj", cost.buffers_nj},
          {"dram_nj", cost.dram_nj},           {"leakage_nj", cost.leakage_nj}, {"total_nj", cost.total_nj()}};
}

Json priced(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan, std::int64_t steps,
            const PricingOptions& options) {
  Json json;
  try {
    const Pricing cost = price_training(accelerator, workload, plan, 0, steps, options);
    json["total"] = figures(cost.total);
    json["static"] = figures(price_static(accelerator, workload, plan, 0, steps, options).total);
    std::vector<std::pair<std::string, std::map<std::string, ProductCost>>> layers;
    for (const auto& row : cost.rows) {
      if (layers.empty() || layers.back().first != row.layer) layers.push_back({row.layer, {}});
      layers.back().second[row.pass].add(row.cost);
    }
    auto& list = json["layers"] = Json::array();
    for (const auto& [layer, passes] : layers) {
      Json entry{{"layer", layer}};
      ProductCost all;
      for (const auto& [pass, of] : passes) {
        entry[pass] = of.total_nj();
        all.add(of);
      }
      entry["total"] = figures(all);
      list.push_back(std::move(entry));
    }
  } catch (const std::invalid_argument& error) {
    json["error"] = error.what();  // widths that this design cannot do
  }
  return json;
}

Json curves(const std::vector<StepRecord>& steps) {
  Json loss = Json::array(), bits = Json::array();
  const std::size_t bucket = std::max<std::size_t>(1, (steps.size() + kMostPoints - 1) / kMostPoints);
  for (std::size_t i = 0; i < steps.size(); i += bucket) {
    const std::size_t end = std::min(steps.size(), i + bucket);
    double sum = 0.0;
    for (std::size_t j = i; j < end; ++j) sum += steps[j].loss;
    loss.push_back({steps[i].step, sum / static_cast<double>(end - i)});
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool change = i == 0 || steps[i].forward_bits != steps[i - 1].forward_bits ||
                        steps[i].gradient_bits != steps[i - 1].gradient_bits;
    if (change || i + 1 == steps.size()) bits.push_back({steps[i].step, steps[i].forward_bits, steps[i].gradient_bits});
  }
  return {{"loss", std::move(loss)}, {"bits", std::move(bits)}};
}

/// Identity without the seed: runs that share it are repeats of one experiment.
std::string experiment_of(Config config) {
  config.train.seed = 0;
  return config_identity(config);
}

Json run_json(const std::filesystem::path& path, const std::vector<Accelerator>& accelerators, std::string& experiment,
              double& accuracy, double& gbitops) {
  const RunFolder folder = RunFolder::existing(path);
  const Config config = folder.config();
  const auto steps = folder.steps();
  if (steps.empty()) throw std::runtime_error("the run '" + path.string() + "' has not done a step yet");
  const auto evaluations = folder.evaluations();
  const auto digests = folder.digests();
  const std::int64_t done = std::min(config.train.steps, steps.back().step + 1);
  const Workload workload = model_workload(config);
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  PricingOptions options;
  options.batch = config.train.batch;
  options.reading = {config.precision.error_weights, config.precision.error_grid_bits};
  experiment = experiment_of(config);
  Json json{{"name", config.name},
            {"folder", path.string()},
            {"model", config.model.name},
            {"data", config.data.name},
            {"seed", config.train.seed},
            {"steps", done},
            {"planned", config.train.steps},
            {"batch", config.train.batch},
            {"finished", folder.finished()},
            {"digest", digests.empty() ? "" : to_text(digests.back().root)},
            {"digest_step", digests.empty() ? std::int64_t{0} : digests.back().step},
            {"config", config_yaml(config)}};
  auto& list = json["evaluations"] = Json::array();
  double best = 0.0;
  for (const auto& e : evaluations) {
    list.push_back({{"step", e.step},
                    {"test_accuracy", e.test_accuracy},
                    {"test_loss", e.test_loss},
                    {"train_loss", e.train_loss},
                    {"gbitops", e.paper_gbitops}});
    best = std::max(best, e.test_accuracy);
  }
  accuracy = evaluations.empty() ? 0.0 : evaluations.back().test_accuracy;
  const BitOpsOptions count = bitops_options(config);
  const BitOps bitops = count_bitops(workload, plan, 0, done, count),
               fixed = count_static_bitops(workload, plan, 0, done, count);
  gbitops = bitops.paper * 1e-9;
  json["test_accuracy"] = accuracy;
  json["best_test_accuracy"] = best;
  json["paper_gbitops"] = gbitops;
  json["executed_gbitops"] = bitops.executed * 1e-9;
  json["saving_percent"] = saving_percent(bitops, fixed);
  json.update(curves(steps));
  auto& costs = json["costs"] = Json::object();
  for (const auto& accelerator : accelerators)
    costs[accelerator.name] = priced(accelerator, workload, plan, done, options);
  return json;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

/// No "</script>" and no "<!--" may appear inside a script element.
std::string inside_script(std::string text) {
  for (auto at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) text.replace(at, 1, "\\u003c");
  return text;
}

}  // namespace

std::vector<bool> pareto_front(const std::vector<Point>& points) {
  std::vector<bool> front(points.size(), true);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (const auto& other : points) {
      const bool as_good = other.cost <= points[i].cost && other.accuracy >= points[i].accuracy;
      if (as_good && (other.cost < points[i].cost || other.accuracy > points[i].accuracy)) front[i] = false;
    }
  }
  return front;
}

nlohmann::ordered_json report_data(const std::vector<std::filesystem::path>& runs,
                                   const std::vector<Accelerator>& accelerators) {
  Json data{{"runs", Json::array()}, {"groups", Json::array()}, {"accelerators", Json::array()}};
  for (const auto& accelerator : accelerators) {
    data["accelerators"].push_back({{"name", accelerator.name},
                                    {"description", accelerator.description},
                                    {"has_time", accelerator.has_time()},
                                    {"constants", accelerator.constants}});
  }
  struct Group {
    std::string experiment;
    std::vector<std::size_t> members;
    std::vector<double> accuracies;
    double gbitops = 0.0;
  };
  std::vector<Group> groups;
  for (const auto& path : runs) {
    std::string experiment;
    double accuracy = 0.0, gbitops = 0.0;
    Json run = run_json(path, accelerators, experiment, accuracy, gbitops);
    experiment += run["steps"].dump();  // a run that was cut short is no repeat of a whole one
    auto found =
        std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.experiment == experiment; });
    if (found == groups.end()) {
      groups.push_back({experiment, {}, {}, gbitops});
      found = groups.end() - 1;
    }
    found->members.push_back(data["runs"].size());
    found->accuracies.push_back(accuracy);
    data["runs"].push_back(std::move(run));
  }
  std::vector<Point> by_bitops;
  std::vector<std::vector<Point>> by_energy(accelerators.size());
  for (const auto& group : groups) {
    const auto n = static_cast<double>(group.accuracies.size());
    double mean = 0.0, square = 0.0;
    for (const double a : group.accuracies) mean += a / n;
    for (const double a : group.accuracies) square += (a - mean) * (a - mean);
    const Json& first = data["runs"][group.members.front()];
    Json entry{{"name", first["name"]},    {"runs", group.members},
               {"accuracy_mean", mean},    {"accuracy_deviation", n > 1.0 ? std::sqrt(square / (n - 1.0)) : 0.0},
               {"gbitops", group.gbitops}, {"energy_nj", Json::object()}};
    by_bitops.push_back({group.gbitops, mean});
    for (std::size_t i = 0; i < accelerators.size(); ++i) {
      const Json& cost = first["costs"][accelerators[i].name];
      if (cost.contains("total")) {
        entry["energy_nj"][accelerators[i].name] = cost["total"]["total_nj"];
        by_energy[i].push_back({cost["total"]["total_nj"].get<double>(), mean});
      } else {
        by_energy[i].push_back({INFINITY, mean});
      }
    }
    data["groups"].push_back(std::move(entry));
  }
  const auto mark = [&](const std::vector<Point>& points, const std::string& name) {
    const auto front = pareto_front(points);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      data["groups"][g]["pareto"][name] = static_cast<bool>(front[g]) && std::isfinite(points[g].cost);
    }
  };
  mark(by_bitops, "bitops");
  for (std::size_t i = 0; i < accelerators.size(); ++i) mark(by_energy[i], accelerators[i].name);
  return data;
}

std::string report_html(const nlohmann::ordered_json& data) {
  std::string page = kPage;
  replace(page, "/*STYLE*/", kStyle);
  replace(page, "/*LIBRARY*/", kChartLibrary);
  replace(page, "/*SCRIPT*/", kScript);
  replace(page, "{\"DATA\":0}", inside_script(data.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return page;
}

}  // namespace bitcycle::report
