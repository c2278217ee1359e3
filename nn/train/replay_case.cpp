// SPDX-License-Identifier: Apache-2.0
#include "nn/models/model.h"
#include "nn/train/case_file.h"
#include "nn/train/replay_images.h"
#include "nn/train/replay_language.h"
#include "nn/train/replay_network.h"
#include "nn/train/replay_operator.h"
#include "nn/train/replay_report.h"

namespace bitcycle {

ReplayReport replay_case(const ReplayPaths& paths, Device& device) {
  const CaseFile file(paths.case_dir);
  const std::string kind = file.text("kind");
  if (kind == "operator") return replay_operator(paths.case_dir, device, paths.out_dir);
  const bool language = (kind == "step" || kind == "trajectory") && is_language_model(file.text("model"));
  if (language) {
    return kind == "step" ? replay_language_step(file, paths, device) : replay_language_trajectory(file, paths, device);
  }
  if (kind == "step") return replay_step(file, paths, device);
  if (kind == "trajectory") return replay_trajectory(file, paths, device);
  if (kind == "images") return replay_images(file, paths);
  file.fail("kind is '" + kind + "'; there are operator, step, trajectory and images");
}

}  // namespace bitcycle
