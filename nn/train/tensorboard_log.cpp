// SPDX-License-Identifier: Apache-2.0
#include "nn/train/tensorboard_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "nn/io/atomic_file.h"
#include "nn/train/perplexity.h"
#include "nn/train/run_records.h"

namespace bitcycle {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// `step` counts steps done, as metrics.jsonl does; the loss has the digits of steps.csv, so that a point is the same
/// whether it is written now or from the file.
ScalarEvent event_of(const StepRecord& given) {
  std::string line = to_line(given);
  line.pop_back();
  const StepRecord record = parse_step(line);
  return {now(),
          record.step + 1,
          {{"loss/batch", static_cast<float>(record.loss)},
           {"learning_rate", record.lr},
           {"bits/forward", static_cast<float>(record.forward_bits)},
           {"bits/gradient", static_cast<float>(record.gradient_bits)}}};
}

ScalarEvent event_of(const EvaluationRecord& record) {
  if (record.text) {
    const auto of = [](double loss) { return static_cast<float>(perplexity(loss)); };
    return {now(),
            record.step,
            {{"perplexity/validation", of(record.text->validation)},
             {"perplexity/test", of(record.test_loss)},
             {"perplexity/validation_at_largest_width", of(record.text->validation_max_width)},
             {"perplexity/test_at_largest_width", of(record.text->test_max_width)},
             {"loss/validation", static_cast<float>(record.text->validation)},
             {"loss/test", static_cast<float>(record.test_loss)},
             {"loss/train", static_cast<float>(record.train_loss)},
             {"cost/paper_gbitops", static_cast<float>(record.paper_gbitops)},
             {"cost/executed_gbitops", static_cast<float>(record.executed_gbitops)}}};
  }
  return {now(),
          record.step,
          {{"accuracy/test", static_cast<float>(record.test_accuracy)},
           {"accuracy/test_at_largest_width", static_cast<float>(record.test_accuracy_max_width)},
           {"loss/test", static_cast<float>(record.test_loss)},
           {"loss/train", static_cast<float>(record.train_loss)},
           {"cost/paper_gbitops", static_cast<float>(record.paper_gbitops)},
           {"cost/executed_gbitops", static_cast<float>(record.executed_gbitops)}}};
}

bool is_point(const StepRecord& record, std::int64_t log_every) { return (record.step + 1) % log_every == 0; }

/// All events of a folder's records in the order of a training: a step's, then the evaluation after it.
std::vector<ScalarEvent> events_of(const RunFolder& folder, std::int64_t log_every) {
  std::vector<ScalarEvent> events;
  const auto evaluations = folder.evaluations();
  auto evaluation = evaluations.begin();
  for (const auto& record : folder.steps()) {
    if (is_point(record, log_every)) events.push_back(event_of(record));
    while (evaluation != evaluations.end() && evaluation->step <= record.step + 1)
      events.push_back(event_of(*evaluation++));
  }
  return events;
}

}  // namespace

TensorboardLog::TensorboardLog(const RunFolder& folder, std::int64_t log_every)
    : path_(folder.path() / kFile), log_every_(log_every) {
  open(events_of(folder, log_every));
}

void TensorboardLog::open(const std::vector<ScalarEvent>& expected) {
  const std::string file = std::filesystem::exists(path_) ? read_file(path_) : std::string();
  const auto records = whole_event_records(file);
  if (records.empty()) {
    pending_ = event_file_header(now());
    for (const auto& event : expected) pending_ += event_record(event);
    write_file_atomically(path_, pending_);
    pending_.clear();
    return;
  }
  std::size_t same = 0;
  while (same < expected.size() && same + 1 < records.size() && records[same + 1].step == expected[same].step) ++same;
  const auto kept = static_cast<std::uintmax_t>(records[same].end);
  if (kept != file.size()) std::filesystem::resize_file(path_, kept);
  for (std::size_t i = same; i < expected.size(); ++i) pending_ += event_record(expected[i]);
  flush();
}

void TensorboardLog::add(const StepRecord& record) {
  if (is_point(record, log_every_)) pending_ += event_record(event_of(record));
}

void TensorboardLog::add(const EvaluationRecord& record) { pending_ += event_record(event_of(record)); }

void TensorboardLog::flush() {
  if (pending_.empty()) return;
  const int file = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) throw_file_error("cannot open", path_, errno);
  try {
    write_all(file, pending_, path_);
  } catch (...) {
    ::close(file);
    throw;
  }
  ::close(file);
  pending_.clear();
}

}  // namespace bitcycle
