// SPDX-License-Identifier: Apache-2.0
#include "nn/run/findings.h"

#include <cmath>

#include "sim/number/ordered_key.h"
#include "sim/ops/loss_record.h"
#include "sim/ops/norm.h"

namespace bitcycle {
namespace {

/// Name of the trained parameter that element `position` of all of them, as a list, belongs to.
std::string parameter_at(const ParameterStore& parameters, std::int64_t position) {
  for (const auto& parameter : parameters.all()) {
    if (!parameter.trained) continue;
    if (position < parameter.size()) return parameter.name;
    position -= ops::position_step(parameter.size());
  }
  return "";
}

/// What is not finite there; empty: nothing.
std::string look(const builder::NetworkProgram& network, const Report& report, const builder::Watch& watch) {
  using What = builder::Watch::What;
  switch (watch.what) {
    case What::kRange: {
      const auto& range = *report.at<Range>(watch.tensor);
      return is_finite_bits(range.lo) && is_finite_bits(range.hi) ? "" : watch.name;
    }
    case What::kNorm: {
      const auto* norm = report.at<NormChannel>(watch.tensor);
      for (std::int64_t c = 0; c < network.program.spec(watch.tensor).size(); ++c) {
        if (!is_finite_bits(norm[c].t_bound) || !is_finite_bits(norm[c].a)) {
          return watch.name + ", channel " + std::to_string(c);
        }
      }
      return "";
    }
    case What::kPosition: {
      const std::int64_t position = *report.at<std::int64_t>(watch.tensor);
      if (position < 0) return "";
      return watch.parameters ? watch.name + parameter_at(network.parameters, position) : watch.name;
    }
    case What::kLoss: return std::isfinite(report.at<LossRecord>(watch.tensor)->loss) ? "" : watch.name;
  }
  return "";
}

}  // namespace

StepResult findings_of(const builder::NetworkProgram& network, const Report& report) {
  StepResult result;
  const auto& loss = *report.at<LossRecord>(network.loss);
  result.loss = loss.loss;
  result.correct = loss.correct;
  for (const Tensor grid : network.grids) result.min_scale_bound += report.at<Affine>(grid)->step_bound;
  for (const Tensor bounds : network.step_bounds) {
    const auto* bound = report.at<std::uint32_t>(bounds);
    for (std::int64_t i = 0; i < network.program.spec(bounds).size(); ++i) result.min_scale_bound += bound[i];
  }
  for (const builder::Watch& watch : network.watches) {
    result.non_finite = look(network, report, watch);
    if (!result.non_finite.empty()) break;
  }
  return result;
}

}  // namespace bitcycle
