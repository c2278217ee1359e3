// SPDX-License-Identifier: Apache-2.0
// The summary of a run as one JSON object, and back.
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nn/train/perplexity.h"
#include "nn/train/trainer.h"

namespace bitcycle {
namespace {

const char* speed_key(bool text) { return text ? "tokens_per_second" : "images_per_second"; }

}  // namespace

std::string summary_json(const TrainSummary& summary) {
  nlohmann::ordered_json json{{"run", summary.run.string()},
                              {"steps", summary.step},
                              {"steps_planned", summary.steps},
                              {"finished", summary.finished}};
  if (summary.text) {
    const TextSummary& text = *summary.text;
    const auto add = [&](const std::string& what, const std::string& at, double loss) {
      json[what + "_loss" + at] = loss;
      json[what + "_perplexity" + at] = perplexity(loss);
    };
    add("validation", "", text.last.validation);
    add("test", "", text.test);
    add("validation", "_max_width", text.last.validation_max_width);
    add("test", "_max_width", text.last.test_max_width);
    add("best_validation", "", text.best_validation);
    add("best_test", "", text.best_test);
  } else {
    json["test_accuracy"] = summary.test_accuracy;
    json["test_accuracy_max_width"] = summary.test_accuracy_max_width;
    json["best_test_accuracy"] = summary.best_test_accuracy;
  }
  json["best_step"] = summary.best_step;
  json["paper_gbitops"] = summary.paper_gbitops;
  json["executed_gbitops"] = summary.executed_gbitops;
  json["static_paper_gbitops"] = summary.static_paper_gbitops;
  json["saving_percent"] = summary.saving_percent;
  json["digest"] = to_text(summary.digest);
  json[speed_key(summary.text.has_value())] = summary.images_per_second;
  json["seconds"] = summary.seconds;
  if (summary.swa_models > 0) {
    json["swa_models"] = summary.swa_models;
    json["swa_accuracy"] = summary.swa_accuracy;
    json["best_swa_accuracy"] = summary.best_swa_accuracy;
  }
  if (summary.device_memory_bytes != 0) json["device_memory_bytes"] = summary.device_memory_bytes;
  if (!summary.warnings.empty()) json["warnings"] = summary.warnings;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

namespace {

template <typename T>
T field(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) throw std::runtime_error(std::string("'") + key + "' is missing");
  try {
    return found->template get<T>();
  } catch (const nlohmann::json::exception&) {
    throw std::runtime_error(std::string("'") + key + "' has a value of the wrong type");
  }
}

TrainSummary summary_of(const nlohmann::json& json) {
  if (json.is_discarded() || !json.is_object()) throw std::runtime_error("it is not a JSON object");
  TrainSummary summary;
  summary.run = field<std::string>(json, "run");
  summary.step = field<std::int64_t>(json, "steps");
  summary.steps = field<std::int64_t>(json, "steps_planned");
  summary.finished = field<bool>(json, "finished");
  if (json.contains("validation_loss")) {
    const auto loss = [&](const char* key) { return field<double>(json, key); };
    summary.text =
        TextSummary{{loss("validation_loss"), loss("validation_loss_max_width"), loss("test_loss_max_width")},
                    loss("test_loss"),
                    loss("best_validation_loss"),
                    loss("best_test_loss")};
  } else {
    summary.test_accuracy = field<double>(json, "test_accuracy");
    summary.test_accuracy_max_width = field<double>(json, "test_accuracy_max_width");
    summary.best_test_accuracy = field<double>(json, "best_test_accuracy");
  }
  summary.best_step = field<std::int64_t>(json, "best_step");
  summary.paper_gbitops = field<double>(json, "paper_gbitops");
  summary.executed_gbitops = field<double>(json, "executed_gbitops");
  summary.static_paper_gbitops = field<double>(json, "static_paper_gbitops");
  summary.saving_percent = field<double>(json, "saving_percent");
  summary.digest = parse_digest(field<std::string>(json, "digest"));
  summary.images_per_second = field<double>(json, speed_key(summary.text.has_value()));
  summary.seconds = field<double>(json, "seconds");
  if (json.contains("swa_models")) {
    summary.swa_models = field<std::int64_t>(json, "swa_models");
    summary.swa_accuracy = field<double>(json, "swa_accuracy");
    summary.best_swa_accuracy = field<double>(json, "best_swa_accuracy");
  }
  if (json.contains("device_memory_bytes"))
    summary.device_memory_bytes = field<std::size_t>(json, "device_memory_bytes");
  if (json.contains("warnings")) summary.warnings = field<std::vector<std::string>>(json, "warnings");
  if (json.contains("records")) summary.records = field<std::map<std::string, std::string>>(json, "records");
  return summary;
}

}  // namespace

TrainSummary parse_summary(const std::string& text) {
  try {
    return summary_of(nlohmann::json::parse(text, nullptr, false));
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("the run's summary.json cannot be read: ") + error.what());
  }
}

}  // namespace bitcycle
