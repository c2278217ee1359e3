// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <map>
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/train/run_records.h"

namespace bitcycle {
namespace fs = std::filesystem;
namespace {

constexpr const char* kConfig = "config.yaml";
constexpr const char* kSteps = "steps.csv";
constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kDigests = "digests.jsonl";
constexpr const char* kSummary = "summary.json";
constexpr const char* kBest = "checkpoints/best.txt";

/// Lines of a record file; a torn last line, which a kill can leave, is not one.
std::vector<std::string> whole_lines(const fs::path& path) {
  std::vector<std::string> lines;
  if (!fs::exists(path)) return lines;
  const std::string text = read_file(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

template <typename Record>
std::vector<Record> read_records(const fs::path& path, Record (*parse)(const std::string&), std::size_t skip = 0) {
  std::vector<Record> records;
  const auto lines = whole_lines(path);
  for (std::size_t i = skip; i < lines.size(); ++i) {
    try {
      records.push_back(parse(lines[i]));
    } catch (const std::exception& error) {
      throw std::runtime_error("'" + path.string() + "', line " + std::to_string(i + 1) + " is damaged: " + error.what());
    }
  }
  return records;
}

void append_text(const fs::path& path, std::string& pending) {
  if (pending.empty()) return;
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) throw_file_error("cannot open", path, errno);
  const off_t before = ::lseek(file, 0, SEEK_END);
  try {
    write_all(file, pending, path);
    if (::fsync(file) != 0) throw_file_error("cannot flush", path, errno);
  } catch (...) {
    // A part of a line must not stay: what follows it later would be unreadable.
    if (before >= 0 && ::ftruncate(file, before) != 0) { /* reading drops a torn last line as well */ }
    ::close(file);
    throw;
  }
  ::close(file);
  pending.clear();
}

std::string checkpoint_name(std::int64_t step) {
  char name[48];
  std::snprintf(name, sizeof name, "step-%08lld.safetensors", static_cast<long long>(step));
  return name;
}

/// Steps of the checkpoint files, ascending.
std::vector<std::int64_t> checkpoint_steps(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  if (!fs::is_directory(folder)) return steps;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    long long step = 0;
    if (std::sscanf(name.c_str(), "step-%lld.safetensors", &step) == 1 && name == checkpoint_name(step)) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Checkpoint load_checkpoint(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.file = read_safetensors(path);
  const auto step = checkpoint.file.metadata.find("step");
  if (step == checkpoint.file.metadata.end()) {
    throw std::runtime_error("'" + path.string() + "' is a safetensors file without the metadata of a checkpoint ('step' is missing)");
  }
  try {
    std::size_t used = 0;
    checkpoint.step = std::stoll(step->second, &used);
    if (used != step->second.size() || checkpoint.step < 0) throw std::invalid_argument("step");
  } catch (const std::logic_error&) {
    throw std::runtime_error("'" + path.string() + "': the metadata 'step' is '" + step->second + "', not a number of steps");
  }
  return checkpoint;
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw_file_error("cannot make the folder", path, error.value());
}

}  // namespace

/// An advisory lock on the folder's lock file, released with the process whatever happens to it.
struct RunFolder::Lock {
  explicit Lock(const fs::path& path) {
    file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) throw_file_error("cannot write in the run folder:", path, errno);
    if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      ::close(file);
      if (reason == EWOULDBLOCK) {
        throw std::runtime_error("the run folder '" + path.parent_path().string() +
                                 "' is in use by another process; wait for it, stop it, or choose another folder with --out");
      }
      throw_file_error("cannot lock", path, reason);
    }
  }
  ~Lock() { ::close(file); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  int file = -1;
};

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {}

RunFolder RunFolder::open(const fs::path& path, const Config& config) {
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw std::runtime_error("the run folder '" + path.string() + "' is a file; choose another with --out");
  }
  RunFolder run(path);
  if (fs::is_directory(path) && !fs::is_empty(path) && !fs::exists(path / kConfig)) {
    const bool only_ours = std::all_of(fs::directory_iterator(path), fs::directory_iterator(),
                                       [](const auto& entry) { return entry.path().filename() == ".lock"; });
    if (!only_ours) {
      throw std::runtime_error("'" + path.string() + "' holds other files and no run (no config.yaml); choose another folder with --out");
    }
  }
  make_folder(path);
  run.lock_ = std::make_shared<Lock>(path / ".lock");
  if (fs::exists(path / kConfig)) {
    const Config existing = run.config();
    const auto differences = identity_differences(config, existing);
    if (!differences.empty()) {
      std::string text = "the run folder '" + path.string() + "' holds a run of another config:";
      for (const auto& line : differences) text += "\n  " + line;
      throw std::runtime_error(text + "\nuse --restart to begin anew (the old folder is kept under another name), or --out for another folder");
    }
  } else {
    write_file_atomically(path / kConfig, config_yaml(config));
  }
  make_folder(path / "checkpoints");
  return run;
}

RunFolder RunFolder::existing(const fs::path& path) {
  if (!fs::is_directory(path)) throw std::runtime_error("there is no run folder '" + path.string() + "'");
  if (!fs::exists(path / kConfig)) throw std::runtime_error("'" + path.string() + "' is not a run folder: it has no config.yaml");
  return RunFolder(path);
}

fs::path RunFolder::set_aside(const fs::path& path) {
  if (!fs::exists(path)) return {};
  existing(path);  // only runs are moved
  const Lock lock(path / ".lock");
  for (int i = 1;; ++i) {
    fs::path other = path;
    other += "." + std::to_string(i);
    if (fs::exists(other)) continue;
    std::error_code error;
    fs::rename(path, other, error);
    if (error) throw_file_error("cannot rename the run folder", path, error.value());
    return other;
  }
}

Config RunFolder::config() const { return load_config(path_ / kConfig); }

bool RunFolder::finished() const { return fs::exists(path_ / kSummary); }

std::optional<std::string> RunFolder::summary_json() const {
  if (!finished()) return std::nullopt;
  return read_file(path_ / kSummary);
}

void RunFolder::write_summary(const std::string& json) { write_file_atomically(path_ / kSummary, json); }

void RunFolder::append(const StepRecord& record) { pending_steps_ += to_line(record); }
void RunFolder::append(const EvaluationRecord& record) { pending_metrics_ += to_line(record); }
void RunFolder::append(const DigestRecord& record) { pending_digests_ += to_line(record); }

void RunFolder::write_cost(const std::string& csv) { write_file_atomically(path_ / "cost.csv", csv); }

void RunFolder::flush() {
  if (!pending_steps_.empty() && !fs::exists(path_ / kSteps)) pending_steps_.insert(0, std::string(kStepsHeader) + "\n");
  append_text(path_ / kSteps, pending_steps_);
  append_text(path_ / kMetrics, pending_metrics_);
  append_text(path_ / kDigests, pending_digests_);
}

void RunFolder::write_checkpoint(const Checkpoint& checkpoint, bool best, int keep) {
  const fs::path folder = path_ / "checkpoints";
  write_safetensors(folder / checkpoint_name(checkpoint.step), checkpoint.file);
  if (best) write_file_atomically(path_ / kBest, std::to_string(checkpoint.step) + "\n");
  long long best_step = -1;
  if (fs::exists(path_ / kBest)) {
    const std::string text = read_file(path_ / kBest);
    if (std::sscanf(text.c_str(), "%lld", &best_step) != 1) best_step = -1;
  }
  auto steps = checkpoint_steps(folder);
  const auto surplus = steps.size() > static_cast<std::size_t>(keep) ? steps.size() - static_cast<std::size_t>(keep) : 0;
  for (std::size_t i = 0; i < surplus; ++i) {
    if (steps[i] == best_step) continue;
    std::error_code ignored;  // a file that cannot be removed costs space, not the run
    fs::remove(folder / checkpoint_name(steps[i]), ignored);
  }
}

std::optional<Checkpoint> RunFolder::newest_checkpoint(std::vector<std::string>& warnings) const {
  auto steps = checkpoint_steps(path_ / "checkpoints");
  for (; !steps.empty(); steps.pop_back()) {
    const fs::path path = path_ / "checkpoints" / checkpoint_name(steps.back());
    try {
      Checkpoint checkpoint = load_checkpoint(path);
      if (checkpoint.step == steps.back()) return checkpoint;
      warnings.push_back("checkpoint '" + path.string() + "' says it is of step " + std::to_string(checkpoint.step) + "; it is not used");
    } catch (const std::exception& error) {
      warnings.push_back(std::string("a damaged checkpoint is not used: ") + error.what());
    }
  }
  return std::nullopt;
}

Checkpoint RunFolder::read_checkpoint(const std::string& which) const {
  const fs::path folder = path_ / "checkpoints";
  const auto steps = checkpoint_steps(folder);
  std::string have;
  for (const auto step : steps) have += (have.empty() ? "" : ", ") + std::to_string(step);
  const auto complain = [&](const std::string& what) {
    return std::runtime_error("'" + path_.string() + "' has no " + what + "; it has checkpoints of the steps: " + (have.empty() ? "none" : have));
  };
  if (which == "newest") {
    std::vector<std::string> warnings;
    auto checkpoint = newest_checkpoint(warnings);
    if (checkpoint) return std::move(*checkpoint);
    if (!warnings.empty()) throw std::runtime_error(warnings.front());
    throw complain("checkpoint yet");
  }
  if (which == "best") {
    if (!fs::exists(path_ / kBest)) throw complain("best checkpoint yet");
    long long step = 0;
    const std::string text = read_file(path_ / kBest);
    if (std::sscanf(text.c_str(), "%lld", &step) != 1) throw std::runtime_error("'" + (path_ / kBest).string() + "' is damaged");
    return load_checkpoint(folder / checkpoint_name(step));
  }
  if (!which.empty() && which.size() < 18 && std::all_of(which.begin(), which.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    const auto path = folder / checkpoint_name(std::stoll(which));
    if (!fs::exists(path)) throw complain("checkpoint of step " + which);
    return load_checkpoint(path);
  }
  if (!fs::exists(which)) throw complain("checkpoint '" + which + "' (newest, best, a step, or a file)");
  return load_checkpoint(which);
}

void RunFolder::truncate_to(std::int64_t step) {
  const auto cut = [&](const char* name, const std::function<bool(const std::string&)>& keep, std::size_t header) {
    const fs::path path = path_ / name;
    if (!fs::exists(path)) return;
    std::string text;
    const auto lines = whole_lines(path);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      bool kept = i < header;
      if (!kept) {
        try {
          kept = keep(lines[i]);
        } catch (const std::exception& error) {
          throw std::runtime_error("'" + path.string() + "', line " + std::to_string(i + 1) + " is damaged: " + error.what());
        }
      }
      if (!kept) break;
      text += lines[i] + "\n";
    }
    write_file_atomically(path, text);
  };
  pending_steps_.clear();
  pending_metrics_.clear();
  pending_digests_.clear();
  cut(kSteps, [&](const std::string& line) { return parse_step(line).step < step; }, 1);
  cut(kMetrics, [&](const std::string& line) { return parse_evaluation(line).step <= step; }, 0);
  cut(kDigests, [&](const std::string& line) { return parse_digest_record(line).step <= step; }, 0);
  for (const auto later : checkpoint_steps(path_ / "checkpoints")) {
    if (later > step) fs::remove(path_ / "checkpoints" / checkpoint_name(later));
  }
  fs::remove(path_ / kSummary);
}

std::vector<StepRecord> RunFolder::steps() const { return read_records<StepRecord>(path_ / kSteps, parse_step, 1); }
std::vector<EvaluationRecord> RunFolder::evaluations() const {
  return read_records<EvaluationRecord>(path_ / kMetrics, parse_evaluation);
}
std::vector<DigestRecord> RunFolder::digests() const {
  return read_records<DigestRecord>(path_ / kDigests, parse_digest_record);
}

}  // namespace bitcycle
