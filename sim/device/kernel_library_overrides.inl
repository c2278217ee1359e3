// SPDX-License-Identifier: Apache-2.0
// The operations of KernelLibrary, declared once for every library: included inside its class, behind `public:`.
void load_images(const ImageBatch& args) override;

std::unique_ptr<QuantisedWeights> make_weights(const ConvShape& shape) override;
void quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) override;

void tensor_range(const float* x, std::int64_t size, Range* range) override;
void activation_scale(const ActivationScale& args) override;
void gradient_scale(const GradientScale& args) override;

void conv_forward(const ConvForward& args) override;
void conv_backward(const ConvBackward& args) override;
void conv_accumulators(const ConvAccumulators& args) override;

void norm_prepare(const NormPrepare& args) override;
void norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                       const float* beta, NormChannel* norm) override;
void norm_forward(const NormForward& args) override;
void norm_gradient_prepare(const NormGradientPrepare& args) override;
void average_pool(const AveragePool& args) override;
void average_pool_backward(const AveragePoolBackward& args) override;
void max_pool(const MaxPool& args) override;
void max_pool_backward(const MaxPoolBackward& args) override;
void norm_sums(const NormSums& args) override;
void linear_forward(const LinearForward& args) override;
void linear_backward(const LinearBackward& args) override;
void softmax_cross_entropy(const SoftmaxCrossEntropy& args) override;
void sgd_update(const SgdUpdate& args) override;

void find_non_finite(const float* data, std::int64_t size, std::int64_t* position) override;

void set_profiling(bool on) override;
std::vector<ProfileEntry> profile() const override;
