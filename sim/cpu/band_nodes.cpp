// SPDX-License-Identifier: Apache-2.0
// What a vocabulary in bands needs (sim/ops/bands.h), and columns and rows that are moved (columns.h, rows.h).
#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>

#include "sim/cpu/nodes.h"
#include "sim/cpu/softmax_rows.h"
#include "sim/ops/gradient_norm.h"
#include "sim/ops/loss_record.h"
#include "sim/ops/mean_loss.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kRowsMoved = 16, kSide = 32;

bool is_of_band(std::int64_t word, std::int64_t first, std::int64_t count) {
  return word >= first && word < first + count;
}

}  // namespace

void Nodes::copy(const float* from, std::int64_t count, float* to) {
  over_elements(count, [&](int, std::int64_t begin, std::int64_t end) {
    std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin) * sizeof(float));
  });
}

void Nodes::run(const ops::Slice& op, const StepMemory& memory) {
  const TensorSpec& x = memory.spec(op.x);
  copy(memory.data<float>(op.x) + op.first * (x.size() / x.shape.front()), memory.spec(op.y).size(),
       memory.data<float>(op.y));
}

void Nodes::run(const ops::Concatenate& op, const StepMemory& memory) {
  auto* y = memory.data<float>(op.y);
  for (const Tensor part : op.parts) {
    copy(memory.data<float>(part), memory.spec(part).size(), y);
    y += memory.spec(part).size();
  }
}

void Nodes::run(const ops::Transpose& op, const StepMemory& memory) {
  const std::int64_t columns = memory.last_extent(op.x), rows = memory.spec(op.x).size() / columns;
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  workers_.chunks(columns, kSide, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = 0; first < rows; first += kSide) {
      const std::int64_t last = std::min(rows, first + kSide);
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t j = first; j < last; ++j) y[i * rows + j] = x[j * columns + i];
      }
    }
  });
}

void Nodes::run(const ops::SliceColumns& op, const StepMemory& memory) {
  const std::int64_t all = memory.last_extent(op.x), count = memory.last_extent(op.y);
  const auto* x = memory.data<float>(op.x) + op.first;
  auto* y = memory.data<float>(op.y);
  workers_.chunks(memory.size(op.y) / count, kRowsMoved, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) std::copy_n(x + r * all, count, y + r * count);
  });
}

void Nodes::run(const ops::ConcatenateColumns& op, const StepMemory& memory) {
  const std::int64_t all = memory.last_extent(op.y), rows = memory.size(op.y) / all;
  auto* y = memory.data<float>(op.y);
  std::int64_t first = 0;
  for (const Tensor part : op.parts) {
    const std::int64_t count = memory.last_extent(part), at = first;
    const auto* x = memory.data<float>(part);
    workers_.chunks(rows, kRowsMoved, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) std::copy_n(x + r * count, count, y + r * all + at);
    });
    first += count;
  }
}

void Nodes::run(const ops::BandRows& op, const StepMemory& memory) {
  const TensorSpec& table = memory.spec(op.table);
  const std::int64_t count = table.shape.front(), size = table.size() / count;
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  const auto* values = memory.data<float>(op.table);
  auto* y = memory.data<float>(op.y);
  workers_.chunks(memory.size(op.tokens), kRowsMoved, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      if (is_of_band(tokens[r], op.first, count)) {
        std::copy_n(values + (tokens[r] - op.first) * size, size, y + r * size);
      } else {
        std::fill_n(y + r * size, size, 0.0F);
      }
    }
  });
}

void Nodes::run(const ops::BandRowsGradient& op, const StepMemory& memory) {
  add_rows_of_words(op.tokens, op.first, op.dy, op.dtable, memory);
}

void Nodes::run(const ops::MaskRows& op, const StepMemory& memory) {
  const std::int64_t size = memory.last_extent(op.x);
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  workers_.chunks(memory.size(op.tokens), kRowsMoved, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      if (is_of_band(tokens[r], op.first, op.count)) {
        std::copy_n(x + r * size, size, y + r * size);
      } else {
        std::fill_n(y + r * size, size, 0.0F);
      }
    }
  });
}

void Nodes::run(const ops::SoftmaxLoss& op, const StepMemory& memory) {
  SoftmaxRows rows;
  rows.logits = memory.data<float>(op.logits);
  rows.labels = memory.data<std::int32_t>(op.labels);
  rows.classes = memory.last_extent(op.logits);
  rows.partial = op.partial;
  rows.dlogits = op.dlogits ? memory.data<float>(op.dlogits) : nullptr;
  const std::int64_t count = memory.size(op.labels);
  rows.inverse_n = count == 0 ? 0.0F : 1.0F / static_cast<float>(count);
  rows.losses = op.losses ? memory.data<float>(op.losses) : losses_.need(count);
  std::atomic<std::int64_t> correct{0};
  workers_.chunks(count, kSummedRows, [&](int thread, std::int64_t begin, std::int64_t end) {
    correct += softmax_rows(kernels_, rows, begin, end, of(thread).values.need(kSoftmaxScratch));
  });
  LossRecord record;
  record.correct = correct.load();
  record.loss = mean_loss(std::span<const float>(rows.losses, static_cast<std::size_t>(count)));
  memory.value<LossRecord>(op.loss) = record;
}

void Nodes::run(const ops::Nag& op, const StepMemory& memory) {
  const bool clips = op.rule.clip > 0.0;
  if (clips) memory.value<double>(op.norm) = 0.0;
  if (op.guard && memory.value<std::int64_t>(op.guard) >= 0) return;
  float factor = 1.0F;
  if (clips) {
    factor = ops::clip_factor(op.rule.clip, memory.value<double>(op.norm) = norm_of(op.gradients, memory));
  }
  const NagStep step = nag_step(op.rule, memory.value<float>(op.rate), memory.value<float>(op.rate_before), factor);
  NagRow row;
  row.ahead = step.ahead;
  row.keep = step.keep;
  row.far = step.far;
  row.rate = step.rate;
  row.decay = step.decay;
  row.factor = step.factor;
  row.clips = clips;
  row.decays = op.rule.weight_decay != 0.0;
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    over_elements(memory.size(op.parameters[i]), [&](int, std::int64_t begin, std::int64_t end) {
      NagRow part = row;
      part.g = memory.data<float>(op.gradients[i]) + begin;
      part.buffer = memory.data<float>(op.momenta[i]) + begin;
      part.w = memory.data<float>(op.parameters[i]) + begin;
      part.count = end - begin;
      kernels_.language.nag(part);
    });
  }
  memory.value<float>(op.rate_before) = step.rate;
}

}  // namespace bitcycle::cpu
