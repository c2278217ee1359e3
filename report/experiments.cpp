// SPDX-License-Identifier: Apache-2.0
#include "report/experiments.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "nn/models/model.h"
#include "report/pareto.h"
#include "report/words.h"

namespace bitcycle::report {
namespace {

std::string identity_without_seed(Config config) {
  config.train.seed = 0;
  return config_identity(config);
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
}

/// What the names begin with, cut where a word ends in all of them: cpt of cpt-s1 and cpt-s2; empty where there is
/// none.
std::string common_name(const std::vector<std::string>& names) {
  std::string common = names.front();
  for (const auto& name : names) {
    std::size_t length = 0;
    while (length < common.size() && length < name.size() && common[length] == name[length]) ++length;
    common.resize(length);
  }
  const auto cuts_a_word = [&] {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return !common.empty() && is_word(common.back()) && name.size() > common.size() && is_word(name[common.size()]);
    });
  };
  while (cuts_a_word()) common.pop_back();
  while (!common.empty() && !is_word(common.back())) common.pop_back();
  return common;
}

void label_experiments(const std::vector<RecordedRun>& runs, std::vector<Experiment>& experiments) {
  for (auto& experiment : experiments) {
    std::vector<std::string> names;
    for (const auto run : experiment.runs) names.push_back(runs[run].label);
    experiment.label = names.size() == 1 ? names.front() : common_name(names);
  }
  std::map<std::string, int> uses;
  for (const auto& experiment : experiments) ++uses[experiment.label];
  for (auto& experiment : experiments) {
    if (experiment.runs.size() == 1) continue;
    if (experiment.label.empty() || uses[experiment.label] > 1) experiment.label = runs[experiment.runs.front()].label;
    experiment.label += " (" + std::to_string(experiment.runs.size()) + " seeds)";
  }
}

std::string comparison_label(const Config& config) {
  std::string images;
  const auto add = [&](std::int64_t count, const char* kind) {
    if (count > 0) images += (images.empty() ? " (" : ", ") + exact(count) + " " + kind + " images";
  };
  add(config.data.train_images, "training");
  add(config.data.test_images, "test");
  if (!images.empty()) images += ")";
  if (is_language_model(config.model.name)) {
    return shown(config.data.name) + ", " + exact(config.model.vocabulary) + " words";
  }
  return shown(config.data.name) + images + ", " + std::to_string(config.model.classes) + " classes";
}

}  // namespace

std::vector<Experiment> experiments_of(const std::vector<RecordedRun>& runs) {
  std::vector<Experiment> experiments;
  std::vector<std::string> identities;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string identity = identity_without_seed(runs[i].config);
    std::size_t e = 0;
    for (; e < experiments.size(); ++e) {
      const auto& members = experiments[e].runs;
      const bool has_seed = std::any_of(members.begin(), members.end(), [&](std::size_t run) {
        return runs[run].config.train.seed == runs[i].config.train.seed;
      });
      if (identities[e] == identity && experiments[e].finished && runs[i].finished && !has_seed) break;
    }
    if (e == experiments.size()) {
      experiments.push_back({});
      experiments.back().finished = runs[i].finished;
      identities.push_back(identity);
    }
    experiments[e].runs.push_back(i);
  }
  for (auto& experiment : experiments) {
    std::vector<double> accuracies;
    for (const auto run : experiment.runs) {
      if (const auto accuracy = runs[run].quality()) accuracies.push_back(*accuracy);
    }
    if (accuracies.size() != experiment.runs.size()) continue;
    const auto n = static_cast<double>(accuracies.size());
    double mean = 0.0, square = 0.0;
    for (const double a : accuracies) mean += a / n;
    for (const double a : accuracies) square += (a - mean) * (a - mean);
    experiment.accuracy_mean = mean;
    if (accuracies.size() > 1) experiment.accuracy_deviation = std::sqrt(square / (n - 1.0));
  }
  label_experiments(runs, experiments);
  return experiments;
}

std::vector<Comparison> comparisons_of(const std::vector<RecordedRun>& runs, std::vector<Experiment>& experiments) {
  std::vector<Comparison> comparisons;
  for (std::size_t e = 0; e < experiments.size(); ++e) {
    const std::string label = comparison_label(runs[experiments[e].runs.front()].config);
    std::size_t c = 0;
    while (c < comparisons.size() && comparisons[c].label != label) ++c;
    if (c == comparisons.size()) comparisons.push_back({label, runs[experiments[e].runs.front()].text(), {}});
    comparisons[c].experiments.push_back(e);
    experiments[e].comparison = c;
  }
  return comparisons;
}

std::vector<bool> front_of(const Comparison& comparison, const std::vector<Experiment>& experiments,
                           const std::vector<std::optional<double>>& costs) {
  std::vector<std::size_t> members;
  std::vector<Point> points;
  for (const auto e : comparison.experiments) {
    if (!experiments[e].finished || !experiments[e].accuracy_mean || !costs[e]) continue;
    members.push_back(e);
    const double mean = *experiments[e].accuracy_mean;
    points.push_back({*costs[e], comparison.text ? -mean : mean});
  }
  std::vector<bool> front(experiments.size(), false);
  const auto on = pareto_front(points);
  for (std::size_t i = 0; i < members.size(); ++i) front[members[i]] = on[i];
  return front;
}

}  // namespace bitcycle::report
