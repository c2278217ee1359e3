// SPDX-License-Identifier: Apache-2.0
#include "nn/data/token_batches.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "sim/number/philox.h"

namespace bitcycle {
namespace {

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t size_of(const std::vector<std::int32_t>& text) { return static_cast<std::int64_t>(text.size()); }

[[noreturn]] void fail_too_short(const std::vector<std::int32_t>& text, const TokenLayout& layout) {
  throw std::invalid_argument(
      "a text of " + std::to_string(text.size()) + " words is too short for " + std::to_string(layout.batch) +
      (layout.reads == Reads::kStreams ? " streams of two words and more"
                                       : " sequences of " + std::to_string(layout.time_steps) + " words") +
      ": lower train.batch, train.time_steps or eval.streams, or take a longer text");
}

}  // namespace

TokenBatches::TokenBatches(const std::vector<std::int32_t>& text, const TokenLayout& layout)
    : text_(text), layout_(layout) {
  if (layout.reads == Reads::kStreams) {
    rows_ = size_of(text) / layout.batch;
    if (rows_ < 2) fail_too_short(text, layout);
    steps_ = divided_up(rows_ - 1, layout.time_steps);
    const std::int64_t rest = (rows_ - 1) % layout.time_steps;
    short_ = rest;
    return;
  }
  rows_ = size_of(text) / layout.time_steps;
  steps_ = rows_ / layout.batch;
  if (steps_ < 1) fail_too_short(text, layout);
  order_.resize(static_cast<std::size_t>(rows_));
}

std::int64_t TokenBatches::time_steps_of(std::int64_t step) const {
  return short_ > 0 && step % steps_ == steps_ - 1 ? short_ : layout_.time_steps;
}

std::int64_t TokenBatches::words_before(std::int64_t step) const {
  const std::int64_t missing = short_ > 0 ? (step / steps_) * (layout_.time_steps - short_) : 0;
  return (step * layout_.time_steps - missing) * layout_.batch;
}

void TokenBatches::training(std::int64_t step, std::int32_t* tokens, std::int32_t* labels) {
  const std::int64_t at = step % steps_, batch = layout_.batch, time_steps = layout_.time_steps;
  if (layout_.reads == Reads::kStreams) {
    for (std::int64_t t = 0; t < time_steps_of(step); ++t) {
      for (std::int64_t b = 0; b < batch; ++b) {
        const std::int64_t from = b * rows_ + at * time_steps + t;
        tokens[t * batch + b] = text_[static_cast<std::size_t>(from)];
        labels[t * batch + b] = text_[static_cast<std::size_t>(from + 1)];
      }
    }
    return;
  }
  if (ordered_epoch_ != epoch_of(step)) {
    ordered_epoch_ = epoch_of(step);
    std::iota(order_.begin(), order_.end(), 0U);
    if (layout_.shuffle) {
      const PhiloxStream stream =
          philox_stream(layout_.seed, static_cast<std::uint32_t>(ordered_epoch_), RandomPurpose::kShuffle, 0);
      for (std::size_t i = order_.size() - 1; i > 0; --i) {
        std::swap(order_[i], order_[bounded(philox_word(stream, i), static_cast<std::uint32_t>(i + 1))]);
      }
    }
  }
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::int64_t first = order_[static_cast<std::size_t>(at * batch + b)] * time_steps;
    for (std::int64_t t = 0; t < time_steps; ++t) {
      const std::int64_t from = first + t;
      tokens[b * time_steps + t] = from == 0 ? layout_.begin : text_[static_cast<std::size_t>(from - 1)];
      labels[b * time_steps + t] = text_[static_cast<std::size_t>(from)];
    }
  }
}

EvaluationBatches::EvaluationBatches(const std::vector<std::int32_t>& text, const TokenLayout& layout,
                                     std::int64_t context)
    : text_(text), layout_(layout), context_(context) {
  if (layout.reads == Reads::kStreams) {
    rows_ = size_of(text) / layout.batch;
    if (rows_ < 2) fail_too_short(text, layout);
    batches_ = divided_up(rows_ - 1, layout.time_steps);
    words_ = (rows_ - 1) * layout.batch;
    return;
  }
  rows_ = divided_up(size_of(text), layout.time_steps - context);
  batches_ = divided_up(rows_, layout.batch);
  words_ = size_of(text);
}

void EvaluationBatches::batch(std::int64_t number, std::int32_t* tokens, std::int32_t* labels,
                              std::uint8_t* counts) const {
  const std::int64_t size = layout_.batch, time_steps = layout_.time_steps, words = size_of(text_);
  const auto word = [&](std::int64_t at) { return text_[static_cast<std::size_t>(at)]; };
  for (std::int64_t b = 0; b < size; ++b) {
    for (std::int64_t t = 0; t < time_steps; ++t) {
      if (layout_.reads == Reads::kStreams) {
        const std::int64_t row = number * time_steps + t, at = t * size + b;
        const bool there = row + 1 < rows_;
        tokens[at] = there ? word(b * rows_ + row) : layout_.begin;
        labels[at] = there ? word(b * rows_ + row + 1) : layout_.begin;
        counts[at] = there ? 1 : 0;
        continue;
      }
      // Block k predicts words k * (time_steps - context) on; it begins with as many words before them as there are.
      const std::int64_t at = b * time_steps + t, predicted = time_steps - context_;
      const std::int64_t first = (number * size + b) * predicted, before = std::min(context_, first);
      const std::int64_t from = first - before + t;
      const bool there = from < words && from < first + predicted;
      tokens[at] = !there || from == 0 ? layout_.begin : word(from - 1);
      labels[at] = there ? word(from) : layout_.begin;
      counts[at] = there && from >= first ? 1 : 0;
    }
  }
}

}  // namespace bitcycle
