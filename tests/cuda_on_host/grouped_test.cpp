// SPDX-License-Identifier: Apache-2.0
// Convolutions of several groups on the tile products of tensor cores: the bytes of the reference in all three passes,
// for groups that are narrower than a tile, as wide, wider, and that no tile begins with; and no plain loop for them.
#include <gtest/gtest.h>

#include <set>

#include "cuda/host/host_runtime.h"
#include "cuda/kernels/group_tiles.h"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle::test {
namespace {

using cuda_on_host::make_cuda_library_on_host;

WidthPair widths_of(int forward, int gradient) { return {BitWidth::integer(forward), BitWidth::integer(gradient)}; }

/// Channels of a group: 1 (with a multiplier), 4, 8, 15, 16, 17, 32; strides; one tap and nine; images that are no
/// multiple of a tile; pixels whose channels are 16-byte segments of memory and such whose are not.
std::vector<NamedShape> grouped_shapes() {
  return {
      {"channels_1_multiplier_2", conv_shape(2, 6, 5, 32, 64, 3, 1, 1, 32)},
      {"channels_1_odd_pixels_stride2", conv_shape(1, 7, 5, 12, 24, 3, 2, 1, 12)},
      {"channels_2_to_1", conv_shape(1, 6, 6, 32, 16, 3, 1, 1, 16)},
      {"channels_4", conv_shape(2, 8, 7, 64, 64, 3, 1, 1, 16)},
      {"channels_4_stride2", conv_shape(2, 8, 8, 64, 64, 3, 2, 1, 16)},
      {"channels_4_1x1", conv_shape(3, 5, 4, 64, 64, 1, 1, 0, 16)},
      {"channels_4_odd_pixels", conv_shape(1, 6, 6, 12, 12, 3, 1, 1, 3)},
      {"channels_8", conv_shape(1, 9, 7, 48, 48, 3, 1, 1, 6)},
      {"channels_8_1x1_stride2", conv_shape(2, 6, 6, 40, 80, 1, 2, 0, 5)},
      {"channels_15", conv_shape(1, 6, 6, 240, 240, 3, 1, 1, 16)},
      {"channels_15_odd_pixels_stride2", conv_shape(2, 7, 7, 60, 60, 3, 2, 1, 4)},
      {"channels_15_odd_pixels_1x1", conv_shape(1, 5, 5, 60, 64, 1, 1, 0, 4)},
      {"channels_16", conv_shape(2, 8, 8, 64, 64, 3, 1, 1, 4)},
      {"channels_16_1x1", conv_shape(2, 8, 8, 48, 48, 1, 1, 0, 3)},
      {"channels_17", conv_shape(1, 5, 6, 68, 68, 3, 1, 1, 4)},
      {"channels_17_of_272_1x1_stride2", conv_shape(1, 5, 5, 272, 272, 1, 2, 0, 16)},
      {"channels_32", conv_shape(1, 8, 8, 96, 96, 3, 1, 1, 3)},
      {"channels_32_stride2", conv_shape(2, 8, 8, 64, 128, 3, 2, 1, 2)},
      {"channels_48_to_24", conv_shape(1, 6, 5, 96, 48, 3, 1, 1, 2)},
      {"depthwise_5x5", conv_shape(1, 9, 9, 24, 24, 5, 1, 2, 24)},
  };
}

class CudaOnHostGroups : public ::testing::TestWithParam<NamedShape> {};

TEST_P(CudaOnHostGroups, EveryWidthEqualsTheReference) {
  std::uint64_t seed = 1;
  const auto compare = [&](const WidthPair& widths, const StepVariant& variant) {
    const auto library = make_cuda_library_on_host({seed % 2 == 0 ? 132 : 3, 0, seed});
    EXPECT_TRUE(step_equals_reference(*library, GetParam(), widths, variant)) << name_of(widths);
    ++seed;
  };
  for (int bits = 2; bits <= 8; ++bits) {
    const auto error_weights = bits % 2 == 0 ? ErrorWeights::kShared : ErrorWeights::kRequantised;
    compare(widths_of(bits, 8), {error_weights, 16, true, bits % 3 == 0, bits % 3});
  }
  compare(widths_of(8, 8), {ErrorWeights::kShared, 24, true, true, 1});
  compare(widths_of(8, 12), {ErrorWeights::kShared, 16, true, true, 2});
  compare(widths_of(8, 12), {ErrorWeights::kRequantised, 16, true, true, 1});
  compare(widths_of(12, 8), {ErrorWeights::kRequantised, 16, true, true, 1});
  compare(widths_of(16, 16), {ErrorWeights::kShared, 24, true, true, 1});
  compare(widths_of(16, 16), {ErrorWeights::kRequantised, 16, true, true, 2});
}

TEST_P(CudaOnHostGroups, NoPassIsAPlainLoop) {
  for (const auto& widths : {widths_of(8, 8), widths_of(16, 16)}) {
    const auto library = make_cuda_library_on_host();
    library->set_profiling(true);
    run_step(*library, GetParam().shape, widths, {});
    std::set<std::string> kernels;
    for (const auto& entry : library->profile()) kernels.insert(entry.operation);
    for (const char* pass : {"convolution forward", "convolution error", "convolution weight gradient"}) {
      EXPECT_TRUE(kernels.contains(pass)) << pass;
      EXPECT_FALSE(kernels.contains(std::string(pass) + ", direct")) << pass;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaOnHostGroups, ::testing::ValuesIn(grouped_shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

/// Widths go up and down between steps: tiles of other sizes leave nothing behind in the packed weights.
TEST(CudaOnHostGroups, WeightsArePackedAfreshAtEveryWidth) {
  const NamedShape named{"channels_4", conv_shape(2, 8, 7, 64, 64, 3, 1, 1, 16)};
  const auto reference = make_reference_library(), library = make_cuda_library_on_host();
  const auto y_of = [&](KernelLibrary& on) {
    const ConvShape& s = named.shape;
    auto weights = on.make_weights(s);
    const Buffer master = upload(on, random_normal(s.weight_size(), 1, 0.3F)),
                 x = upload(on, random_normal(s.input_size(), 2));
    Buffer range = zeros<Range>(on, 1);
    on.tensor_range(x.as<float>(), s.input_size(), range.as<Range>());
    std::vector<float> all;
    for (const int bits : {12, 8, 12, 3}) {
      on.quantise_weights({master.as<float>(), BitWidth::integer(bits), ErrorWeights::kShared, 16, MinScale{}, true},
                          *weights);
      const ForwardPass pass = run_forward(on, s, BitWidth::integer(bits), {x.as<float>(), nullptr}, range, *weights);
      const auto y = download<float>(on, pass.y);
      all.insert(all.end(), y.begin(), y.end());
    }
    return all;
  };
  EXPECT_TRUE(same_bits(y_of(*reference), y_of(*library)));
}

/// A tile has every column once and all channels of its columns' groups, within a pixel.
TEST(CudaOnHostGroups, TilesHoldTheChannelsOfTheirColumns) {
  for (const std::int32_t inputs : {1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 31, 32, 33, 64}) {
    for (const std::int32_t of_group : {1, 2, 4, 6, 15, 16, 17, 32, 40}) {
      for (const std::int32_t groups : {2, 3, 8, 16, 32}) {
        if (groups * of_group % 4 != 0) continue;
        for (const GroupTileNeeds needs : {GroupTileNeeds{32, true}, {32, false}, {16, true}, {16, false}}) {
          const GroupTiles t = group_tiles(groups * of_group, groups * inputs, groups, 9, needs);
          SCOPED_TRACE(std::to_string(groups) + " groups of " + std::to_string(inputs) + " and " +
                       std::to_string(of_group));
          ASSERT_EQ(t.width % 4, 0);
          ASSERT_LE(t.width + (t.sums ? GroupTiles::kSums : 0), t.rows);
          ASSERT_EQ(t.end(t.tiles() - 1), groups * of_group);
          for (std::int32_t tile = 0; tile < t.tiles(); ++tile) {
            const std::int32_t first = t.first_channel(tile);
            ASSERT_EQ(first % t.unit, 0);
            ASSERT_LE(first, t.first_group(tile) * inputs);
            ASSERT_GE(first + t.window, (t.last_group(tile) + 1) * inputs);
            ASSERT_LE(first + t.window, groups * inputs);
            if (t.sums) {
              ASSERT_LE(t.last_group(tile) - t.first_group(tile), GroupTiles::kSums - 1);
            } else if (needs.sums) {
              ASSERT_TRUE(t.window == inputs && t.first_group(tile) == t.last_group(tile));
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
