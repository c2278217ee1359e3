// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.h"

namespace bitcycle::cli {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all{
      {"train", "trains a network; the same command continues an interrupted run", run_train},
      {"eval", "the accuracy of a run's checkpoint, at any width", run_eval},
      {"cost", "what a training costs, by layer, pass and width; nothing is trained", run_cost},
      {"export", "a trained network as integer codes and as plain ONNX", run_export},
      {"report", "one HTML page of runs: accuracy against cost, curves, energy per layer", run_report},
      {"schedule", "the bits over the run, as dwell times and as a plot", run_schedule},
      {"program", "the step as a program: its operations, their tensors, the kernels chosen", run_program},
      {"replay", "computes a recorded case again and compares", run_replay},
      {"verify", "compares two runs, or two devices; names the first step and tensor that differ", run_verify},
      {"data", "checks the folder of a data set; --help says where to get each", run_data},
      {"info", "this machine's features, the kernels chosen, build options", run_info},
  };
  return all;
}

}  // namespace bitcycle::cli
