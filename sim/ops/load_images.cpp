// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/load_images.h"

#include "sim/reference/operations.h"

namespace bitcycle::ops {

void check(const LoadImages& op, const Operands& operands) {
  const auto& x = operands.of(op.x, "x").shape;
  const auto& set = operands.of(op.pixels, "pixels").shape;
  if (x.size() != 4 || x[3] != 3) operands.fail("x must be (n, h, w, 3)");
  if (set.size() != 4) operands.fail("pixels must be (count, h, w, 3)");
  operands.require(op.x, "x", Element::kFloat32, x);
  operands.require(op.pixels, "pixels", Element::kUint8, {set[0], x[1], x[2], x[3]});
  operands.require(op.set_labels, "set labels", Element::kInt32, {set[0]});
  const auto indices = operands.of(op.indices, "indices").size();
  operands.require(op.indices, "indices", Element::kImageIndex, indices);
  if (indices < x[0]) operands.fail("indices must hold a batch");
  operands.require(op.first, "first", Element::kUint32, 1);
  operands.require(op.values, "values", Element::kFloat32, {3, 256});
  operands.require(op.labels, "labels", Element::kInt32, {x[0]});
}

void run(const LoadImages& op, const StepMemory& memory) {
  ImageBatch batch;
  batch.n = memory.size(op.labels);
  batch.h = memory.spec(op.x).shape[1];
  batch.w = memory.spec(op.x).shape[2];
  batch.pixels = memory.data<std::uint8_t>(op.pixels);
  batch.set_labels = memory.data<std::int32_t>(op.set_labels);
  batch.indices = memory.data<ImageIndex>(op.indices) + memory.value<std::uint32_t>(op.first);
  batch.table = memory.data<float>(op.values);
  batch.augment = op.augment;
  batch.seed = op.seed;
  batch.x = memory.data<float>(op.x);
  batch.labels = memory.data<std::int32_t>(op.labels);
  reference::load_images(batch);
}

}  // namespace bitcycle::ops
