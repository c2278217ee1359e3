// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <ostream>

#include "cli/format.h"
#include "cli/terminal_text.h"
#include "nn/train/perplexity.h"

namespace bitcycle::cli {
namespace {

constexpr auto kPlainInterval = std::chrono::seconds(10);
constexpr auto kLiveInterval = std::chrono::milliseconds(100);

std::string padded(std::string text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string step_text(std::int64_t step, std::int64_t steps) {
  const std::string all = std::to_string(steps);
  return "step " + padded(std::to_string(step), all.size()) + "/" + all;
}

}  // namespace

void ProgressReport::clear() {
  if (!drawn_) return;
  write_control(console_.notes(), "\r\033[K");
  console_.notes() << std::flush;
  drawn_ = false;
}

std::string ProgressReport::width_text(std::int64_t steps_done) const {
  const BitWidth width = plan_.at(steps_done - 1).forward;
  return width.is_float32() ? "in float32" : "at " + width.text() + " bits";
}

void ProgressReport::on_start(const std::string& text) {
  clear();
  console_.notes() << text << std::endl;
}

void ProgressReport::on_warning(const std::string& text) {
  clear();
  console_.warning(text);
}

void ProgressReport::on_step(const Progress& progress) {
  steps_ = progress.steps;
  const auto now = Clock::now();
  if (now - last_ < (live_ ? Clock::duration(kLiveInterval) : Clock::duration(kPlainInterval))) return;
  last_ = now;
  const std::string quality = progress.perplexity ? "perplexity " + figures(*progress.perplexity)
                                                  : "accuracy " + padded(fixed(progress.train_accuracy, 1), 4) + " %";
  const LayerWidths widths = plan_.at(progress.step - 1);
  std::string line = step_text(progress.step, progress.steps) + "  bits " + widths.forward.text() + "/" +
                     widths.gradient.text() + "  loss " + fixed(progress.loss, 3) + "  " + quality + "  " +
                     fixed(progress.images_per_second, 0) + (progress.perplexity ? " tokens/s" : " images/s") +
                     "  ETA " + clock(progress.seconds_left);
  if (!live_) {
    console_.notes() << line << std::endl;
    return;
  }
  // A line that wraps could not be taken back.
  const auto columns = static_cast<std::size_t>(console_.columns());
  if (line.size() >= columns) line.resize(columns - 1);
  write_control(console_.notes(), "\r");
  console_.notes() << line;
  write_control(console_.notes(), "\033[K");
  console_.notes() << std::flush;
  drawn_ = true;
}

void ProgressReport::on_evaluation(const EvaluationRecord& record, double best) {
  clear();
  std::ostream& out = console_.notes();
  out << (steps_ > 0 ? step_text(record.step, steps_) : "step " + std::to_string(record.step)) << "  epoch "
      << fixed(record.epoch, 1);
  if (record.text) {
    const auto of = [](double loss) { return fixed(perplexity(loss), 2); };
    out << "  perplexity: validation " << of(record.text->validation) << ", test " << of(record.test_loss) << " "
        << width_text(record.step);
    if (record.text->validation_max_width != record.text->validation) {
      out << ", " << of(record.text->validation_max_width) << " and " << of(record.text->test_max_width)
          << " at the largest width";
    }
    out << ", best validation " << of(best) << "  training loss " << fixed(record.train_loss, 3) << "  "
        << figures(record.paper_gbitops) << " GBitOPs  digest " << to_text(record.digest).substr(0, 8) << std::endl;
    return;
  }
  out << "  test accuracy " << fixed(record.test_accuracy, 2) << " % " << width_text(record.step);
  if (record.test_accuracy_max_width != record.test_accuracy) {
    out << ", " << fixed(record.test_accuracy_max_width, 2) << " % at the largest width";
  }
  if (record.swa_models > 0) {
    out << ", " << fixed(record.swa_accuracy, 2) << " % of the average of " << record.swa_models;
  }
  out << ", best " << fixed(best, 2) << " %  training loss " << fixed(record.train_loss, 3) << ", test loss "
      << fixed(record.test_loss, 3) << "  " << figures(record.paper_gbitops) << " GBitOPs  digest "
      << to_text(record.digest).substr(0, 8) << std::endl;
}

}  // namespace bitcycle::cli
