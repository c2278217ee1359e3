// SPDX-License-Identifier: Apache-2.0
// The reference library's operations, one file a family, each the text of docs/numerics.md as plain loops. Meaning of
// the arguments: sim/device/kernel_library.h.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/device/kernel_library.h"

namespace bitcycle::reference {

// Quantisers (quantise.cpp, weights.cpp).
void tensor_range(const float* x, std::int64_t size, Range* range);
void activation_scale(const ActivationScale& args);
void gradient_scale(const GradientScale& args);
void quantise_input(const ConvInput& input, std::int64_t size, std::int64_t channels, const Operand& codes);
void quantise_gradient(const ConvBackward& args);
void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights);
/// Its two halves: codes of the forward pass with the magnitudes, and codes of the error pass. With
/// `requantised` weights it needs only the master weights, with `shared` ones the forward codes.
void quantise_forward_weights(const QuantiseWeights& args, QuantisedWeights& weights);
void quantise_error_weights(const QuantiseWeights& args, QuantisedWeights& weights);
/// Whether any group's step is min_scale, where that is asked for.
void note_step_bound(const QuantiseWeights& args, const QuantisedWeights& weights);

/// Codes in 32 bits, whatever their container. The operand is an integer one.
std::vector<std::uint32_t> load_codes(const Operand& operand, std::int64_t size);
/// Values of a float32 operand, or of codes: fl(fma64(step, q, lo)) (1.5).
std::vector<float> load_values(const Operand& operand, std::int64_t size);

/// The weights' values in the forward pass, and those that the error pass multiplies with, as binary32.
std::vector<float> forward_weight_values(const QuantisedWeights& weights);
std::vector<float> error_weight_values(const QuantisedWeights& weights);

// Products (conv_forward.cpp, conv_error.cpp, conv_weight_gradient.cpp, accumulators.cpp).
void conv_forward(const ConvForward& args);
/// dx of the error pass and V, a bound of |dx| (7.6).
struct ErrorPass {
  std::vector<float> dx;
  double bound = 0.0;
};
ErrorPass conv_error(const ConvBackward& args);
void conv_weight_gradient(const ConvBackward& args);
void conv_accumulators(const ConvAccumulators& args);

// The gradient on its way to a batch norm (gradient_sum.cpp): first = the first contribution, bound = a bound of it.
void sum_gradients(const GradientSum& gradient_sum, const std::vector<float>& first, double bound,
                   std::int64_t positions, std::int64_t channels);
/// Exact max |x|; 0 of an empty tensor.
float max_magnitude(const float* x, std::int64_t size);

// Batch normalisation (norm.cpp).
void norm_prepare(const NormPrepare& args);
void norm_forward(const NormForward& args);
void norm_gradient_prepare(const NormGradientPrepare& args);

// Max pooling (max_pool.cpp).
void max_pool(const MaxPool& args);
void max_pool_backward(const MaxPoolBackward& args);
void norm_sums(const NormSums& args);

// The end of a network (classifier.cpp).
void load_images(const ImageBatch& args);
void average_pool(const AveragePool& args);
void average_pool_backward(const AveragePoolBackward& args);
void linear_forward(const LinearForward& args);
void linear_backward(const LinearBackward& args);
void softmax_cross_entropy(const SoftmaxCrossEntropy& args);

}  // namespace bitcycle::reference
