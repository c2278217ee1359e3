// SPDX-License-Identifier: Apache-2.0
// Products of two activations on the kernels of matrix products, head by head (docs/numerics.md, 6.11). One operand is
// arranged as weights are, the other is streamed; pairs that do not exist are staged as nothing. Codes of more than 8
// bits run the reference loops.
#include <algorithm>
#include <atomic>
#include <type_traits>

#include "sim/cpu/nodes.h"
#include "sim/device/fused_operations.h"
#include "sim/number/elementary.h"
#include "sim/number/ordered_key.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kLongest = 33025;  // terms of which every sum of 8 x 8 bits fits an int32
constexpr std::int64_t kStreamRows = 64;  // results that are made together
constexpr std::uint8_t kNothing = 128;    // code - 128 is what is multiplied
constexpr std::int64_t kTileGroups = 16;  // that products by tiles take together

bool in_bytes(const ops::Quantised& operand, const StepMemory& memory) {
  return memory.value<BitWidth>(operand.width).container() == Container::kUint8;
}

/// One head of one sample: where its elements lie, and the matrix product that it is: `rows` streamed rows of `depth`
/// codes each, `lanes` results a row.
struct HeadProduct {
  ops::PairForm form = ops::PairForm::kPairs;
  const ops::PairShape* shape = nullptr;
  std::int64_t pairs = 0, rows_at = 0, columns_at = 0;  // elements
  std::int64_t step = 0;                                // from a row to the next
  std::int64_t rows = 0, depth = 0, lanes = 0;

  HeadProduct(const ops::PairContraction& over, std::int64_t head) : form(over.form), shape(&over.shape) {
    const ops::PairShape& s = over.shape;
    const std::int64_t b = head / s.heads, h = head % s.heads;
    pairs = head * s.m * s.n;
    rows_at = (b * s.m * s.heads + h) * s.d;
    columns_at = (b * s.n * s.heads + h) * s.d;
    step = s.heads * s.d;
    rows = form == ops::PairForm::kColumns ? s.n : s.m;
    depth = over.depth();
    lanes = form == ops::PairForm::kPairs ? s.n : s.d;
  }
  std::int64_t out_at() const {
    return form == ops::PairForm::kPairs ? pairs : (form == ops::PairForm::kRows ? rows_at : columns_at);
  }
  std::int64_t out_step() const { return form == ops::PairForm::kPairs ? shape->n : step; }
  /// Terms of streamed row r: first .. first + count - 1 of its codes.
  std::int64_t first(std::int64_t r) const { return form == ops::PairForm::kColumns ? shape->first_row_of(r) : 0; }
  std::int64_t count(std::int64_t r) const {
    if (form == ops::PairForm::kPairs) return depth;
    return form == ops::PairForm::kRows ? shape->columns_of(r) : shape->m - first(r);
  }
  /// Results of streamed row r.
  std::int64_t results(std::int64_t r) const { return form == ops::PairForm::kPairs ? shape->columns_of(r) : lanes; }
};

/// The streamed codes of a head, row by row, and the sum of each row's.
void stream(const HeadProduct& of, const std::uint8_t* lhs, std::uint8_t* out, std::int32_t* sums) {
  for (std::int64_t r = 0; r < of.rows; ++r) {
    std::uint8_t* row = out + r * of.depth;
    if (of.form == ops::PairForm::kPairs) {
      std::copy_n(lhs + of.rows_at + r * of.step, of.depth, row);
    } else if (of.form == ops::PairForm::kRows) {
      std::copy_n(lhs + of.pairs + r * of.shape->n, of.count(r), row);
      std::fill(row + of.count(r), row + of.depth, kNothing);
    } else {
      const std::int64_t first = of.first(r);
      std::fill_n(row, first, kNothing);
      for (std::int64_t i = first; i < of.depth; ++i) row[i] = lhs[of.pairs + i * of.shape->n + r];
    }
    std::int32_t sum = 0;
    for (std::int64_t k = of.first(r); k < of.first(r) + of.count(r); ++k) sum += row[k];
    sums[r] = sum;
  }
}

}  // namespace

void Nodes::run(const ops::PairProduct& op, const StepMemory& memory) { ops::run(op, memory); }

void Nodes::run(const ops::PairRescale& op, const StepMemory& memory) {
  const ops::PairContraction over = op.over.at(memory.at_samples(op.over.shape.samples));
  if (!in_bytes(op.lhs, memory) || !in_bytes(op.rhs, memory) || over.depth() > kLongest) {
    ops::run(ops::PairProduct{op.lhs, op.rhs, op.over, op.sums}, memory);
    return ops::run(op, memory);
  }
  const auto& lhs_grid = memory.value<Affine>(op.lhs.grid);
  const auto& rhs_grid = memory.value<Affine>(op.rhs.grid);
  const ProductScale scale = product_scale(lhs_grid, rhs_grid);
  const auto* lhs = memory.data<std::uint8_t>(op.lhs.codes);
  const auto* rhs = memory.data<std::uint8_t>(op.rhs.codes);
  auto* y = memory.data<float>(op.y);
  const bool tiles = kernels_.tiles;
  workers_.each(over.shape.samples * over.shape.heads, [&](int thread, std::int64_t head) {
    const HeadProduct p(over, head);
    NodeScratch& scratch = of(thread);
    const std::int64_t lanes = lanes_for(p.lanes), blocks = lanes / kLanes;
    const std::int64_t groups = (p.depth + kernels_.group - 1) / kernels_.group;
    const std::int64_t run_groups = tiles ? (groups + kTileGroups - 1) / kTileGroups * kTileGroups : groups;
    const std::int64_t block_bytes = run_groups * kBlockBytes;

    // The other operand as weights: lane l and term k.
    const bool pairs = p.form == ops::PairForm::kPairs;
    const std::uint8_t* other = rhs + (p.form == ops::PairForm::kColumns ? p.rows_at : p.columns_at);
    std::int32_t* integers = scratch.integers.need(p.depth * p.lanes);
    for (std::int64_t l = 0; l < (pairs ? p.lanes : p.depth); ++l) {
      const std::int64_t run = pairs ? p.depth : p.lanes;
      for (std::int64_t k = 0; k < run; ++k) integers[l * run + k] = other[l * p.step + k];
    }
    char* packed = scratch.packed.zeroed(blocks * block_bytes);
    std::int64_t* lane_sums = scratch.wide.need(lanes);
    for (std::int64_t block = 0; block < blocks; ++block) {
      PackTap tap;
      tap.out_step = pairs ? p.depth : 1;
      tap.in_step = pairs ? 1 : p.lanes;
      tap.codes = integers + block * kLanes * tap.out_step;
      tap.lanes = std::min(kLanes, p.lanes - block * kLanes);
      tap.channels = p.depth;
      tap.out = packed + block * block_bytes;
      tap.sums = lane_sums + block * kLanes;
      kernels_.pack_tap(tap);
    }

    std::uint8_t* codes = scratch.codes.need(p.rows * p.depth);
    std::int32_t* row_sums = scratch.row_sums.need(p.rows);
    stream(p, lhs, codes, row_sums);

    double *a = scratch.scales.need(2 * lanes), *b = a + lanes;
    std::fill_n(a, lanes, scale.a);
    std::fill_n(b, lanes, scale.b);
    // What the other operand adds to a result depends on the terms that exist: sums that grow from row to row.
    const bool by_row = !pairs && over.shape.causal;
    const std::int64_t classes = by_row ? kStreamRows : 1;
    std::int32_t* corrections = scratch.corrections.need(classes * lanes);
    double* offsets = scratch.offsets.need(classes * lanes);
    const auto prepare = [&](std::int64_t at, std::int64_t terms) {
      for (std::int64_t l = 0; l < lanes; ++l) {
        const std::int64_t sum = l < p.lanes ? lane_sums[l] : 0;
        corrections[at * lanes + l] = static_cast<std::int32_t>(128 * sum);
        offsets[at * lanes + l] =
            product_offset(lhs_grid, rhs_grid, static_cast<double>(sum), static_cast<double>(terms));
      }
    };
    std::int64_t covered = 0;  // terms that lane_sums holds, from the end the first row needs most of
    if (!by_row) prepare(0, p.depth);
    std::int64_t* columns = scratch.columns.need(kStreamRows);

    const std::int64_t pixel_step = tiles ? groups * 4 : 4;
    char* staged = scratch.staged.need((tiles ? kStreamRows + 32 : kStreamRows) * groups * 4 + 64);
    std::int32_t* sums = scratch.sums.need((kStreamRows + kLanes) * lanes);
    const std::int64_t zero = 0;
    for (std::int64_t begin = 0; begin < p.rows; begin += kStreamRows) {
      const std::int64_t rows = std::min(kStreamRows, p.rows - begin);
      for (std::int64_t r = 0; r < rows; ++r) columns[r] = by_row ? r * lanes : 0;
      if (by_row) {
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::int64_t first = p.first(begin + r), count = p.count(begin + r);
          if (begin + r == 0) {
            std::fill_n(lane_sums, lanes, 0);
            for (std::int64_t k = first; k < first + count; ++k) {
              for (std::int64_t l = 0; l < p.lanes; ++l) lane_sums[l] += integers[k * p.lanes + l];
            }
          } else {
            // One term more (rows of pairs), or one less (columns).
            const bool more = count > covered;
            for (std::int64_t k = 0; k < (more ? count - covered : covered - count); ++k) {
              const std::int64_t term = more ? covered + k : p.depth - covered + k;
              for (std::int64_t l = 0; l < p.lanes; ++l) {
                const std::int64_t code = integers[term * p.lanes + l];
                lane_sums[l] += more ? code : -code;
              }
            }
          }
          covered = count;
          prepare(r, count);
        }
      }
      StageChannels stage;
      stage.row = codes + begin * p.depth;
      stage.pixels = stage.columns = rows;
      stage.pixel_step = stage.channels = p.depth;
      stage.plane = rows * 4;
      stage.phase_pitch = groups * stage.plane;
      stage.out = staged;
      kernels_.stage_channels(stage);
      RowProduct row;
      row.x = staged;
      row.offsets = &zero;
      row.taps = 1;
      row.groups = run_groups;
      row.pixel_step = pixel_step;
      row.plane = stage.plane;
      row.weights = packed;
      row.block_stride = block_bytes;
      row.pixels = rows;
      row.sums = sums;
      // Scores: no lanes beyond the last row's.
      const std::int64_t results = p.results(begin + rows - 1);
      row.blocks = (results + kLanes - 1) / kLanes;
      kernels_.row_product(row);
      RescaleRow rescale;
      rescale.sums = sums;
      rescale.pixels = rows;
      rescale.channels = results;
      rescale.lanes = row.blocks * kLanes;
      rescale.columns = columns;
      rescale.correction32 = corrections;
      rescale.offset = offsets;
      rescale.a = a;
      rescale.b = b;
      rescale.position_sums = row_sums + begin;
      rescale.out = y + p.out_at() + begin * p.out_step();
      rescale.out_step = p.out_step();
      kernels_.rescale_narrow(rescale);
      if (!pairs) continue;
      for (std::int64_t r = 0; r < rows; ++r) {
        float* out = rescale.out + r * p.out_step();
        std::fill(out + p.results(begin + r), out + p.lanes, 0.0F);
      }
    }
  });
}

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
    const float* other = rhs + (p.form == ops::PairForm::kColumns ? p.rows_at : p.columns_at);
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
