// SPDX-License-Identifier: Apache-2.0
// ProgressReport: what `train` shows while it runs: one line redrawn in place on a terminal, a plain line every
// ten seconds elsewhere, and a lasting line for every evaluation.
#pragma once

#include <chrono>
#include <string>

#include "cli/console.h"
#include "nn/train/trainer.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle::cli {

class ProgressReport : public TrainListener {
 public:
  ProgressReport(Console& console, const Config& config)
      : console_(console),
        plan_(precision_spec(config), config.train.steps),
        live_(console.terminal() && !console.quiet()) {}
  ~ProgressReport() override { clear(); }
  ProgressReport(const ProgressReport&) = delete;
  ProgressReport& operator=(const ProgressReport&) = delete;

  void on_start(const std::string& text) override;
  void on_warning(const std::string& text) override;
  void on_step(const Progress& progress) override;
  void on_evaluation(const EvaluationRecord& record, double best) override;

  /// Takes the live line away.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  /// "at 8 bits", or "in float32", which records call 32 bits.
  std::string width_text(std::int64_t steps_done) const;

  Console& console_;
  const PrecisionPlan plan_;
  bool live_;
  bool drawn_ = false;
  std::int64_t steps_ = 0;
  Clock::time_point last_{};
};

}  // namespace bitcycle::cli
