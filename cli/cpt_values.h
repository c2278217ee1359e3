// SPDX-License-Identifier: Apache-2.0
// The values of the paper's options, and what a mapping of them gathers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/cpt_command_line.h"

namespace bitcycle::cli {

class CptValues {
 public:
  explicit CptValues(const std::map<std::string, std::vector<std::string>>& paper) : paper_(paper) {}

  bool has(const std::string& name) const { return paper_.count(name) != 0; }
  std::string text(const std::string& name, const std::string& fallback) const;
  /// All its values, as they were written.
  std::string joined(const std::string& name) const;
  /// Throw UsageError for what is no number.
  std::int64_t integer(const std::string& name, std::int64_t fallback) const;
  std::string number(const std::string& name, const std::string& fallback) const;
  /// MIN and MAX. Throws UsageError, `needs` first, where the option is not there or has not two numbers.
  std::pair<std::int64_t, std::int64_t> range(const std::string& name, const std::string& needs) const;

 private:
  const std::map<std::string, std::vector<std::string>>& paper_;
};

/// Keys, run folder and notes in the making.
struct CptMapping {
  const CptValues& values;
  CptRun result;

  /// `option`: of the paper's program, that the value is of; none where it follows from several.
  void set(const std::string& key, const std::string& yaml, const std::string& option = "");
  void set_text(const std::string& key, const std::string& value, const std::string& option = "");
  void note(const std::string& text) { result.notes.push_back(text); }
};

/// Options that neither program's mapping takes.
void refuse_cpt_options(const CptValues& values);
/// Widths of both schedules, `periods` where --num_cyclic_period is not given.
void map_cpt_precision(CptMapping& mapping, std::int64_t periods);
/// Widths of both schedules, constant: the ends of --cyclic_num_bits_schedule and its like, which are equal.
void map_cpt_static_precision(CptMapping& mapping);
/// optimizer.lr, momentum, weight_decay.
void map_cpt_sgd(CptMapping& mapping);

/// True where the options are those of the ImageNet program: its models, its data set, or --epoch.
bool is_imagenet_line(const CptValues& values);
/// The ImageNet program, cpt_imagenet/train.py. Reads the lists of the folder of images, whose number decides the steps
/// of an epoch.
CptRun map_imagenet_line(const CptValues& values);

}  // namespace bitcycle::cli
