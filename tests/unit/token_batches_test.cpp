// SPDX-License-Identifier: Apache-2.0
// Which words a step reads and predicts.
#include "nn/data/token_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace bitcycle::test {
namespace {

using ::testing::ElementsAre;

std::vector<std::int32_t> counting(std::int32_t words) {
  std::vector<std::int32_t> text(static_cast<std::size_t>(words));
  std::iota(text.begin(), text.end(), 0);
  return text;
}

struct Rows {
  std::vector<std::int32_t> tokens, labels;
};
Rows rows_of(TokenBatches& batches, std::int64_t step, std::int64_t batch) {
  const auto size = static_cast<std::size_t>(batches.time_steps_of(step) * batch);
  Rows rows{std::vector<std::int32_t>(size), std::vector<std::int32_t>(size)};
  batches.training(step, rows.tokens.data(), rows.labels.data());
  return rows;
}

TEST(TokenBatches, StreamsAreContiguousAndTheLastStepOfAnEpochTakesWhatIsLeft) {
  const auto text = counting(17);  // two streams of 8 words: 7 predictions each
  TokenBatches batches(text, {Reads::kStreams, 2, 3});
  EXPECT_EQ(batches.steps_per_epoch(), 3);
  EXPECT_EQ(batches.short_time_steps(), 1);
  EXPECT_THAT(rows_of(batches, 0, 2).tokens, ElementsAre(0, 8, 1, 9, 2, 10));
  EXPECT_THAT(rows_of(batches, 0, 2).labels, ElementsAre(1, 9, 2, 10, 3, 11));
  EXPECT_THAT(rows_of(batches, 2, 2).tokens, ElementsAre(6, 14));
  EXPECT_THAT(rows_of(batches, 2, 2).labels, ElementsAre(7, 15));
  EXPECT_THAT(rows_of(batches, 4, 2).tokens, ElementsAre(3, 11, 4, 12, 5, 13)) << "the second epoch";
  EXPECT_TRUE(batches.begins_epoch(3));
  EXPECT_FALSE(batches.begins_epoch(4));
  EXPECT_EQ(batches.words_before(3), 14);
  EXPECT_EQ(batches.words_before(4), 20);
  EXPECT_THROW(TokenBatches(counting(3), {Reads::kStreams, 2, 3}), std::invalid_argument);
}

// The published sizes: 929,589 words, 20 streams, 35 time steps.
TEST(TokenBatches, PennTreebankHas1328StepsAnEpochTheLastOf33) {
  const auto text = counting(929589);
  const TokenBatches batches(text, {Reads::kStreams, 20, 35});
  EXPECT_EQ(batches.steps_per_epoch(), 1328);
  EXPECT_EQ(batches.short_time_steps(), 33);
}

TEST(TokenBatches, SequencesPredictEveryWordOfTheirBlocksOnceAnEpoch) {
  const auto text = counting(14);  // four blocks of three words; two words are left over
  TokenBatches batches(text, {Reads::kSequences, 2, 3, 5, true, 99});
  EXPECT_EQ(batches.steps_per_epoch(), 2);
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<std::int32_t> predicted;
    for (std::int64_t step = 2 * epoch; step < 2 * epoch + 2; ++step) {
      const Rows rows = rows_of(batches, step, 2);
      for (std::size_t i = 0; i < rows.labels.size(); ++i) {
        EXPECT_EQ(rows.tokens[i], rows.labels[i] == 0 ? 99 : rows.labels[i] - 1);
      }
      predicted.insert(predicted.end(), rows.labels.begin(), rows.labels.end());
    }
    std::sort(predicted.begin(), predicted.end());
    EXPECT_EQ(predicted, counting(12));
  }
}

/// Every predicted word, with the number of words before it that its sequence shows.
std::map<std::int32_t, std::int64_t> predictions(const TokenLayout& layout, std::int64_t context, std::int32_t words) {
  const auto text = counting(words);
  const EvaluationBatches batches(text, layout, context);
  std::map<std::int32_t, std::int64_t> seen;
  const auto rows = static_cast<std::size_t>(layout.batch * layout.time_steps);
  std::vector<std::int32_t> tokens(rows), labels(rows);
  std::vector<std::uint8_t> counts(rows);
  for (std::int64_t number = 0; number < batches.batches(); ++number) {
    batches.batch(number, tokens.data(), labels.data(), counts.data());
    for (std::size_t row = 0; row < rows; ++row) {
      if (counts[row] == 0) continue;
      EXPECT_EQ(tokens[row], labels[row] == 0 ? layout.begin : labels[row] - 1);
      EXPECT_TRUE(seen.emplace(labels[row], static_cast<std::int64_t>(row) % layout.time_steps).second);
    }
  }
  EXPECT_EQ(static_cast<std::int64_t>(seen.size()), batches.words());
  return seen;
}

TEST(EvaluationBatches, StreamsPredictEveryWordButTheirFirst) {
  EXPECT_EQ(predictions({Reads::kStreams, 2, 3}, 0, 17).size(), 14U);
  EXPECT_EQ(predictions({Reads::kStreams, 2, 7}, 0, 17).size(), 14U);
  EXPECT_EQ(predictions({Reads::kStreams, 1, 5}, 0, 17).size(), 16U);
}

TEST(EvaluationBatches, SequencesPredictEveryWordOnceBehindTheContext) {
  for (const std::int64_t context : {0, 2, 4}) {
    const auto seen = predictions({Reads::kSequences, 2, 5, 0, true, -1}, context, 17);
    EXPECT_EQ(seen.size(), 17U) << context;
    for (const auto& [word, before] : seen) {
      EXPECT_GE(before, std::min<std::int64_t>(context, word)) << "word " << word << ", context " << context;
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
