// SPDX-License-Identifier: Apache-2.0
// Products of two activations in binary32, head by head, and what attention has between them (docs/numerics.md, 6.11).
#include <algorithm>

#include "sim/cpu/head_product.h"
#include "sim/cpu/nodes.h"
#include "sim/number/elementary.h"
#include "sim/number/ordered_key.h"

namespace bitcycle::cpu {
namespace {

/// Rows that the kernels of binary32 multiply together: sums that run side by side.
constexpr std::int64_t kRowsTogether = 8;
constexpr std::int64_t kPanel = 2 * kLanes;  // columns whose weights lie side by side

constexpr std::int64_t panels_for(std::int64_t columns) { return (columns + kPanel - 1) / kPanel * kPanel; }

/// Scores: row(i) times every column that it meets. `weights` are the columns as (panels, terms, columns of a panel).
void float_scores(const KernelTable& kernels, const HeadProduct& p, const float* lhs, const float* weights,
                  std::int64_t lanes, float* made, float* y) {
  const std::int64_t zero = 0;
  for (std::int64_t begin = 0; begin < p.rows; begin += kStreamRows) {
    const std::int64_t rows = std::min(kStreamRows, p.rows - begin);
    OrderedRow<float> row;
    row.x = lhs + p.rows_at + begin * p.step;
    row.pixels = rows;
    row.pixel_step = p.step;
    row.taps = 1;
    row.offsets = row.weight_offsets = &zero;
    row.channels = p.depth;
    row.out_step = lanes;
    row.lanes = kPanel;
    const std::int64_t needed = panels_for(p.results(begin + rows - 1));
    for (std::int64_t first = 0; first < needed; first += kPanel) {
      row.weights = weights + first * p.depth;
      row.out = made + first;
      kernels.ordered_row32(row);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      float* out = y + p.out_at() + (begin + r) * p.out_step();
      std::copy_n(made + r * lanes, p.results(begin + r), out);
      std::fill(out + p.results(begin + r), out + p.lanes, 0.0F);
    }
  }
}

/// Sums over the pairs of a row, or of a column, which begin, or end, one term later from row to row: the terms that
/// all of some rows have run side by side, the others row by row. `weights`: (terms, lanes).
void float_sums(const KernelTable& kernels, const HeadProduct& p, const float* lhs, const float* weights,
                std::int64_t lanes, float* made, float* y) {
  const bool columns = p.form == ops::PairForm::kColumns;
  const std::int64_t n = p.shape->n, zero = 0;
  const float* pairs = lhs + p.pairs;
  for (std::int64_t begin = 0; begin < p.rows; begin += kRowsTogether) {
    const std::int64_t rows = std::min(kRowsTogether, p.rows - begin), last = begin + rows - 1;
    OrderedGradientRow<float> more;  // goes on with sums
    more.dy_step = more.lanes = lanes;
    more.channels = 1;
    if (columns) {
      // Terms of the first columns alone, an ascending chain each, then those of all.
      std::fill_n(made, rows * lanes, 0.0F);
      more.x_step = n;
      for (std::int64_t r = 0; r < rows; ++r) {
        more.x = pairs + p.first(begin + r) * n + begin + r;
        more.dy = weights + p.first(begin + r) * lanes;
        more.pixels = p.first(last) - p.first(begin + r);
        more.accumulators = made + r * lanes;
        kernels.ordered_gradient32(more);
      }
      more.x = pairs + p.first(last) * n + begin;
      more.dy = weights + p.first(last) * lanes;
      more.pixels = p.depth - p.first(last);
      more.channels = rows;
      more.accumulators = made;
      kernels.ordered_gradient32(more);
    } else {
      OrderedRow<float> row;
      row.x = pairs + begin * n;
      row.pixels = rows;
      row.pixel_step = n;
      row.taps = 1;
      row.offsets = row.weight_offsets = &zero;
      row.channels = p.count(begin);
      row.weights = weights;
      row.lanes = row.out_step = lanes;
      row.out = made;
      kernels.ordered_row32(row);
      more.x_step = 1;
      for (std::int64_t r = 1; r < rows; ++r) {
        more.x = pairs + (begin + r) * n + p.count(begin);
        more.dy = weights + p.count(begin) * lanes;
        more.pixels = p.count(begin + r) - p.count(begin);
        more.accumulators = made + r * lanes;
        kernels.ordered_gradient32(more);
      }
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(made + r * lanes, p.lanes, y + p.out_at() + (begin + r) * p.out_step());
    }
  }
}

}  // namespace

void Nodes::run(const ops::PairFloatProduct& op, const StepMemory& memory) {
  const ops::PairContraction over = op.over.at(memory.at_samples(op.over.shape.samples));
  const auto *lhs = memory.data<float>(op.lhs), *rhs = memory.data<float>(op.rhs);
  auto* y = memory.data<float>(op.y);
  workers_.each(over.shape.samples * over.shape.heads, [&](int thread, std::int64_t head) {
    const HeadProduct p(over, head);
    NodeScratch& scratch = of(thread);
    const bool pairs = p.form == ops::PairForm::kPairs;
    const std::int64_t lanes = pairs ? panels_for(p.lanes) : lanes_for(p.lanes);
    float* made = scratch.values.need(kStreamRows * lanes);
    float* weights = scratch.weights.need(p.depth * lanes);
    const float* other = rhs + p.other_at();
    if (pairs) {
      for (std::int64_t l = 0; l < lanes; ++l) {
        float* to = weights + l / kPanel * kPanel * p.depth + l % kPanel;
        for (std::int64_t k = 0; k < p.depth; ++k) to[k * kPanel] = l >= p.lanes ? 0.0F : other[l * p.step + k];
      }
      return float_scores(kernels_, p, lhs, weights, lanes, made, y);
    }
    for (std::int64_t k = 0; k < p.depth; ++k) {
      std::copy_n(other + k * p.step, p.lanes, weights + k * lanes);
      std::fill(weights + k * lanes + p.lanes, weights + (k + 1) * lanes, 0.0F);
    }
    float_sums(kernels_, p, lhs, weights, lanes, made, y);
  });
}

void Nodes::run(const ops::PairRange& op, const StepMemory& memory) {
  const ops::PairShape& s = op.shape;
  const auto* x = memory.data<float>(op.x);
  const std::int64_t rows = memory.at_samples(s.samples) * s.heads * s.m, parts = workers_.threads();
  const std::int64_t share = (rows + parts - 1) / parts;
  std::vector<KeyRange> keys(static_cast<std::size_t>(parts));
  workers_.each(parts, [&](int, std::int64_t part) {
    KeyRange& here = keys[static_cast<std::size_t>(part)];
    for (std::int64_t r = part * share; r < std::min(rows, (part + 1) * share); ++r) {
      kernels_.range(x + r * s.n, s.columns_of(r % s.m), &here.lo, &here.hi);
    }
  });
  KeyRange all;
  for (const KeyRange& part : keys) include(all, part);
  // -0 has a key below that of +0 here.
  if (all.lo == -1) all.lo = 0;
  if (all.hi == -1) all.hi = 0;
  if (op.from_zero) include(all, 0.0F);
  memory.value<Range>(op.range) = range_of_keys(all);
}

void Nodes::run(const ops::PairSoftmax& op, const StepMemory& memory) {
  const ops::PairShape& s = op.shape;
  const std::int64_t rows = memory.at_samples(s.samples) * s.heads * s.m;
  workers_.chunks(rows, 16, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t count = s.columns_of(r % s.m);
      float* y = memory.data<float>(op.y) + r * s.n;
      const float largest = kernels_.language.scale(memory.data<float>(op.x) + r * s.n, op.scale, count, y);
      kernels_.exponentials(y, largest, count, y, exp_f32);
      kernels_.language.divide(y, kernels_.language.row_sum(y, count), count);
      std::fill(y + count, y + s.n, 0.0F);
    }
  });
}

void Nodes::run(const ops::PairSoftmaxGradient& op, const StepMemory& memory) {
  const ops::PairShape& s = op.shape;
  const std::int64_t rows = memory.at_samples(s.samples) * s.heads * s.m;
  workers_.chunks(rows, 16, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t count = s.columns_of(r % s.m);
      const float *y = memory.data<float>(op.y) + r * s.n, *dy = memory.data<float>(op.dy) + r * s.n;
      float* dx = memory.data<float>(op.dx) + r * s.n;
      const float d = kernels_.language.row_dot(dy, y, count);
      kernels_.language.softmax_errors(y, dy, d, op.scale, count, dx);
      std::fill(dx + count, dx + s.n, 0.0F);
    }
  });
}

}  // namespace bitcycle::cpu
