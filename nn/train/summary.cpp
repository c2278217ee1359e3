// SPDX-License-Identifier: Apache-2.0
// The summary of a run as one JSON object, and back.
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nn/train/trainer.h"

namespace bitcycle {

std::string summary_json(const TrainSummary& summary) {
  nlohmann::ordered_json json{{"run", summary.run.string()},
                              {"steps", summary.step},
                              {"steps_planned", summary.steps},
                              {"finished", summary.finished},
                              {"test_accuracy", summary.test_accuracy},
                              {"test_accuracy_max_width", summary.test_accuracy_max_width},
                              {"best_test_accuracy", summary.best_test_accuracy},
                              {"best_step", summary.best_step},
                              {"paper_gbitops", summary.paper_gbitops},
                              {"executed_gbitops", summary.executed_gbitops},
                              {"static_paper_gbitops", summary.static_paper_gbitops},
                              {"saving_percent", summary.saving_percent},
                              {"digest", to_text(summary.digest)},
                              {"images_per_second", summary.images_per_second},
                              {"seconds", summary.seconds}};
  if (summary.device_memory_bytes != 0) json["device_memory_bytes"] = summary.device_memory_bytes;
  if (!summary.warnings.empty()) json["warnings"] = summary.warnings;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

TrainSummary parse_summary(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    TrainSummary summary;
    summary.run = json.at("run").get<std::string>();
    summary.step = json.at("steps").get<std::int64_t>();
    summary.steps = json.at("steps_planned").get<std::int64_t>();
    summary.finished = json.at("finished").get<bool>();
    summary.test_accuracy = json.at("test_accuracy").get<double>();
    summary.test_accuracy_max_width = json.at("test_accuracy_max_width").get<double>();
    summary.best_test_accuracy = json.at("best_test_accuracy").get<double>();
    summary.best_step = json.at("best_step").get<std::int64_t>();
    summary.paper_gbitops = json.at("paper_gbitops").get<double>();
    summary.executed_gbitops = json.at("executed_gbitops").get<double>();
    summary.static_paper_gbitops = json.at("static_paper_gbitops").get<double>();
    summary.saving_percent = json.at("saving_percent").get<double>();
    summary.digest = parse_digest(json.at("digest").get<std::string>());
    summary.images_per_second = json.at("images_per_second").get<double>();
    summary.seconds = json.at("seconds").get<double>();
    summary.device_memory_bytes = json.value("device_memory_bytes", std::size_t{0});
    summary.warnings = json.value("warnings", std::vector<std::string>());
    return summary;
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("the run's summary cannot be read: ") + error.what());
  }
}

}  // namespace bitcycle
