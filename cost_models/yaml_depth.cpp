// SPDX-License-Identifier: Apache-2.0
#include "cost_models/yaml_depth.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

namespace bitcycle {
namespace {

/// The exception holds how far the text was read ahead; the last start of a section or list is where the depth is.
class Starts : public YAML::EventHandler {
 public:
  YAML::Mark last;
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    last = mark;
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    last = mark;
  }
  void OnMapEnd() override {}
};

}  // namespace

const char* const kTooDeep =
    "hundreds of sections or lists begin inside one another here; no key needs more than five, so look for brackets or "
    "indentation that was not meant";

YAML::Mark deepest_place(const std::string& yaml) {
  Starts starts;
  try {
    std::istringstream stream(yaml);
    YAML::Parser parser(stream);
    parser.HandleNextDocument(starts);
  } catch (const YAML::DeepRecursion&) {
    // As was known.
  }
  return starts.last;
}

}  // namespace bitcycle
