// SPDX-License-Identifier: Apache-2.0
// Arrays of a recorded operator beside what was computed.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "nn/io/npy.h"
#include "nn/train/operator_case.h"
#include "nn/train/replay_report.h"

namespace bitcycle {

/// Everything that a case can be asked for, by the name of its array.
using OperatorResults = std::map<std::string, NpyArray>;

/// How far arrays that are not exact may be off where a case does not say it.
inline constexpr double kCloseTolerance = 1e-6;

/// Exact arrays: equal bits. Others: the largest |computed - recorded| over the largest |recorded|, at most
/// `tolerance`. Throws std::runtime_error where the shapes differ.
ReplayLine compare_array(const std::filesystem::path& folder, const RecordedArray& recorded, const NpyArray& computed,
                         const std::string& name, double tolerance);

}  // namespace bitcycle
