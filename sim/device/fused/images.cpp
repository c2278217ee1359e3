// SPDX-License-Identifier: Apache-2.0
// Batches of a set of images, and ranges of tensors.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

std::optional<Match> tensor_range(const Candidates& c, int node) {
  const auto* range = c.get<ops::Range>(node);
  if (range == nullptr || range->groups.by != ops::Groups::By::kTensor) return {};
  return alone<ops::Range>(c, node);
}

KernelLaunch bind_load_images(const KernelBinding& b) {
  const auto* op = b.op<ops::LoadImages>();
  const auto& shape = b.program.spec(op->x).shape;
  ImageBatch args;
  args.h = shape[1];
  args.w = shape[2];
  args.pixels = b.address<std::uint8_t>(op->pixels);
  args.set_labels = b.address<std::int32_t>(op->set_labels);
  args.table = b.address<float>(op->values);
  args.augment = op->augment;
  args.seed = op->seed;
  args.x = b.address<float>(op->x);
  args.labels = b.address<std::int32_t>(op->labels);
  const auto* indices = b.address<ImageIndex>(op->indices);
  const Tensor first = op->first;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    ImageBatch now = args;
    now.n = step.samples;
    now.indices = indices + step.inputs.value<std::uint32_t>(first);
    library->load_images(now);
  };
}

KernelLaunch bind_tensor_range(const KernelBinding& b) {
  const auto* op = b.op<ops::Range>();
  const auto* x = b.address<float>(op->x);
  auto* range = b.address<Range>(op->ranges);
  const Program* program = &b.program;
  const Tensor of = op->x;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    const TensorSpec& spec = program->spec(of);
    const std::int64_t size = spec.sample_axis < 0 ? spec.size() : spec.size() / program->batch() * step.samples;
    library->tensor_range(x, size, range);
  };
}

}  // namespace

FusedEntry load_images_entry() { return {{"load images", alone<ops::LoadImages>}, bind_load_images}; }
FusedEntry tensor_range_entry() { return {{"tensor range", tensor_range}, bind_tensor_range}; }

}  // namespace bitcycle::fused
