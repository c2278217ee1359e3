// SPDX-License-Identifier: Apache-2.0
// DRAM words of a systolic array as SCALE-Sim 2.0.2 counts them where memory never stalls the array (its CALC mode).
//
// A read buffer of S words is two halves of 50 * floor(S / 100) words. What the array asks for is looked up in the half
// that is being filled; a miss is fetched into it, and a full half is exchanged for the other, empty one. So a word
// costs a fetch once for each filling of a half in which it is used, in the order in which the array asks. A write
// buffer drains everything that is written to it.
#pragma once

#include <cstdint>

#include "cost_models/accelerator.h"
#include "cost_models/windows.h"

namespace bitcycle {

/// Words of one filling of a read buffer: half its words in steps of a hundredth, all of them where it is not double
/// buffered; at least 1.
double words_of_a_filling(double buffer_words, bool double_buffered);

/// Fetches of `parts` operands one after another, each of `words` different words that are read in the same order
/// `repeats` times; the last part has `last_words`.
double fetches_in_order(double words, double last_words, double parts, double repeats, double filling);

/// What the left operand (m x k) is folded into.
struct LhsFolds {
  Dataflow dataflow = Dataflow::kOutputStationary;
  std::int64_t m = 1, k = 1;
  std::int64_t rows = 1, columns = 1;  // of the array
  std::int64_t column_folds = 1;
};

/// Fetches of the left operand. One image: every request in SCALE-Sim's order, to the word. A batch: images share no
/// inputs, so each is counted from an empty buffer, unless all of them fit one filling. Beyond 2^28 requests or 2^24
/// windows of an image they are not followed one by one: each pass over the image fetches what it touches once.
double lhs_fetches(const LhsFolds& folds, const Windows& windows, double filling);

/// Words that leave the write buffer: those written, and, as in its reports, the empty words of a first partial line
/// of `columns` words where a half of whole lines has overflowed.
double drained_words(double written, double buffer_words, bool double_buffered, std::int64_t columns);

}  // namespace bitcycle
