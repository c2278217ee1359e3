// SPDX-License-Identifier: Apache-2.0
// What a product's epilogue needs of each channel is made by several blocks where there are thousands of channels: the
// bytes of the reference, on any grid, in any order.
#include <gtest/gtest.h>

#include "cuda/host/host_runtime.h"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle::test {
namespace {

constexpr std::int64_t kManyChannels = 5003 * 4;

/// The gradient at the input of a layer whose gradients nothing else is added to.
std::vector<float> input_gradient(KernelLibrary& library, const ConvShape& s, ErrorWeights error_weights) {
  const BitWidth width = BitWidth::integer(8);
  auto weights = library.make_weights(s);
  const Buffer master = upload(library, random_normal(s.weight_size(), 1, 0.3F)),
               x = upload(library, random_normal(s.input_size(), 2)),
               u = upload(library, random_normal(s.output_size(), 3, 1e-2F));
  library.quantise_weights({master.as<float>(), width, error_weights, 16, MinScale{}, true}, *weights);
  Buffer x_range = zeros<Range>(library, 1), g_range = zeros<Range>(library, 1), g_affine = zeros<Affine>(library, 1);
  library.tensor_range(x.as<float>(), s.input_size(), x_range.as<Range>());
  const ForwardPass pass = run_forward(library, s, width, {x.as<float>(), nullptr}, x_range, *weights);
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
  backward.x = pass.args.codes;
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
  for (const auto error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    const auto expected = input_gradient(*reference, inputs, error_weights);
    for (const auto& [processors, seed] : {std::pair{1, 3U}, std::pair{4, 4U}, std::pair{132, 5U}}) {
      const auto library = cuda_on_host::make_cuda_library_on_host({processors, 0, seed});
      EXPECT_TRUE(step_equals_reference(*library, outputs, {BitWidth::integer(8), BitWidth::integer(8)},
                                        {error_weights, 16, true, false, 1}))
          << processors;
      EXPECT_TRUE(same_bits(expected, input_gradient(*library, inputs, error_weights))) << processors;
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
