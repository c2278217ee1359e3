// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/classifier.h"

namespace bitcycle {

Classifier::Classifier(const std::string& name, Value* input, Value* output, ParameterStore& parameters)
    : name_(name),
      input_(input),
      output_(output),
      weight_(parameters.add_trained(name + ".weight", {output->c, input->c})),
      bias_(parameters.add_trained(name + ".bias", {output->c})) {}

void Classifier::forward(const StepContext& context) {
  LinearForward linear;
  linear.n = context.batch;
  linear.inputs = input_->c;
  linear.outputs = output_->c;
  linear.x = input_->z;
  linear.w = weight_->value;
  linear.bias = bias_->value;
  linear.y = output_->z;
  context.backend.linear_forward(linear);
}

void Classifier::backward(const StepContext& context) {
  LinearBackward linear;
  linear.n = context.batch;
  linear.inputs = input_->c;
  linear.outputs = output_->c;
  linear.x = input_->z;
  linear.w = weight_->value;
  linear.dy = output_->u;
  linear.dx = input_->u;
  linear.dw = weight_->gradient;
  linear.dbias = bias_->gradient;
  context.backend.linear_backward(linear);
}

void Classifier::describe(Workload& workload) const {
  MatrixOperation operation;
  operation.layer = name_;
  operation.kind = "linear";
  operation.shape = matmul_shape(1, output_->c, input_->c);
  operation.quantised = false;
  workload.matrix.push_back(operation);
}

}  // namespace bitcycle
