// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_records.h"

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "nn/train/perplexity.h"

namespace bitcycle {
namespace {

using Json = nlohmann::ordered_json;

Json parse_object(const std::string& line) {
  Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded() || !json.is_object()) throw std::runtime_error("it is not a JSON object");
  return json;
}

template <typename T>
T field(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) throw std::runtime_error(std::string("'") + key + "' is missing");
  try {
    return found->template get<T>();
  } catch (const Json::exception&) {
    throw std::runtime_error(std::string("'") + key + "' has a value of the wrong type");
  }
}

}  // namespace

std::string to_line(const StepRecord& record) {
  char text[128];
  std::snprintf(text, sizeof text, "%lld,%d,%d,%.9g,%.9g\n", static_cast<long long>(record.step), record.forward_bits,
                record.gradient_bits, record.loss, static_cast<double>(record.lr));
  return text;
}

std::string to_line(const WidthRecord& record) {
  std::string text =
      std::to_string(record.step) + "," + record.widths.forward.text() + "," + record.widths.gradient.text() + ",";
  bool first = true;
  for (const auto& [layer, widths] : record.layers) {
    text += (first ? "" : " ") + layer + "=" + widths.forward.text() + "/" + widths.gradient.text();
    first = false;
  }
  return text + "\n";
}

WidthRecord parse_widths(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream columns(line);
  for (std::string field; std::getline(columns, field, ',');) fields.push_back(field);
  if (fields.size() == 3) fields.emplace_back();
  if (fields.size() != 4) throw std::runtime_error("it has not four columns: " + std::string(kWidthsHeader));
  WidthRecord record;
  const char* end = fields[0].data() + fields[0].size();
  const auto [at, error] = std::from_chars(fields[0].data(), end, record.step);
  if (error != std::errc() || at != end || record.step < 0) throw std::runtime_error("'" + fields[0] + "' is no step");
  record.widths = {BitWidth::parse(fields[1]), BitWidth::parse(fields[2])};
  std::istringstream layers(fields[3]);
  for (std::string entry; layers >> entry;) {
    const auto equals = entry.rfind('='), slash = entry.rfind('/');
    if (equals == std::string::npos || slash == std::string::npos || slash < equals) {
      throw std::runtime_error("'" + entry + "' is not LAYER=FORWARD/GRADIENT");
    }
    record.layers[entry.substr(0, equals)] = {BitWidth::parse(entry.substr(equals + 1, slash - equals - 1)),
                                              BitWidth::parse(entry.substr(slash + 1))};
  }
  return record;
}

std::string to_line(const EvaluationRecord& r) {
  Json json{{"step", r.step}, {"epoch", r.epoch}, {"train_loss", r.train_loss}};
  if (r.text) {
    json["train_perplexity"] = perplexity(r.train_loss);
    json["validation_loss"] = r.text->validation;
    json["validation_perplexity"] = perplexity(r.text->validation);
  }
  json["test_loss"] = r.test_loss;
  if (r.text) {
    json["test_perplexity"] = perplexity(r.test_loss);
    json["validation_loss_max_width"] = r.text->validation_max_width;
    json["validation_perplexity_max_width"] = perplexity(r.text->validation_max_width);
    json["test_loss_max_width"] = r.text->test_max_width;
    json["test_perplexity_max_width"] = perplexity(r.text->test_max_width);
  } else {
    json["test_accuracy"] = r.test_accuracy;
    json["test_accuracy_max_width"] = r.test_accuracy_max_width;
  }
  json["forward_bits"] = r.forward_bits;
  json["gradient_bits"] = r.gradient_bits;
  json["paper_gbitops"] = r.paper_gbitops;
  json["executed_gbitops"] = r.executed_gbitops;
  json["min_scale_bound"] = r.min_scale_bound;
  json["digest"] = to_text(r.digest);
  if (r.swa_models > 0) {
    json["swa_models"] = r.swa_models;
    json["swa_accuracy"] = r.swa_accuracy;
    json["swa_digest"] = to_text(r.swa_digest);
  }
  json["seconds"] = r.seconds;
  return json.dump() + "\n";
}

std::string to_line(const DigestRecord& record) {
  Json tensors = Json::object();
  for (const auto& [name, digest] : record.tensors) tensors[name] = to_text(digest);
  return Json{{"step", record.step}, {"root", to_text(record.root)}, {"tensors", tensors}}.dump() + "\n";
}

StepRecord parse_step(const std::string& line) {
  StepRecord record;
  long long step = 0;
  int used = -1;
  if (std::sscanf(line.c_str(), "%lld,%d,%d,%lg,%g%n", &step, &record.forward_bits, &record.gradient_bits, &record.loss,
                  &record.lr, &used) != 5 ||
      used != static_cast<int>(line.size())) {
    throw std::runtime_error(std::string("it is not of the form ") + kStepsHeader);
  }
  record.step = step;
  return record;
}

EvaluationRecord parse_evaluation(const std::string& line) {
  const Json json = parse_object(line);
  EvaluationRecord r;
  r.step = field<std::int64_t>(json, "step");
  r.epoch = field<double>(json, "epoch");
  r.train_loss = field<double>(json, "train_loss");
  r.test_loss = field<double>(json, "test_loss");
  if (json.contains("validation_loss")) {
    r.text = TextLosses{field<double>(json, "validation_loss"), field<double>(json, "validation_loss_max_width"),
                        field<double>(json, "test_loss_max_width")};
  } else {
    r.test_accuracy = field<double>(json, "test_accuracy");
    r.test_accuracy_max_width = field<double>(json, "test_accuracy_max_width");
  }
  r.forward_bits = field<int>(json, "forward_bits");
  r.gradient_bits = field<int>(json, "gradient_bits");
  r.paper_gbitops = field<double>(json, "paper_gbitops");
  r.executed_gbitops = field<double>(json, "executed_gbitops");
  r.min_scale_bound = field<std::int64_t>(json, "min_scale_bound");
  r.digest = parse_digest(field<std::string>(json, "digest"));
  if (json.contains("swa_models")) {
    r.swa_models = field<std::int64_t>(json, "swa_models");
    r.swa_accuracy = field<double>(json, "swa_accuracy");
    r.swa_digest = parse_digest(field<std::string>(json, "swa_digest"));
  }
  r.seconds = field<double>(json, "seconds");
  return r;
}

DigestRecord parse_digest_record(const std::string& line) {
  const Json json = parse_object(line);
  DigestRecord record;
  record.step = field<std::int64_t>(json, "step");
  record.root = parse_digest(field<std::string>(json, "root"));
  const auto tensors = json.find("tensors");
  if (tensors == json.end() || !tensors->is_object()) throw std::runtime_error("'tensors' is missing");
  for (const auto& [name, digest] : tensors->items()) {
    if (!digest.is_string()) throw std::runtime_error("the digest of '" + name + "' is not text");
    record.tensors.emplace_back(name, parse_digest(digest.get<std::string>()));
  }
  return record;
}

DigestRecord parse_digest_head(const std::string& line) {
  DigestRecord record;
  long long step = 0;
  int used = -1;
  if (std::sscanf(line.c_str(), "{\"step\":%lld,\"root\":\"%n", &step, &used) != 1 || used < 0) {
    throw std::runtime_error("it does not begin with step and root");
  }
  record.step = step;
  record.root = parse_digest(line.substr(static_cast<std::size_t>(used), 32));
  return record;
}

}  // namespace bitcycle
