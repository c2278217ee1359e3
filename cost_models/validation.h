// SPDX-License-Identifier: Apache-2.0
// What each cost model was checked against: recorded runs of other people's simulators, priced again here and compared
// column by column. The records are files (tests/golden of the source), so the comparison is made when it is asked for.
#pragma once

#include <string>
#include <vector>

namespace bitcycle {

/// Columns of a recorded run that differ by no more than the same amount.
struct ComparedColumns {
  std::vector<std::string> names;  // as in the record
  double largest = 0.0;            // absolute, in the record's unit; relative where `relative`
  bool relative = false;           // energies and percentages: our float sums have another order
};

struct Validation {
  std::string accelerator;  // of configs/accelerators
  std::string record;       // what ran, in words; empty: no recorded run is at hand
  int rows = 0;
  std::vector<ComparedColumns> columns;
};

/// Prices the recorded runs and compares. records: the folder with costs/ and topologies/; accelerators: the folder of
/// the designs. Throws std::invalid_argument naming the file that is missing or broken.
std::vector<Validation> validate_models(const std::string& records, const std::string& accelerators);

/// As a table in Markdown: accelerator, recorded run, rows, columns, largest difference.
std::string validation_table(const std::vector<Validation>& validations);

}  // namespace bitcycle
