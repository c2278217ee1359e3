// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/average_pool.h"

namespace bitcycle {

void AveragePoolLayer::forward(const StepContext& context) {
  AveragePool pool;
  pool.n = context.batch;
  pool.positions = input_->h * input_->w;
  pool.channels = input_->c;
  pool.x = input_->z;
  pool.pooled = output_->z;
  context.backend.average_pool(pool);
}

void AveragePoolLayer::backward(const StepContext& context) {
  AveragePoolBackward pool;
  pool.n = context.batch;
  pool.positions = input_->h * input_->w;
  pool.channels = input_->c;
  pool.dpooled = output_->u;
  const GradientJoin join = input_->join();
  pool.join = &join;
  context.backend.average_pool_backward(pool);
}

}  // namespace bitcycle
