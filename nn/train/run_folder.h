// SPDX-License-Identifier: Apache-2.0
// RunFolder: the files of a run (config.yaml, metrics.jsonl, steps.csv, widths.csv, cost.csv, digests.jsonl,
// checkpoints/), kept so that a kill at any instant loses at most the steps since the last checkpoint, and that a
// resumed run's files equal an uninterrupted one's but for times.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/config/config.h"
#include "nn/train/checkpoint_file.h"
#include "nn/train/record_scan.h"
#include "sim/number/digest.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// One line of steps.csv: step,forward_bits,gradient_bits,loss,lr (floats with 9 significant digits), and the line's
/// checksum, as the lines below have one, too (sealed_lines.h).
struct StepRecord {
  std::int64_t step = 0;
  int forward_bits = 0, gradient_bits = 0;
  double loss = 0.0;
  float lr = 0.0F;
};

/// One line of widths.csv, for the first step of the run and for every later one whose widths are not those of the step
/// before: step,forward_bits,gradient_bits,layers; "layers" are those with widths of their own, "conv1=8/8
/// fc=float32/8".
struct WidthRecord {
  std::int64_t step = 0;
  LayerWidths widths;
  std::map<std::string, LayerWidths> layers;
};

/// What an evaluation of a text has in place of accuracies: mean losses of its words. Perplexities, which metrics.jsonl
/// has beside them, are e to these.
struct TextLosses {
  double validation = 0.0;
  double validation_max_width = 0.0, test_max_width = 0.0;
};

/// One line of metrics.jsonl; keys are the fields' names.
struct EvaluationRecord {
  std::int64_t step = 0;  // steps done
  double epoch = 0.0;
  double train_loss = 0.0;  // mean since the last evaluation
  double test_loss = 0.0;
  double test_accuracy = 0.0;            // percent, at the schedule's width
  double test_accuracy_max_width = 0.0;  // percent
  std::optional<TextLosses> text;        // then there are no accuracies
  int forward_bits = 0, gradient_bits = 0;
  double paper_gbitops = 0.0, executed_gbitops = 0.0;  // so far
  std::int64_t min_scale_bound = 0;                    // quantisers whose step was min_scale, since the last evaluation
  Digest128 digest;
  std::int64_t swa_models = 0;  // averaged so far; 0: none, and the next two are not written
  double swa_accuracy = 0.0;    // percent, of the newest average, at the width of the step that it was made at
  Digest128 swa_digest;
  double seconds = 0.0;  // wall time, the only field that may differ between runs
};

/// One line of digests.jsonl: {"step":..,"root":"..","tensors":{"name":"..",...}}.
struct DigestRecord {
  std::int64_t step = 0;
  Digest128 root;
  std::vector<std::pair<std::string, Digest128>> tensors;
};

class RunFolder {
 public:
  /// Makes nothing. Throws what makes the folder unfit for this config: it is a file, holds something else than a run,
  /// or a run of another config (listing the keys that differ and naming --restart and --out), unless the run is a part
  /// of a longer one that the config describes (run_extension.h).
  static void check(const std::filesystem::path& path, const Config& config);
  /// Makes the folder or opens it, and removes what a killed process left half written. Throws what check() throws, or
  /// unwritable; nothing that was made then stays. A run that the config makes longer is open again.
  static RunFolder open(const std::filesystem::path& path, const Config& config);
  /// Opens an existing run to read. Throws where there is none.
  static RunFolder existing(const std::filesystem::path& path);
  /// Moves a run folder aside: "<name>.1", ".2", ... Returns the new path; empty where there was none.
  static std::filesystem::path set_aside(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// Throws where config.yaml is damaged or cut off.
  Config config() const;
  void write_config(const Config& config);
  bool finished() const;  // summary.json is there
  /// Throws std::runtime_error where it was changed after it was written.
  std::optional<std::string> summary_json() const;
  /// Adds `records`, the checksums of the files of records as they are now, and the summary's own `checksum`.
  void write_summary(const std::string& json);
  /// XXH3-128 by file name: config.yaml, steps.csv, widths.csv, metrics.jsonl, digests.jsonl, cost.csv; of nothing
  /// where there is no such file.
  std::map<std::string, std::string> record_digests() const;

  void append(const StepRecord& record);
  void append(const WidthRecord& record);
  void append(const EvaluationRecord& record);
  void append(const DigestRecord& record);
  void write_cost(const std::string& csv);
  /// dictionary.txt: a word of a text a line, by number.
  void write_dictionary(const std::string& text);
  std::optional<std::string> dictionary() const;
  /// Flushes the appended lines to the disk: before every checkpoint.
  void flush();

  /// checkpoints/step-<8 digits>.safetensors, whole or absent; then keeps `keep` newest and the best, which the newest
  /// one names: so there is no instant at which a kill could lose it.
  void write_checkpoint(const Checkpoint& checkpoint, int keep = 3);
  /// The same with tensors that are not all in memory.
  void write_checkpoint(const Checkpoint& checkpoint, const TensorStream& tensors, int keep = 3);
  /// Newest whole checkpoint of at most `most` steps; damaged ones are skipped with a warning in `warnings`. Whole: the
  /// bytes that were written, and the tensors that digests.jsonl recorded of that step.
  std::optional<Checkpoint> newest_checkpoint(std::vector<std::string>& warnings,
                                              std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  /// "newest", "best", a step, or a file. Where another one than the newest or the best has to be taken, `warnings`
  /// says which and why; throws where none is whole. A file of another run is refused; where nothing says which run it
  /// is of, a warning does.
  Checkpoint read_checkpoint(const std::string& which, std::vector<std::string>& warnings) const;
  /// Ascending, whole or not.
  std::vector<std::int64_t> checkpoint_steps() const;
  /// The largest number of steps up to which steps.csv, widths.csv, metrics.jsonl and digests.jsonl hold every record.
  std::int64_t recorded_steps() const;
  /// One sentence for each file of records that holds less than `done` steps without a gap.
  std::vector<std::string> cut_short(std::int64_t done) const;
  /// The checkpoint that training goes on from: the newest whole one whose records are whole, too; none where the run
  /// has none at all. Throws std::runtime_error where there are checkpoints and nothing can be gone on from.
  std::optional<Checkpoint> resume_point(std::vector<std::string>& warnings) const;
  /// Cuts every record after `step` steps; `evaluated`: false: that step's evaluation, too.
  void truncate_to(std::int64_t step, bool evaluated = true);
  /// Appends the digests of a step, or puts them where others are recorded of it.
  void record_digests_of(const DigestRecord& record);

  /// True where the records carry checksums; those of earlier versions do not.
  bool is_sealed() const;
  /// For each file of records, the first line that is not what was written, is of another run, cannot be read, is of
  /// another step than the one that is due, records a step once more, or contradicts the schedules of config.yaml:
  /// "'runs/a/metrics.jsonl:12' was changed after ..."; and the first evaluation whose digest is not that of
  /// digests.jsonl.
  std::vector<std::string> record_damage() const;
  /// One sentence where checkpoints say that they are of a run of another config; else none. Reads their headers alone.
  std::vector<std::string> foreign_checkpoints() const;
  /// Throw std::runtime_error with the same words where a file is damaged.
  std::vector<StepRecord> steps() const;
  std::vector<WidthRecord> widths() const;
  std::vector<EvaluationRecord> evaluations() const;
  std::vector<DigestRecord> digests() const;
  /// The root of digests.jsonl at a step.
  std::optional<Digest128> recorded_digest(std::int64_t step) const;

 private:
  struct Lock;
  /// Those before `checkpoint` but for the `keep` newest and the best.
  void remove_checkpoints(const Checkpoint& checkpoint, int keep);
  struct Recorded {
    std::int64_t steps = 0, widths = 0, evaluations = 0, digests = 0;  // up to which each file holds every record
  };
  /// What the four files hold up to the first line that cannot be this run's, by itself or by its config.
  struct Scans {
    RecordScan<StepRecord> steps;
    RecordScan<WidthRecord> widths;
    RecordScan<EvaluationRecord> evaluations;
    RecordScan<DigestRecord> roots;
    std::int64_t widths_until = 0;  // steps up to which widths.csv holds every change
  };
  Scans scan(const Config& config) const;
  bool is_tied() const;
  /// Throws where the checkpoint says that it is of a run of another config.
  void check_origin(const Checkpoint& checkpoint, const std::filesystem::path& path) const;
  Recorded recorded() const;
  /// Whether the checkpoint of this step says so.
  bool evaluation_is_missing(std::int64_t step) const;
  RecordScan<StepRecord> scan_steps() const;
  RecordScan<WidthRecord> scan_widths() const;
  RecordScan<EvaluationRecord> scan_evaluations(const Config& config) const;
  RecordScan<DigestRecord> scan_digests(const Config& config) const;
  RecordScan<DigestRecord> scan_roots(const Config& config) const;
  void remove_what_follows(std::int64_t step);
  Checkpoint read_step(std::int64_t step) const;
  Checkpoint best_checkpoint(std::vector<std::string>& warnings) const;
  Checkpoint read_checkpoint_of_file(const std::filesystem::path& path, std::vector<std::string>& warnings) const;
  explicit RunFolder(std::filesystem::path path);
  std::filesystem::path path_;
  std::function<std::string()> key_;  // run_key() of config.yaml, read once
  std::shared_ptr<Lock> lock_;        // held from open() on: two processes must not train into one folder
  RecordFile steps_, widths_, metrics_, digests_;
};

}  // namespace bitcycle
