// SPDX-License-Identifier: Apache-2.0
// The recorded figures of the paper's costs, and the recorded workloads of its models, as data.
#pragma once

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"
#include "sim/workload.h"

namespace bitcycle::test {

inline std::vector<std::vector<std::string>> read_csv(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(file, line);  // the header
  while (std::getline(file, line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    std::stringstream stream(line);
    rows.emplace_back();
    for (std::string cell; std::getline(stream, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

/// One row of paper.csv. Printed figures stay text: their digits are what is compared.
struct PaperRow {
  std::string source, model;
  int min = 0, max = 0, gradient = 0;
  std::string static_gbitops, cpt_gbitops, saving;
  double computed_saving = 0.0;

  bool is_cifar_resnet() const { return source == "CIFAR-100 figure" && model.starts_with("resnet"); }
  /// False where the paper's network is not published, and only its schedule is known.
  bool is_network() const { return source != "NLP table"; }
  PrecisionSpec precision() const {
    PrecisionSpec spec;
    spec.forward = {"cyclic_cosine", BitWidth::integer(min), BitWidth::integer(max), 32, 1};
    spec.gradient = {"constant", BitWidth::integer(gradient), BitWidth::integer(gradient), 1, 1};
    return spec;
  }
  std::string bits() const {
    return "(" + std::to_string(min) + ", " + std::to_string(max) + ") / " + std::to_string(gradient);
  }
};

inline std::vector<PaperRow> paper_rows() {
  std::vector<PaperRow> rows;
  for (const auto& cells : read_csv(BITCYCLE_GOLDEN "/costs/paper.csv")) {
    rows.push_back({cells.at(0), cells.at(1), std::stoi(cells.at(2)), std::stoi(cells.at(3)), std::stoi(cells.at(4)),
                    cells.at(5), cells.at(6), cells.at(7), std::stod(cells.at(8))});
  }
  return rows;
}

/// The recorded layers of a model, a batch norm after each convolution.
inline Workload recorded_workload(const std::string& file) {
  Workload workload;
  workload.model = file;
  for (const auto& cells : read_csv(BITCYCLE_GOLDEN "/workloads/" + file + ".csv")) {
    const auto number = [&](std::size_t i) { return std::stoll(cells.at(i)); };
    MatrixOperation operation;
    operation.layer = cells.at(0);
    operation.kind = cells.at(1);
    operation.quantised = operation.kind == "conv2d";
    operation.input_gradient = !workload.matrix.empty();
    operation.shape = ConvShape{1,         number(3), number(4), number(2),  number(5),
                                number(8), number(8), number(9), number(10), number(11)};
    if (operation.shape.macs() != number(12))
      throw std::runtime_error(file + ": " + operation.layer + " has other MACs");
    if (operation.quantised) {
      workload.elementwise.push_back({operation.layer, "batch_norm", operation.shape.output_size()});
    }
    workload.matrix.push_back(operation);
  }
  return workload;
}

}  // namespace bitcycle::test
