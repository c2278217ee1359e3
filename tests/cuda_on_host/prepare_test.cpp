// SPDX-License-Identifier: Apache-2.0
// What a product's epilogue needs of each channel is made by several blocks where there are thousands of channels: the
// bytes of the reference, on any grid, in any order.
#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>

#include "cuda/host/host_runtime.h"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle::test {
namespace {

constexpr std::int64_t kManyChannels = 1031 * 4;

/// The gradient at the input of a layer whose gradients nothing else is added to.
std::vector<float> input_gradient(KernelLibrary& library, const ConvShape& s, ErrorWeights error_weights) {
  const BitWidth width = BitWidth::integer(8);
  auto weights = library.make_weights(s);
  const Buffer master = upload(library, random_normal(s.weight_size(), 1, 0.3F)),
               u = upload(library, random_normal(s.output_size(), 3, 1e-2F));
  library.quantise_weights({master.as<float>(), width, error_weights, 16, MinScale{}, true}, *weights);
  Buffer g_range = zeros<Range>(library, 1), g_affine = zeros<Affine>(library, 1);
  const ConvGradient gradient{u.as<float>(), nullptr, nullptr, nullptr};
  library.gradient_scale(
      {gradient, s.n, s.o, width, nullptr, MinScale{}, false, g_range.as<Range>(), g_affine.as<Affine>()});
  Buffer g = code_buffer(library, width, s.output_size()), dx = zeros<float>(library, s.input_size()),
         dx_bound = zeros<float>(library, 1);
  ConvBackward backward;
  backward.gradient = gradient;
  backward.g = {g.as<void>(), g_affine.as<Affine>(), width};
  backward.g_range = g_range.as<Range>();
  backward.noise = philox_stream(99, 3, RandomPurpose::kGradientRounding, 17);
  backward.weights = weights.get();
  backward.shape = s;
  backward.dx = dx.as<float>();
  backward.dx_bound = dx_bound.as<float>();
  library.conv_backward(backward);
  auto values = download<float>(library, dx);
  values.push_back(download<float>(library, dx_bound)[0]);
  return values;
}

TEST(CudaOnHostPreparation, ManyOutputsAndManyInputsAreSharedByBlocks) {
  const NamedShape outputs{"many_outputs", conv_shape(2, 1, 1, 4, kManyChannels, 1, 1, 0)};
  const ConvShape inputs = conv_shape(2, 1, 1, kManyChannels, 4, 1, 1, 0);
  const auto reference = make_reference_library();
  for (const auto& [error_weights, processors, seed] :
       {std::tuple{ErrorWeights::kShared, 3, 4U}, std::tuple{ErrorWeights::kRequantised, 132, 5U}}) {
    const auto library = cuda_on_host::make_cuda_library_on_host({processors, 0, seed});
    EXPECT_TRUE(step_equals_reference(*library, outputs, {BitWidth::integer(8), BitWidth::integer(8)},
                                      {error_weights, 16, true, false, 1}))
        << processors;
    EXPECT_TRUE(
        same_bits(input_gradient(*reference, inputs, error_weights), input_gradient(*library, inputs, error_weights)))
        << processors;
  }
}

/// A vocabulary that 32-bit sums do not hold: more than one part of the reduction, and a rest of one. Its weights are
/// some ten seconds here; BITCYCLE_LONG_TESTS=1 asks for more rows than a tile has, and both kinds of weights.
TEST(CudaOnHostPreparation, ErrorsOfAVocabularyAreExact) {
  const bool all = std::getenv("BITCYCLE_LONG_TESTS") != nullptr;
  const auto reference = make_reference_library();
  for (const auto& [rows, words, c, error_weights, is_long] : {std::tuple{5, 33'028, 4, ErrorWeights::kShared, false},
                                                               {130, 33'028, 4, ErrorWeights::kRequantised, true},
                                                               {5, 65'552, 20, ErrorWeights::kShared, true},
                                                               {5, 65'552, 20, ErrorWeights::kRequantised, true}}) {
    if (is_long && !all) continue;
    const ConvShape s = conv_shape(rows, 1, 1, c, words, 1, 1, 0);
    const auto library = cuda_on_host::make_cuda_library_on_host({3, 0, 6});
    library->set_profiling(true);
    EXPECT_TRUE(same_bits(input_gradient(*reference, s, error_weights), input_gradient(*library, s, error_weights)));
    for (const auto& entry : library->profile()) EXPECT_NE(entry.operation, "convolution error, direct");
  }
}

}  // namespace
}  // namespace bitcycle::test
