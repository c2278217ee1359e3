// SPDX-License-Identifier: Apache-2.0
// The records of a run as lines of text, and back: steps.csv, metrics.jsonl, digests.jsonl.
#pragma once

#include <string>

#include "nn/train/run_folder.h"

namespace bitcycle {

inline constexpr const char* kStepsHeader = "step,forward_bits,gradient_bits,loss,lr";

inline constexpr const char* kWidthsHeader = "step,forward_bits,gradient_bits,layers";

/// One line each, with its newline.
std::string to_line(const StepRecord& record);
std::string to_line(const WidthRecord& record);
std::string to_line(const EvaluationRecord& record);
std::string to_line(const DigestRecord& record);

/// Throw std::runtime_error with what is wrong in the line.
StepRecord parse_step(const std::string& line);
WidthRecord parse_widths(const std::string& line);
EvaluationRecord parse_evaluation(const std::string& line);
DigestRecord parse_digest_record(const std::string& line);
/// Step and root alone, without looking at the tensors: for lines whose checksum fits.
DigestRecord parse_digest_head(const std::string& line);

}  // namespace bitcycle
