// SPDX-License-Identifier: Apache-2.0
#include "nn/train/case_file.h"
#include "nn/train/replay_images.h"
#include "nn/train/replay_network.h"
#include "nn/train/replay_operator.h"
#include "nn/train/replay_report.h"

namespace bitcycle {

ReplayReport replay_case(const ReplayPaths& paths, Device& device) {
  const CaseFile file(paths.case_dir);
  const std::string kind = file.text("kind");
  if (kind == "operator") return replay_operator(paths.case_dir, device, paths.out_dir);
  if (kind == "step") return replay_step(file, paths, device);
  if (kind == "trajectory") return replay_trajectory(file, paths, device);
  if (kind == "images") return replay_images(file, paths);
  file.fail("kind is '" + kind + "'; there are operator, step, trajectory and images");
}

}  // namespace bitcycle
