// SPDX-License-Identifier: Apache-2.0
// The records of a run folder: steps.csv, metrics.jsonl and digests.jsonl.
#include <algorithm>
#include <limits>
#include <map>
#include <stdexcept>

#include "nn/train/record_scan.h"
#include "nn/train/run_folder.h"
#include "nn/train/run_records.h"
#include "nn/train/scheduled_records.h"

namespace bitcycle {
namespace {

/// The records, or an error that names the first line that is damaged.
template <typename Record>
std::vector<Record> whole(RecordScan<Record> scan) {
  if (!scan.damage) return std::move(scan.records);
  throw std::runtime_error(*scan.damage + "; restore the file from a copy, or train again with --restart");
}

/// The largest number of steps up to which every multiple of `every` above `first`, and `last`, has a record.
template <typename Record>
std::int64_t recorded_up_to(const std::vector<Record>& records, const RecordedSteps& steps, std::int64_t last) {
  std::int64_t next = steps.next_after(std::max<std::int64_t>(0, steps.first));
  for (const auto& record : records) {
    if (record.step == next) next += steps.every;
  }
  const bool reached = !records.empty() && records.back().step == last;
  return reached ? next - 1 : std::min(next, last) - 1;
}

std::string location_of(const RecordFile& file, std::size_t record) {
  return "'" + file.path().string() + ":" + std::to_string(file.first_line() + record) + "' ";
}

/// Whole lines that say what no run of this config does.
template <typename Record>
void cut_at_contradiction(RecordScan<Record>& scan, const RecordFile& file, const ScheduledRecords& schedule) {
  for (std::size_t i = 0; i < scan.records.size(); ++i) {
    const auto contradiction = schedule.contradiction(scan.records[i]);
    if (!contradiction) continue;
    scan.damage = location_of(file, i) + *contradiction + ": it is of another run";
    scan.records.resize(i);
    return;
  }
}

}  // namespace

bool RunFolder::is_tied() const {
  const auto tied = [](const RecordFile& file) { return file.begins_sealed() && file.read().tied; };
  return tied(metrics_) || tied(digests_) || tied(steps_);
}

void RunFolder::append(const StepRecord& record) { steps_.append(to_line(record)); }
void RunFolder::append(const WidthRecord& record) { widths_.append(to_line(record)); }
void RunFolder::append(const EvaluationRecord& record) { metrics_.append(to_line(record)); }
void RunFolder::append(const DigestRecord& record) { digests_.append(to_line(record)); }

void RunFolder::flush() {
  for (RecordFile* file : {&steps_, &widths_, &metrics_, &digests_}) file->flush();
}

bool RunFolder::is_sealed() const {
  return steps_.begins_sealed() || metrics_.begins_sealed() || digests_.begins_sealed();
}

RecordScan<StepRecord> RunFolder::scan_steps() const { return scan_records(steps_, parse_step, {1, -1}, is_sealed()); }
// Only changes are recorded: no step is due.
RecordScan<WidthRecord> RunFolder::scan_widths() const {
  return scan_records(widths_, parse_widths, {std::numeric_limits<std::int64_t>::max() / 4, 0}, is_sealed());
}
// A fork took over its first steps from a run that may have looked at itself at other steps.
RecordScan<EvaluationRecord> RunFolder::scan_evaluations(const Config& config) const {
  auto scan = scan_records(metrics_, parse_evaluation, {config.train.evaluate_every, config.fork.step}, is_sealed());
  // Whole lines of another run: its state was another one.
  std::map<std::int64_t, Digest128> roots;
  for (const auto& record : scan_roots(config).records) roots[record.step] = record.root;
  for (std::size_t i = 0; i < scan.records.size(); ++i) {
    const auto found = roots.find(scan.records[i].step);
    if (found == roots.end() || found->second == scan.records[i].digest) continue;
    scan.damage = location_of(metrics_, i) + "is of another run than '" + digests_.path().string() +
                  "': they record different digests of step " + std::to_string(scan.records[i].step);
    scan.records.resize(i);
    break;
  }
  return scan;
}
RecordScan<DigestRecord> RunFolder::scan_digests(const Config& config) const {
  return scan_records(digests_, parse_digest_record, {config.digest.every, config.fork.step}, is_sealed());
}
/// The same without the tensors. Where checksums tell that a line is what was written, its tensors need not be read.
RecordScan<DigestRecord> RunFolder::scan_roots(const Config& config) const {
  const auto parse = digests_.begins_sealed() ? parse_digest_head : parse_digest_record;
  return scan_records(digests_, parse, {config.digest.every, config.fork.step}, is_sealed());
}

std::vector<StepRecord> RunFolder::steps() const { return whole(scan_steps()); }
std::vector<WidthRecord> RunFolder::widths() const { return whole(scan_widths()); }
std::vector<EvaluationRecord> RunFolder::evaluations() const { return whole(scan_evaluations(config())); }
std::vector<DigestRecord> RunFolder::digests() const { return whole(scan_digests(config())); }

RunFolder::Scans RunFolder::scan(const Config& config) const {
  Scans scans{scan_steps(), scan_widths(), scan_evaluations(config), scan_roots(config)};
  const ScheduledRecords schedule(config);
  cut_at_contradiction(scans.steps, steps_, schedule);
  cut_at_contradiction(scans.widths, widths_, schedule);
  cut_at_contradiction(scans.evaluations, metrics_, schedule);
  const auto steps = static_cast<std::int64_t>(scans.steps.records.size());
  scans.widths_until = steps;
  // An earlier version wrote no widths.csv, or began with it on the way.
  const auto& widths = scans.widths.records;
  if (!is_tied() && (widths.empty() || widths.front().step != config.fork.step)) return scans;
  const auto due = schedule.changes(steps);
  std::size_t held = 0;
  while (held < due.size() && held < widths.size() && widths[held].step == due[held]) ++held;
  if (held == due.size()) return scans;
  scans.widths_until = due[held];
  if (held < widths.size() && !scans.widths.damage) {
    scans.widths.damage = location_of(widths_, held) + "is of step " + std::to_string(widths[held].step) +
                          ": that of step " + std::to_string(due[held]) +
                          ", at which the schedule of config.yaml changes the widths, is missing before it";
  }
  return scans;
}

std::vector<std::string> RunFolder::record_damage() const {
  const Scans scans = scan(config());
  std::vector<std::string> damage;
  for (const auto& one : {scans.steps.damage, scans.widths.damage, scans.evaluations.damage, scans.roots.damage}) {
    if (one) damage.push_back(*one);
  }
  return damage;
}

std::optional<Digest128> RunFolder::recorded_digest(std::int64_t step) const {
  const std::string begin = "{\"step\":" + std::to_string(step) + ",";
  for (const auto& line : digests_.read().lines) {
    if (line.rfind(begin, 0) == 0) return parse_digest_record(line).root;
  }
  return std::nullopt;
}

RunFolder::Recorded RunFolder::recorded() const {
  const Config config = this->config();
  const std::int64_t first = config.fork.step, last = config.train.steps;
  const Scans scans = scan(config);
  std::int64_t evaluations = recorded_up_to(scans.evaluations.records, {config.train.evaluate_every, first}, last);
  // The newest checkpoint may say that its step is yet to be evaluated.
  if (const auto steps = checkpoint_steps(); !steps.empty() && steps.back() == evaluations + 1) {
    if (evaluation_is_missing(steps.back())) ++evaluations;
  }
  return {static_cast<std::int64_t>(scans.steps.records.size()), scans.widths_until, evaluations,
          recorded_up_to(scans.roots.records, {config.digest.every, first}, last)};
}

std::int64_t RunFolder::recorded_steps() const {
  const Recorded found = recorded();
  return std::min({found.steps, found.widths, found.evaluations, found.digests});
}

std::vector<std::string> RunFolder::cut_short(std::int64_t done) const {
  const Recorded found = recorded();
  std::vector<std::string> cut;
  const auto look = [&](const RecordFile& file, std::int64_t steps) {
    if (steps >= done) return;
    if (!std::filesystem::exists(file.path())) {
      cut.push_back("'" + file.path().string() + "' is missing");
      return;
    }
    const std::size_t lines = file.read().lines.size();
    if (lines == 0) {
      cut.push_back("'" + file.path().string() +
                    "' is damaged or cut short: it holds no record, and the run has done " + std::to_string(done) +
                    " steps");
      return;
    }
    cut.push_back("'" + file.path().string() + "' is damaged or cut short: of " + std::to_string(done) +
                  " steps it holds " + std::to_string(steps) + " without a gap, and it ends after line " +
                  std::to_string(file.first_line() + lines - 1));
  };
  look(steps_, found.steps);
  look(widths_, found.widths == found.steps ? done : found.widths);
  look(metrics_, found.evaluations);
  look(digests_, found.digests);
  return cut;
}

std::optional<Checkpoint> RunFolder::resume_point(std::vector<std::string>& warnings) const {
  const auto steps = checkpoint_steps();
  const std::int64_t recorded = recorded_steps();
  const auto damaged_records = record_damage();
  if (steps.empty()) {
    if (!damaged_records.empty()) {
      throw std::runtime_error(
          "'" + path_.string() + "' cannot be continued: " + damaged_records.front() +
          ", and there is no checkpoint. Restore the files from a copy, or start again with --restart (this "
          "folder is kept)");
    }
    if (recorded > 0) {
      warnings.push_back("'" + path_.string() + "' has no checkpoint any more: its " + std::to_string(recorded) +
                         " steps are computed again");
    }
    return std::nullopt;
  }
  const std::string why = damaged_records.empty() ? "" : " (" + damaged_records.front() + ")";
  std::vector<std::string> damaged;
  auto checkpoint = newest_checkpoint(damaged, recorded);
  if (checkpoint) {
    warnings.insert(warnings.end(), damaged.begin(), damaged.end());
    if (recorded < steps.back()) {
      warnings.push_back("the records in '" + path_.string() + "' are damaged or cut short after " +
                         std::to_string(recorded) + " steps" + why + "; the steps after " +
                         std::to_string(checkpoint->step) + " are computed again");
    }
    return checkpoint;
  }
  std::string text = "'" + path_.string() + "' cannot be continued: ";
  if (damaged.empty()) {
    text += "its records (steps.csv, metrics.jsonl, digests.jsonl) are damaged or cut short after " +
            std::to_string(recorded) + " steps" + why + ", and its first checkpoint is of step " +
            std::to_string(steps.front());
  } else {
    text += damaged.front();
  }
  throw std::runtime_error(text +
                           ". Restore the files from a copy, or start again with --restart (this folder is kept)");
}

void RunFolder::record_digests_of(const DigestRecord& record) {
  const auto recorded = recorded_digest(record.step);
  if (recorded && *recorded == record.root) return;
  if (recorded) digests_.cut([&](const std::string& line) { return parse_digest_record(line).step < record.step; });
  append(record);
}

void RunFolder::truncate_to(std::int64_t step, bool evaluated) {
  steps_.cut([&](const std::string& line) { return parse_step(line).step < step; });
  widths_.cut([&](const std::string& line) { return parse_widths(line).step < step; });
  metrics_.cut([&](const std::string& line) { return parse_evaluation(line).step < step + (evaluated ? 1 : 0); });
  digests_.cut([&](const std::string& line) { return parse_digest_record(line).step <= step; });
  remove_what_follows(step);
}

}  // namespace bitcycle
