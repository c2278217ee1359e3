// SPDX-License-Identifier: Apache-2.0
// Replaying recorded pictures: decoding, scaling and cropping of JPEG files, to the bit.
#pragma once

#include "nn/train/case_file.h"
#include "nn/train/replay_report.h"

namespace bitcycle {

/// One line a picture of `evaluation` and of `random_resized_crop`: 0 where the bytes of the decoded picture, of the
/// scaled one and of the result are the recorded ones, else 1, and the note says which are not. Files whose names have
/// a folder belong to sets in paths.data_dir; those that are not there are shown and not checked.
ReplayReport replay_images(const CaseFile& file, const ReplayPaths& paths);

}  // namespace bitcycle
