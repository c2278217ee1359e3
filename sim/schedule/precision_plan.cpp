// SPDX-License-Identifier: Apache-2.0
// PrecisionPlan: schedules by layer, and how many steps each pair of widths lasts.
#include "sim/schedule/precision_plan.h"

#include <algorithm>
#include <stdexcept>

#include "sim/schedule/count_widths.h"
#include "sim/schedule/spliced.h"

namespace bitcycle {
namespace {

/// Shell wildcards: * any run of characters, ? any one. Only the last * is ever tried again, so that no pattern is
/// slow.
bool matches(const std::string& pattern, const std::string& text) {
  std::size_t p = 0, t = 0, star = std::string::npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string::npos;
}

std::shared_ptr<const Schedule> schedule_of(ScheduleSpec spec, std::int64_t steps) {
  spec.steps = steps;
  return make_schedule(spec);
}

LayerWidths wider_of(const LayerWidths& a, const LayerWidths& b) {
  return {wider_of(a.forward, b.forward), wider_of(a.gradient, b.gradient)};
}

}  // namespace

PrecisionPlan::PrecisionPlan(const PrecisionSpec& spec, std::int64_t steps)
    : steps_(steps), forward_(schedule_of(spec.forward, steps)), gradient_(schedule_of(spec.gradient, steps)) {
  max_ = {largest_width(spec.forward), largest_width(spec.gradient)};
  for (const auto& entry : spec.layers) {
    overrides_.push_back({entry.pattern, entry.forward ? schedule_of(*entry.forward, steps) : nullptr,
                          entry.gradient ? schedule_of(*entry.gradient, steps) : nullptr});
    override_max_.push_back({entry.forward ? largest_width(*entry.forward) : max_.forward,
                             entry.gradient ? largest_width(*entry.gradient) : max_.gradient});
  }
  for (const auto& part : spec.history) {
    past_.push_back({part.until, std::make_shared<PrecisionPlan>(
                                     PrecisionSpec{part.forward, part.gradient, part.layers, {}}, part.steps)});
  }
}

LayerWidths PrecisionPlan::at(std::int64_t step) const {
  for (const auto& past : past_) {
    if (step < past.until) return past.plan->at(step);
  }
  return {forward_->at(step), gradient_->at(step)};
}

const Schedule* PrecisionPlan::spliced(std::vector<const Schedule*> parts) const {
  const std::lock_guard lock(cache_->mutex);
  auto& schedule = cache_->spliced[parts];
  if (!schedule) {
    std::vector<Spliced::Part> past;
    for (std::size_t i = 0; i < past_.size(); ++i) past.push_back({past_[i].until, parts[i]});
    schedule = std::make_unique<Spliced>(std::move(past), parts.back());
  }
  return schedule.get();
}

PrecisionPlan::Pair PrecisionPlan::schedules_of(const std::string& layer) const {
  Pair pair{forward_.get(), gradient_.get()};
  for (const auto& entry : overrides_) {
    if (!matches(entry.pattern, layer)) continue;
    if (entry.forward) pair.first = entry.forward.get();
    if (entry.gradient) pair.second = entry.gradient.get();
  }
  if (past_.empty()) return pair;
  std::vector<const Schedule*> forward, gradient;
  for (const auto& past : past_) {
    const Pair before = past.plan->schedules_of(layer);
    forward.push_back(before.first);
    gradient.push_back(before.second);
  }
  forward.push_back(pair.first);
  gradient.push_back(pair.second);
  return {spliced(std::move(forward)), spliced(std::move(gradient))};
}

LayerWidths PrecisionPlan::at(std::int64_t step, const std::string& layer) const {
  const Pair pair = schedules_of(layer);
  return {pair.first->at(step), pair.second->at(step)};
}

std::int64_t PrecisionPlan::until(std::int64_t step) const {
  for (const auto& past : past_) {
    if (step < past.until) return std::min(past.plan->until(step), past.until);
  }
  return std::min({forward_->until(step), gradient_->until(step), steps_});
}

std::int64_t PrecisionPlan::until(std::int64_t step, const std::string& layer) const {
  const Pair pair = schedules_of(layer);
  return std::min({pair.first->until(step), pair.second->until(step), steps_});
}

LayerWidths PrecisionPlan::max() const {
  LayerWidths widths = max_;
  for (const auto& [plan, begin, end] : parts_of_the_past()) {
    for (const auto& item : count_widths(*plan->forward_, *plan->gradient_, begin, end)) {
      widths = wider_of(widths, {item.first.first, item.first.second});
    }
  }
  return widths;
}

LayerWidths PrecisionPlan::max(const std::string& layer) const {
  LayerWidths widths = own_max(layer);
  for (const auto& [plan, begin, end] : parts_of_the_past()) {
    for (const auto& item : plan->histogram(layer, begin, end)) widths = wider_of(widths, item.first);
  }
  return widths;
}

std::vector<PrecisionPlan::PastSteps> PrecisionPlan::parts_of_the_past() const {
  std::vector<PastSteps> parts;
  std::int64_t begin = 0;
  for (const auto& past : past_) {
    const std::int64_t end = std::min(past.until, past.plan->steps());
    if (end > begin) parts.push_back({past.plan.get(), begin, end});
    begin = past.until;
  }
  return parts;
}

LayerWidths PrecisionPlan::own_max(const std::string& layer) const {
  LayerWidths widths = max_;
  for (std::size_t i = 0; i < overrides_.size(); ++i) {
    if (!matches(overrides_[i].pattern, layer)) continue;
    if (overrides_[i].forward) widths.forward = override_max_[i].forward;
    if (overrides_[i].gradient) widths.gradient = override_max_[i].gradient;
  }
  return widths;
}

std::map<LayerWidths, std::int64_t> PrecisionPlan::histogram(const std::string& layer, std::int64_t begin,
                                                             std::int64_t end) const {
  if (begin < 0 || end > steps_ || begin > end) {
    throw std::invalid_argument("steps " + std::to_string(begin) + " to " + std::to_string(end) +
                                " are not within the plan's 0 to " + std::to_string(steps_));
  }
  const Pair pair = schedules_of(layer);
  const std::lock_guard lock(cache_->mutex);
  const auto key = std::make_tuple(pair.first, pair.second, begin, end);
  auto found = cache_->histograms.find(key);
  if (found == cache_->histograms.end()) {
    std::map<LayerWidths, std::int64_t> counts;
    for (const auto& [widths, steps] : count_widths(*pair.first, *pair.second, begin, end)) {
      counts[{widths.first, widths.second}] = steps;
    }
    found = cache_->histograms.emplace(key, std::move(counts)).first;
  }
  return found->second;
}

std::vector<std::string> PrecisionPlan::unmatched(const std::vector<std::string>& layers) const {
  std::vector<std::string> result;
  for (const auto& entry : overrides_) {
    bool any = false;
    for (const auto& layer : layers) any = any || matches(entry.pattern, layer);
    if (!any) result.push_back(entry.pattern);
  }
  return result;
}

}  // namespace bitcycle
