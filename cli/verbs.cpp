// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.h"

namespace bitcycle::cli {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all{
      {"train", "trains a network; resumes by itself after an interruption", run_train},
      {"eval", "accuracy of a run's checkpoint, at any width", run_eval},
      {"cost", "what training costs, by layer, pass and width, without training", run_cost},
      {"export", "a trained network as integer codes and as plain ONNX", run_export},
      {"report", "one HTML page of runs: accuracy against cost, curves, energy per layer", run_report},
      {"schedule", "the bits over the run, as dwell times and as a plot", run_schedule},
      {"replay", "computes a recorded case again and compares", run_replay},
      {"verify", "compares two runs; names the first step and tensor that differ", run_verify},
      {"data", "checks a data set's folder; --help says where each is to be had", run_data},
      {"info", "this machine's features, the kernels chosen, build options", run_info},
  };
  return all;
}

}  // namespace bitcycle::cli
