// SPDX-License-Identifier: Apache-2.0
// The verbs. A new one is one file and one line in verbs.cpp.
#pragma once

#include <string>
#include <vector>

namespace bitcycle::cli {

struct Verb {
  std::string name;
  std::string summary;
  /// Gets the words after the verb, returns the exit code; errors are thrown.
  int (*run)(const std::vector<std::string>& arguments);
};

const std::vector<Verb>& verbs();

int run_train(const std::vector<std::string>& arguments);
int run_eval(const std::vector<std::string>& arguments);
int run_cost(const std::vector<std::string>& arguments);
int run_export(const std::vector<std::string>& arguments);
int run_report(const std::vector<std::string>& arguments);
int run_program(const std::vector<std::string>& arguments);
int run_schedule(const std::vector<std::string>& arguments);
int run_replay(const std::vector<std::string>& arguments);
int run_verify(const std::vector<std::string>& arguments);
int run_data(const std::vector<std::string>& arguments);
int run_info(const std::vector<std::string>& arguments);

}  // namespace bitcycle::cli
