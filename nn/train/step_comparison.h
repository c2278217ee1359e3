// SPDX-License-Identifier: Apache-2.0
// Comparing what a replayed step computed with what its case records: the loss, tensors by name, norms of gradients.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/train/case_file.h"
#include "nn/train/replay_report.h"

namespace bitcycle {

/// |a - b| / |b| in the L2 norm, the magnitude itself where b is 0.
double relative_l2(const std::vector<float>& a, const std::vector<float>& b);
/// max|a - b| / max|b|.
double relative_to_maximum(const std::vector<float>& a, const std::vector<float>& b);

using Deviation = double (*)(const std::vector<float>&, const std::vector<float>&);

/// The line of the loss: within the case's `loss_tolerance`, 1e-3 where it has none.
ReplayLine compare_loss(const CaseFile& file, double loss);

/// One line a tensor of `recorded`; `prefix` and its name name the line. Where the case has a `tolerance` of the
/// tensor, it bounds the relative L2 error; where that is null, its `absolute_tolerance` bounds the error itself, if it
/// has one. Else `deviation` and `tolerance` decide.
void compare(const CaseFile& file, const TensorFile& recorded, const std::vector<NamedTensor>& computed,
             const std::string& prefix, Deviation deviation, double tolerance, ReplayReport& report);

/// Gradients of large networks are recorded as some of their elements, and the norm of all.
class Sampling {
 public:
  Sampling(const CaseFile& file, const std::vector<NamedTensor>& computed);
  /// Elements (i * step) mod n, i = 0 .. size-1, of tensors of more than `size`, as vectors.
  std::vector<NamedTensor> samples(const std::vector<NamedTensor>& computed) const;
  /// The norm of the whole gradient is as near as the samples are; their lines begin at `line`.
  void compare_norms(const TensorFile& recorded, ReplayReport& report, std::size_t line) const;

 private:
  std::int64_t size_ = 0, step_ = 1;
  std::map<std::string, double> norm_deviation_;
};

/// PREFIXNAME.npy of every tensor; momenta, whose names have a slash, are left out.
void write_tensors(const std::filesystem::path& folder, const std::string& prefix,
                   const std::vector<NamedTensor>& tensors);

}  // namespace bitcycle
