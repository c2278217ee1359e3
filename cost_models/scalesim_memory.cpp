// SPDX-License-Identifier: Apache-2.0
#include "cost_models/scalesim_memory.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace bitcycle {
namespace {

constexpr double kMostRequests = 268435456.0;  // 2^28, a second or so
constexpr double kMostPairs = 1048576.0;       // 2^20, of outputs and taps along an axis
constexpr double kMostPositions = 16777216.0;  // 2^24, held in memory

/// One half of a double buffer, filled and emptied.
class Filling {
 public:
  Filling(std::int64_t words, double filling)
      : seen_(static_cast<std::size_t>(words), 0), capacity_(static_cast<std::int64_t>(std::min(filling, 1e15))) {}

  void request(std::int64_t word) {
    std::uint32_t& seen = seen_[static_cast<std::size_t>(word)];
    if (seen == now_) return;
    seen = now_;
    ++fetches_;
    if (++held_ == capacity_) empty();
  }
  void empty() {
    ++now_;
    held_ = 0;
  }
  double fetches() const { return static_cast<double>(fetches_); }

 private:
  std::vector<std::uint32_t> seen_;  // the filling that a word was last fetched in
  std::uint32_t now_ = 1;
  std::int64_t capacity_, held_ = 0, fetches_ = 0;
};

/// Positions along an axis that windows reach, padding and inserted zeros among them.
std::int64_t positions_down(const Windows& w) {
  return (w.out_height - 1) * w.stride_height + (w.kernel_height - 1) * w.dilation_height + 1;
}
std::int64_t positions_across(const Windows& w) {
  return (w.out_width - 1) * w.stride_width + (w.kernel_width - 1) * w.dilation_width + 1;
}

/// The words of one image that a pixel and a tap meet.
class Addresses {
 public:
  explicit Addresses(const Windows& w) : w_(w) {
    const auto axis = [](std::int64_t positions, std::int64_t pad, std::int64_t spread, std::int64_t size,
                         std::int64_t pitch) {
      std::vector<std::int64_t> starts(static_cast<std::size_t>(positions), -1);
      for (std::size_t at = 0; at < starts.size(); ++at) {
        const std::int64_t input = input_index(0, static_cast<std::int64_t>(at), 1, pad, spread, size);
        if (input >= 0) starts[at] = input * pitch;
      }
      return starts;
    };
    rows_ = axis(positions_down(w), w.pad_height, w.spread_height, w.height, w.width * w.channels);
    columns_ = axis(positions_across(w), w.pad_width, w.spread_width, w.width, w.channels);
    for (std::int64_t p = 0; p < w.pixels(); ++p)
      pixels_.push_back({p / w.out_width * w.stride_height, p % w.out_width * w.stride_width, 0});
    for (std::int64_t j = 0; j < w.taps(); ++j) {
      const std::int64_t tap = j / w.channels;
      taps_.push_back(
          {tap / w.kernel_width * w.dilation_height, tap % w.kernel_width * w.dilation_width, j % w.channels});
    }
  }

  /// -1: nothing is fetched.
  std::int64_t of(std::int64_t pixel, std::int64_t tap) const {
    const Position& p = pixels_[static_cast<std::size_t>(pixel)];
    const Position& t = taps_[static_cast<std::size_t>(tap)];
    const std::int64_t row = rows_[static_cast<std::size_t>(p.row + t.row)],
                       column = columns_[static_cast<std::size_t>(p.column + t.column)];
    return row < 0 || column < 0 ? -1 : row + column + t.channel;
  }

 private:
  struct Position {
    std::int64_t row, column, channel;
  };
  Windows w_;
  std::vector<std::int64_t> rows_, columns_;
  std::vector<Position> pixels_, taps_;
};

/// Requests of the lines [first, last) of an operand, `length` elements each, one line entering a cycle after another.
template <typename Request>
void skewed(std::int64_t first, std::int64_t last, std::int64_t length, const Request& request) {
  for (std::int64_t cycle = 0; cycle < length + (last - first) - 1; ++cycle) {
    const std::int64_t from = std::max(first, first + cycle - length + 1), to = std::min(last, first + cycle + 1);
    for (std::int64_t line = from; line < to; ++line) request(line, first + cycle - line);
  }
}

struct Blocks {
  std::int64_t size, count, block;
  std::int64_t first(std::int64_t i) const { return i * block; }
  std::int64_t last(std::int64_t i) const { return std::min(size, (i + 1) * block); }
};
Blocks blocks_of(std::int64_t size, std::int64_t block) { return {size, (size + block - 1) / block, block}; }

/// One pass over one image in form `pixel_lines`: folds of pixels, or of taps, one after another.
template <typename Request>
void pass_over_image(const LhsFolds& folds, const Windows& w, std::int64_t fold, bool pixel_lines, bool stationary,
                     const Request& request) {
  const auto of = [&](std::int64_t line, std::int64_t element) {
    pixel_lines ? request(line, element) : request(element, line);
  };
  const std::int64_t lines = pixel_lines ? w.pixels() : w.taps(), length = pixel_lines ? w.taps() : w.pixels();
  if (!stationary) {
    const Blocks blocks = blocks_of(lines, folds.rows);
    skewed(blocks.first(fold), blocks.last(fold), length, of);
    return;
  }
  // Loaded into the array: the last row first, a row of the array a cycle.
  const Blocks across = blocks_of(lines, folds.columns), down = blocks_of(length, folds.rows);
  for (std::int64_t d = 0; d < down.count; ++d) {
    for (std::int64_t element = down.last(d) - 1; element >= down.first(d); --element) {
      for (std::int64_t line = across.first(fold); line < across.last(fold); ++line) of(line, element);
    }
  }
}

}  // namespace

double touched_elements(const Windows& w) {
  struct Axis {
    std::int64_t out, taps, stride, dilation, pad, spread, size;
  };
  const auto touched = [](const Axis& a) {
    const double pairs = static_cast<double>(a.out) * static_cast<double>(a.taps);
    if (pairs > kMostPairs) return std::min(static_cast<double>(a.size), pairs);
    std::set<std::int64_t> inputs;
    for (std::int64_t o = 0; o < a.out; ++o) {
      for (std::int64_t t = 0; t < a.taps; ++t) {
        inputs.insert(input_index(o, t * a.dilation, a.stride, a.pad, a.spread, a.size));
      }
    }
    inputs.erase(-1);
    return static_cast<double>(inputs.size());
  };
  return touched({w.out_height, w.kernel_height, w.stride_height, w.dilation_height, w.pad_height, w.spread_height,
                  w.height}) *
         touched(
             {w.out_width, w.kernel_width, w.stride_width, w.dilation_width, w.pad_width, w.spread_width, w.width}) *
         static_cast<double>(w.channels);
}

double words_of_a_filling(double buffer_words, bool double_buffered) {
  return std::max(1.0, (double_buffered ? 50.0 : 100.0) * std::floor(std::floor(buffer_words) / 100.0));
}

double fetches_in_order(double words, double last_words, double parts, double repeats, double filling) {
  double fetches = 0.0, held = 0.0;
  const auto whole_parts = static_cast<std::int64_t>(parts);
  for (std::int64_t part = 0; part < whole_parts; ++part) {
    const double size = part + 1 == whole_parts ? last_words : words;
    if (size >= filling) {  // in a circle of more words than a filling has, the next one is never there
      fetches += size * repeats;
      held = std::fmod(held + size * repeats, filling);
      continue;
    }
    fetches += size;
    const double lost = std::max(0.0, filling - held);  // fetched before the half is full
    if (held + size < filling) {
      held += size;
    } else {
      held = size - lost;
      if (repeats > 1.0) {
        fetches += lost;  // again, into the other half
        held = size;
      }
    }
  }
  return fetches;
}

double lhs_fetches(const LhsFolds& folds, const Windows& w, double filling) {
  const auto real = [](std::int64_t v) { return static_cast<double>(v); };
  const bool stationary = folds.dataflow == Dataflow::kInputStationary;
  const double passes = stationary ? 1.0 : real(folds.column_folds);
  if (w.images == 0) {
    const double words = real(folds.m) * real(folds.k);
    return fetches_in_order(words, words, 1.0, passes, filling);
  }
  // Lines of the array are rows of the operand (m) where outputs stay, and its columns (k) where weights do; where
  // inputs stay they are blocks of m. Either may be pixels.
  const bool lines_are_m = folds.dataflow != Dataflow::kWeightStationary;
  const bool pixel_lines = lines_are_m != w.transposed;
  const double touched = touched_elements(w), images = real(w.images);
  if (touched * images < filling) return touched * images;
  const std::int64_t block = stationary ? folds.columns : folds.rows;
  const Blocks blocks = blocks_of(pixel_lines ? w.pixels() : w.taps(), block);
  if (w.images > 1 && pixel_lines && touched < filling) return passes * images * touched;
  const double requests = real(w.pixels()) * real(w.taps()) * (w.images > 1 ? 1.0 : passes);
  const double positions = real(positions_down(w)) + real(positions_across(w)) + real(w.pixels()) + real(w.taps());
  if (requests > kMostRequests || positions > kMostPositions ||
      real(w.height) * real(w.width) * real(w.channels) > kMostRequests) {
    return passes * images * touched;
  }
  Filling buffer(w.height * w.width * w.channels, filling);
  const Addresses addresses(w);
  const auto request = [&](std::int64_t pixel, std::int64_t tap) {
    const std::int64_t word = addresses.of(pixel, tap);
    if (word >= 0) buffer.request(word);
  };
  if (w.images == 1) {
    for (double pass = 0.0; pass < passes; ++pass) {
      for (std::int64_t fold = 0; fold < blocks.count; ++fold)
        pass_over_image(folds, w, fold, pixel_lines, stationary, request);
    }
    return buffer.fetches();
  }
  // Folds of pixels follow each other within an image; a fold of taps goes over all images before the next one comes.
  for (std::int64_t fold = 0; fold < blocks.count; ++fold) {
    if (!pixel_lines) buffer.empty();
    pass_over_image(folds, w, fold, pixel_lines, stationary, request);
  }
  return passes * images * buffer.fetches();
}

double drained_words(double written, double buffer_words, bool double_buffered, std::int64_t columns) {
  const double words = std::floor(buffer_words);
  const double half = double_buffered ? words - std::ceil(words * 0.5) : words;
  const double line = static_cast<double>(columns);
  return written + (written > half && std::fmod(half, line) == 0.0 ? line - 1.0 : 0.0);
}

}  // namespace bitcycle
