// SPDX-License-Identifier: Apache-2.0
#include "report/recorded_run.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "nn/models/model.h"
#include "nn/train/perplexity.h"
#include "nn/train/recorded_widths.h"
#include "nn/train/run_damage.h"
#include "report/words.h"

namespace bitcycle::report {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void damaged(const fs::path& file, const std::string& where, const std::string& what) {
  throw std::runtime_error("'" + file.string() + "', " + where + ": " + what +
                           "; the record is damaged: copy the file from a backup, or train again with --restart");
}

void check_steps(const RecordedRun& run) {
  const fs::path file = run.folder / "steps.csv";
  for (const auto& record : run.steps) {
    const std::string where = "step " + std::to_string(record.step);
    if (record.step >= run.planned) damaged(file, where, "steps must be below train.steps");
    if (!std::isfinite(record.loss)) damaged(file, where, "the loss is not a finite number");
    for (const int bits : {record.forward_bits, record.gradient_bits}) {
      if (bits < 1 || bits > 32) damaged(file, where, std::to_string(bits) + " bits are not between 1 and 32");
    }
  }
}

void check_evaluations(const RecordedRun& run) {
  const fs::path file = run.folder / "metrics.jsonl";
  for (const auto& record : run.evaluations) {
    const std::string where = "evaluation after step " + std::to_string(record.step);
    if (record.step > run.planned) damaged(file, where, "steps must be at most train.steps");
    if (record.text.has_value() != run.text()) damaged(file, where, "it is of another kind of model");
    for (const double accuracy : {record.test_accuracy, record.test_accuracy_max_width}) {
      if (!(accuracy >= 0.0 && accuracy <= 100.0)) damaged(file, where, "an accuracy is not between 0 and 100 %");
    }
    for (const double value : {record.test_loss, record.train_loss, record.epoch}) {
      if (!std::isfinite(value)) damaged(file, where, "a loss is not a finite number");
    }
  }
}

fs::path whole_path(const fs::path& folder) {
  std::error_code error;
  fs::path whole = fs::weakly_canonical(folder, error);
  if (error) whole = folder.lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

enum class Sameness { kSame, kSameConfig, kDifferent };

/// Of two runs with one identity. A run is a pure function of its identity, so only digests can tell them apart.
Sameness compare(const RecordedRun& a, const RecordedRun& b) {
  if (whole_path(a.folder) == whole_path(b.folder)) return Sameness::kSame;
  const std::map<std::int64_t, Digest128> digests(a.digests.begin(), a.digests.end());
  for (auto other = b.digests.rbegin(); other != b.digests.rend(); ++other) {
    const auto found = digests.find(other->first);
    if (found != digests.end()) return found->second == other->second ? Sameness::kSame : Sameness::kDifferent;
  }
  return Sameness::kSameConfig;
}

}  // namespace

bool RecordedRun::text() const { return is_language_model(config.model.name); }

std::optional<double> RecordedRun::quality() const {
  if (evaluations.empty()) return std::nullopt;
  return quality_of(evaluations.back());
}

std::optional<double> RecordedRun::validation() const {
  if (evaluations.empty()) return std::nullopt;
  return validation_of(evaluations.back());
}

std::optional<double> validation_of(const EvaluationRecord& record) {
  return record.text ? std::optional(perplexity(record.text->validation)) : std::nullopt;
}

double quality_of(const EvaluationRecord& record) {
  return record.text ? perplexity(record.test_loss) : record.test_accuracy;
}

RecordedRun read_run(const fs::path& path) {
  const RunFolder folder = RunFolder::existing(path);
  if (const auto damage = damage_of_records(folder); !damage.empty()) {
    throw std::runtime_error(damage.front() + "; restore the file from a copy, or train again with --restart");
  }
  RecordedRun run;
  run.folder = path;
  run.config = folder.config();
  run.planned = run.config.train.steps;
  run.steps = folder.steps();
  if (run.steps.empty()) throw std::runtime_error("the run '" + path.string() + "' has not done a step yet");
  run.evaluations = folder.evaluations();
  for (const auto& record : folder.digests()) run.digests.emplace_back(record.step, record.root);
  check_steps(run);
  check_evaluations(run);
  run.done = run.steps.back().step + 1;
  run.precision = recorded_precision(folder, run.config, run.done);
  run.finished = folder.finished() && run.done == run.planned;
  return run;
}

std::vector<std::string> remove_repeats(std::vector<RecordedRun>& runs) {
  std::vector<std::string> notes;
  std::vector<RecordedRun> kept;
  for (auto& run : runs) {
    bool repeated = false;
    for (auto& other : kept) {
      if (config_identity(run.config) != config_identity(other.config)) continue;
      const std::string pair = "'" + shown(run.folder.string()) + "' and '" + shown(other.folder.string()) + "'";
      const Sameness sameness = compare(run, other);
      if (sameness == Sameness::kDifferent) {
        notes.push_back(pair +
                        " have the same config and seed but different digests: they are shown apart, not as two"
                        " seeds. `bitcycle verify` names the first step in which they differ.");
        continue;
      }
      repeated = true;
      notes.push_back(pair + " are the same run (" +
                      (sameness == Sameness::kSame ? "the same config, seed and digest" : "the same config and seed") +
                      "): it is shown once and counts as one seed.");
      if (run.done > other.done) other = std::move(run);
      break;
    }
    if (!repeated) kept.push_back(std::move(run));
  }
  runs = std::move(kept);
  return notes;
}

void label_runs(std::vector<RecordedRun>& runs) {
  std::vector<std::vector<std::string>> parts;  // of the paths, last first
  for (const auto& run : runs) {
    std::vector<std::string> names;
    for (const auto& part : whole_path(run.folder).relative_path()) names.insert(names.begin(), part.string());
    if (names.empty()) names.push_back(run.folder.string());
    parts.push_back(std::move(names));
  }
  const auto label = [&](std::size_t run, std::size_t depth) {
    std::string text = parts[run][0];
    for (std::size_t i = 1; i < std::min(depth, parts[run].size()); ++i) text = parts[run][i] + "/" + text;
    return text;
  };
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::size_t depth = 1;
    const auto is_shared = [&](std::size_t j) { return j != i && label(j, depth) == label(i, depth); };
    const auto others = [&] {
      for (std::size_t j = 0; j < runs.size(); ++j) {
        if (is_shared(j)) return true;
      }
      return false;
    };
    while (depth < parts[i].size() && others()) ++depth;
    runs[i].label = shown(label(i, depth));
  }
}

}  // namespace bitcycle::report
