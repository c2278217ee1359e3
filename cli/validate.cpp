// SPDX-License-Identifier: Apache-2.0
#include "cli/validate.h"

#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cost_models/validation.h"

namespace bitcycle::cli {

int run_validation(bool json) {
  constexpr double kMeasure = 1e-5;
  Console console(json, false);
  const auto validations = validate_models(BITCYCLE_RECORDS, BITCYCLE_ACCELERATORS);
  bool equal = true;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& validation : validations) {
    nlohmann::ordered_json columns = nlohmann::ordered_json::array();
    for (const auto& compared : validation.columns) {
      if (compared.names.empty()) continue;
      equal = equal && compared.largest <= (compared.relative ? kMeasure : 0.0);
      columns.push_back(
          {{"names", compared.names}, {"largest_difference", compared.largest}, {"relative", compared.relative}});
    }
    list.push_back({{"accelerator", validation.accelerator},
                    {"recorded_run", validation.record},
                    {"rows", validation.rows},
                    {"columns", columns}});
  }
  if (json) {
    console.json({{"equal", equal}, {"validations", list}});
  } else {
    console.result() << validation_table(validations)
                     << "\nThe runs are recorded in " BITCYCLE_RECORDS " and were priced again just now.\n"
                     << (equal ? "Counts are equal, measures within 1e-5.\n" : "There are differences.\n");
  }
  return equal ? kSuccess : kMismatch;
}

}  // namespace bitcycle::cli
