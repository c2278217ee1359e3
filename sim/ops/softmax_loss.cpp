// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/softmax_loss.h"

#include <algorithm>

#include "sim/ops/loss_record.h"
#include "sim/ops/mean_loss.h"
#include "sim/ops/softmax.h"

namespace bitcycle::ops {

void check(const SoftmaxLoss& op, const Operands& operands) {
  const TensorSpec& logits = operands.of(op.logits, "logits");
  operands.require(op.logits, "logits", Element::kFloat32, logits.shape);
  operands.require(op.labels, "labels", Element::kInt32, logits.size() / logits.shape.back());
  operands.require(op.loss, "loss", Element::kLoss, 1);
  if (op.dlogits) operands.require(op.dlogits, "dlogits", Element::kFloat32, logits.shape);
  operands.allow(op.losses, "losses", Element::kFloat32, logits.size() / logits.shape.back());
}

void run(const SoftmaxLoss& op, const StepMemory& memory) {
  const std::int64_t classes = memory.last_extent(op.logits), rows = memory.size(op.labels);
  const auto* logits = memory.data<float>(op.logits);
  const auto* labels = memory.data<std::int32_t>(op.labels);
  float* dlogits = op.dlogits ? memory.data<float>(op.dlogits) : nullptr;
  const float inverse_n = rows == 0 ? 0.0F : 1.0F / static_cast<float>(rows);
  std::vector<float> losses;
  LossRecord record;
  for (std::int64_t n = 0; n < rows; ++n) {
    if (op.partial && labels[n] < 0) {
      if (dlogits != nullptr) std::fill_n(dlogits + n * classes, classes, 0.0F);
      losses.push_back(0.0F);
      continue;
    }
    const SampleLoss sample = softmax_cross_entropy_sample(logits + n * classes, classes, labels[n], inverse_n,
                                                           dlogits == nullptr ? nullptr : dlogits + n * classes);
    record.correct += sample.correct ? 1 : 0;
    losses.push_back(sample.loss);
  }
  record.loss = mean_loss(losses);
  if (op.losses) std::copy(losses.begin(), losses.end(), memory.data<float>(op.losses));
  memory.value<LossRecord>(op.loss) = record;
}

}  // namespace bitcycle::ops
