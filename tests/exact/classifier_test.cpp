// SPDX-License-Identifier: Apache-2.0
// Float32 linear layers, average pool and softmax cross-entropy of every library against the reference, bit by bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "sim/number/elementary.h"
#include "tests/exact/library_fixture.h"
#include "tests/golden/devices.h"

namespace bitcycle {
namespace {

struct Size {
  std::int64_t n, inputs, outputs;
};
/// Nothing, one of everything, a block of lanes less one, whole and one more, primes, more samples than a task takes,
/// many classes.
constexpr Size kSizes[] = {{0, 4, 3},    {1, 1, 1},    {7, 15, 15},  {8, 16, 16},   {9, 17, 17},
                           {31, 37, 41}, {65, 64, 10}, {64, 33, 32}, {130, 128, 3}, {12, 20, 1000}};

std::vector<float> values(std::int64_t size, std::uint32_t seed, float scale) {
  std::vector<float> x(static_cast<std::size_t>(size));
  const auto stream = philox_stream(seed, 0, RandomPurpose::kSyntheticData, 0);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = scale * (rounding_noise(philox_word(stream, i)) - 0.5F);
  return x;
}

struct Outcome {
  std::vector<float> y, dx, dw, dbias, dlogits, losses, pooled;
  LossRecord record;
};

Outcome outcome(KernelLibrary& library, const Size& s, float logit_scale) {
  const auto x = test::upload(library, values(s.n * s.inputs, 1, 2.0F));
  const auto w = test::upload(library, values(s.inputs * s.outputs, 2, 1.0F));
  const auto bias = test::upload(library, values(s.outputs, 3, 1.0F));
  const auto dy = test::upload(library, values(s.n * s.outputs, 4, 0.01F));
  const auto logits = test::upload(library, values(s.n * s.outputs, 5, logit_scale));
  std::vector<std::int32_t> label_values;
  for (std::int64_t n = 0; n < s.n; ++n) label_values.push_back(static_cast<std::int32_t>(7 * n % s.outputs));
  const auto labels = test::upload(library, label_values);
  const auto buffer = [&](std::int64_t size) {
    return test::upload(library, std::vector<float>(static_cast<std::size_t>(size)));
  };
  auto y = buffer(s.n * s.outputs), dx = buffer(s.n * s.inputs), dw = buffer(s.inputs * s.outputs),
       dbias = buffer(s.outputs), dlogits = buffer(s.n * s.outputs), losses = buffer(s.n);
  auto record = test::upload(library, std::vector<LossRecord>(1));
  library.linear_forward({s.n, s.inputs, s.outputs, x.as<float>(), w.as<float>(), bias.as<float>(), y.as<float>()});
  library.linear_backward({s.n, s.inputs, s.outputs, x.as<float>(), w.as<float>(), dy.as<float>(), dx.as<float>(),
                           dw.as<float>(), dbias.as<float>()});
  library.softmax_cross_entropy({s.n, s.outputs, logits.as<float>(), labels.as<std::int32_t>(), dlogits.as<float>(),
                                 losses.as<float>(), record.as<LossRecord>()});
  // Samples as positions of one image.
  auto pooled = buffer(s.inputs);
  AveragePool pool;
  pool.n = s.n == 0 ? 0 : 1;
  pool.positions = s.n;
  pool.channels = s.inputs;
  pool.x = x.as<float>();
  pool.pooled = pooled.as<float>();
  library.average_pool(pool);
  library.synchronise();
  const auto floats = [&](const Buffer& from, std::int64_t size) {
    return test::download<float>(library, from.as<float>(), size);
  };
  return {floats(y, s.n * s.outputs),       floats(dx, s.n * s.inputs),
          floats(dw, s.inputs * s.outputs), floats(dbias, s.outputs),
          floats(dlogits, s.n * s.outputs), floats(losses, s.n),
          floats(pooled, s.inputs),         test::download<LossRecord>(library, record.as<LossRecord>(), 1).front()};
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

TEST(Classifier, EveryLibraryGivesTheBitsOfTheReference) {
  for (const auto& library : test::all_libraries()) {
    for (const Size& size : kSizes) {
      for (const float scale : {4.0F, 400.0F, std::numeric_limits<float>::infinity()}) {
        SCOPED_TRACE(library->name() + ": " + std::to_string(size.n) + " x " + std::to_string(size.inputs) + " x " +
                     std::to_string(size.outputs) + ", logits of " + std::to_string(scale));
        const Outcome a = outcome(*make_reference_library(), size, scale), b = outcome(*library, size, scale);
        EXPECT_TRUE(same(a.y, b.y)) << "y";
        EXPECT_TRUE(same(a.dx, b.dx)) << "dx";
        EXPECT_TRUE(same(a.dw, b.dw)) << "dw";
        EXPECT_TRUE(same(a.dbias, b.dbias)) << "dbias";
        EXPECT_TRUE(same(a.pooled, b.pooled)) << "pooled";
        EXPECT_EQ(a.record.correct, b.record.correct);
        if (!std::isinf(scale)) {  // else NaN, whose bits are not promised
          EXPECT_TRUE(same(a.dlogits, b.dlogits)) << "dlogits";
          EXPECT_TRUE(same(a.losses, b.losses)) << "losses";
          EXPECT_EQ(a.record.loss, b.record.loss);
        }
      }
    }
  }
}

/// exp_f32 over its whole range of results, denormal ones and zero included: through dlogits of many classes, which are
/// e / S / n.
TEST(Classifier, ExponentialsAreThoseOfTheReferenceOverTheWholeRange) {
  constexpr std::int64_t kClasses = 1 << 17;
  std::vector<float> logits(static_cast<std::size_t>(kClasses));
  for (std::size_t i = 1; i < logits.size(); ++i) {
    logits[i] = -112.0F * static_cast<float>(i) / static_cast<float>(kClasses);
  }
  logits.back() = -std::numeric_limits<float>::infinity();
  std::vector<float> expected(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) expected[i] = exp_f32(logits[i]);
  float sum = 0.0F;
  for (const float e : expected) sum = sum + e;
  for (const auto& library : test::all_libraries()) {
    const auto z = test::upload(*library, logits);
    const auto label = test::upload(*library, std::vector<std::int32_t>{0});
    auto dlogits = test::upload(*library, std::vector<float>(logits.size()));
    auto losses = test::upload(*library, std::vector<float>(1));
    auto record = test::upload(*library, std::vector<LossRecord>(1));
    library->softmax_cross_entropy({1, kClasses, z.as<float>(), label.as<std::int32_t>(), dlogits.as<float>(),
                                    losses.as<float>(), record.as<LossRecord>()});
    library->synchronise();
    const auto found = test::download<float>(*library, dlogits.as<float>(), kClasses);
    std::int64_t wrong = 0;
    for (std::size_t i = 1; i < logits.size(); ++i) wrong += found[i] == expected[i] / sum ? 0 : 1;
    EXPECT_EQ(wrong, 0) << library->name();
  }
}

}  // namespace
}  // namespace bitcycle
