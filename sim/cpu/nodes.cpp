// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/nodes.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <type_traits>

#include "sim/number/elementary.h"
#include "sim/number/ordered_key.h"
#include "sim/number/philox.h"

namespace bitcycle::cpu {
namespace {

template <typename Op>
constexpr bool kRunsHere =
    std::is_same_v<Op, ops::Add> || std::is_same_v<Op, ops::AddBias> || std::is_same_v<Op, ops::Relu> ||
    std::is_same_v<Op, ops::ReluGradient> || std::is_same_v<Op, ops::Quantise> || std::is_same_v<Op, ops::Dequantise> ||
    std::is_same_v<Op, ops::Magnitude> || std::is_same_v<Op, ops::Scale> || std::is_same_v<Op, ops::AddPositions> ||
    std::is_same_v<Op, ops::Dropout> || std::is_same_v<Op, ops::LstmCell> ||
    std::is_same_v<Op, ops::LstmCellGradient> || std::is_same_v<Op, ops::Gather> ||
    std::is_same_v<Op, ops::GatherGradient> || std::is_same_v<Op, ops::BiasGradient> ||
    std::is_same_v<Op, ops::LayerNorm> || std::is_same_v<Op, ops::LayerNormGradient> ||
    std::is_same_v<Op, ops::LayerNormParameterGradient> || std::is_same_v<Op, ops::SgdClipped> ||
    std::is_same_v<Op, ops::Adamw> || std::is_same_v<Op, ops::PairProduct> || std::is_same_v<Op, ops::PairRescale> ||
    std::is_same_v<Op, ops::PairFloatProduct> || std::is_same_v<Op, ops::PairRange> ||
    std::is_same_v<Op, ops::PairSoftmax> || std::is_same_v<Op, ops::PairSoftmaxGradient> ||
    std::is_same_v<Op, ops::Slice> || std::is_same_v<Op, ops::Concatenate> || std::is_same_v<Op, ops::Transpose> ||
    std::is_same_v<Op, ops::SliceColumns> || std::is_same_v<Op, ops::ConcatenateColumns> ||
    std::is_same_v<Op, ops::BandRows> || std::is_same_v<Op, ops::BandRowsGradient> ||
    std::is_same_v<Op, ops::MaskRows> || std::is_same_v<Op, ops::SoftmaxLoss> || std::is_same_v<Op, ops::Nag>;

}  // namespace

bool Nodes::has(const Operation& operation) {
  return std::visit(
      [](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        // Several groups: weights that no product takes, in no step of a training.
        if constexpr (std::is_same_v<Op, ops::Quantise>) return op.groups.by == ops::Groups::By::kTensor;
        return kRunsHere<Op>;
      },
      operation);
}

void Nodes::run(const Operation& operation, const StepMemory& memory) {
  std::visit(
      [&](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        if constexpr (kRunsHere<Op>) {
          const auto timing = profile_.time(Op::kName);
          level(scratch_);
          run(op, memory);
        } else {
          throw std::logic_error(std::string("there is no kernel for ") + Op::kName);
        }
      },
      operation);
}

void Nodes::run(const ops::Add& op, const StepMemory& memory) {
  const auto *a = memory.data<float>(op.a), *b = memory.data<float>(op.b);
  auto* z = memory.data<float>(op.z);
  over_elements(memory.size(op.z), [&](int, std::int64_t begin, std::int64_t end) {
    kernels_.language.add(a + begin, b + begin, end - begin, z + begin);
  });
}

void Nodes::run(const ops::AddBias& op, const StepMemory& memory) {
  const std::int64_t channels = memory.last_extent(op.x), rows = memory.size(op.x) / channels;
  const auto *x = memory.data<float>(op.x), *bias = memory.data<float>(op.bias);
  auto* y = memory.data<float>(op.y);
  workers_.chunks(rows, std::max<std::int64_t>(1, 16384 / channels), [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.language.add(x + r * channels, bias, channels, y + r * channels);
    }
  });
}

void Nodes::run(const ops::Relu& op, const StepMemory& memory) {
  const auto* x = memory.data<float>(op.x);
  auto* z = memory.data<float>(op.z);
  auto* bits = op.positive ? memory.data<std::uint8_t>(op.positive) : nullptr;
  const std::int64_t size = memory.size(op.x);
  if (bits != nullptr) std::fill_n(bits + size / 32 * 4, size % 32 == 0 ? 0 : 4, std::uint8_t{0});
  over_elements(size, [&](int, std::int64_t begin, std::int64_t end) {
    if (bits != nullptr) kernels_.positive_bits(x + begin, end - begin, bits + begin / 8);
    kernels_.language.relu(x + begin, end - begin, z + begin);
  });
}

void Nodes::run(const ops::ReluGradient& op, const StepMemory& memory) {
  const auto* dz = memory.data<float>(op.dz);
  const auto* bits = memory.data<std::uint8_t>(op.positive);
  auto* dx = memory.data<float>(op.dx);
  over_elements(memory.size(op.dz), [&](int, std::int64_t begin, std::int64_t end) {
    kernels_.language.masked(dz + begin, bits + begin / 8, end - begin, dx + begin);
  });
}

void Nodes::run(const ops::Quantise& op, const StepMemory& memory) {
  const auto width = memory.value<BitWidth>(op.width);
  if (!width.is_narrow()) return ops::run(op, memory);
  const auto& grid = memory.value<Affine>(op.grid);
  const auto* x = memory.data<float>(op.x);
  using Rounding = ops::Quantise::Rounding;
  const bool stochastic = op.rounding == Rounding::kStochastic;
  const PhiloxStream stream = stochastic ? philox_stream(op.seed, memory.value<std::uint32_t>(op.step),
                                                         RandomPurpose::kGradientRounding, op.tensor_id)
                                         : PhiloxStream{};
  const float* given = op.rounding == Rounding::kGivenNoise ? memory.data<float>(op.noise) : nullptr;
  over_elements(memory.size(op.x), [&](int thread, std::int64_t begin, std::int64_t end) {
    QuantiseRow row;
    row.x = x + begin;
    row.count = end - begin;
    row.lo = static_cast<float>(grid.lo);
    row.step = static_cast<float>(grid.step);
    row.max_code = static_cast<float>(grid.max_code);
    row.noise = given == nullptr ? nullptr : given + begin;
    if (stochastic) {
      float* noise = of(thread).noise.need(row.count);
      kernels_.noise({stream.seed,
                      stream.step,
                      stream.purpose_and_tensor,
                      static_cast<std::uint64_t>(begin),
                      row.count,
                      noise,
                      {row.x, nullptr}});
      row.noise = noise;
    }
    if (width.container() == Container::kUint8) {
      row.codes8 = memory.data<std::uint8_t>(op.codes) + begin;
    } else {
      row.codes16 = memory.data<std::uint16_t>(op.codes) + begin;
    }
    kernels_.quantise(row);
  });
}

void Nodes::run(const ops::Dequantise& op, const StepMemory& memory) {
  const bool bytes = op.x.width && memory.value<BitWidth>(op.x.width).container() == Container::kUint8 &&
                     op.x.groups.by == ops::Groups::By::kTensor;
  if (!bytes) return ops::run(op, memory);
  const auto& grid = memory.value<Affine>(op.x.grid);
  float table[256];
  for (int q = 0; q < 256; ++q) table[q] = static_cast<float>(std::fma(grid.step, static_cast<double>(q), grid.lo));
  const auto* codes = memory.data<std::uint8_t>(op.x.codes);
  auto* values = memory.data<float>(op.values);
  over_elements(memory.size(op.values), [&](int, std::int64_t begin, std::int64_t end) {
    kernels_.language.values_of_bytes(codes + begin, table, end - begin, values + begin);
  });
}

float Nodes::largest_magnitude(const float* x, std::int64_t size) {
  std::atomic<std::int32_t> largest{0};
  over_elements(size, [&](int, std::int64_t begin, std::int64_t end) {
    std::int32_t here = 0;
    kernels_.magnitude(x + begin, end - begin, &here);
    std::int32_t known = largest.load();
    while (here > known && !largest.compare_exchange_weak(known, here)) {
    }
  });
  return float_of_bits(largest.load());
}

void Nodes::run(const ops::Magnitude& op, const StepMemory& memory) {
  memory.value<float>(op.bound) = largest_magnitude(memory.data<float>(op.x), memory.size(op.x));
}

void Nodes::run(const ops::Scale& op, const StepMemory& memory) {
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  over_elements(memory.size(op.x), [&](int, std::int64_t begin, std::int64_t end) {
    kernels_.language.scale(x + begin, op.factor, end - begin, y + begin);
  });
}

void Nodes::run(const ops::AddPositions& op, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(op.x), rows = memory.size(op.x) / c;
  const auto wanted = static_cast<std::size_t>(op.time_steps * c);
  if (positions_.size() < wanted || positions_channels_ != c || positions_first_ != op.first) {
    positions_.resize(wanted);
    positions_channels_ = c;
    positions_first_ = op.first;
    workers_.each(op.time_steps, [&](int, std::int64_t t) {
      for (std::int64_t i = 0; i < c; ++i) {
        positions_[static_cast<std::size_t>(t * c + i)] = position_value(t + op.first, i, c);
      }
    });
  }
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  workers_.chunks(rows, 16, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.language.scale_and_add(x + r * c, op.factor, positions_.data() + r % op.time_steps * c, c, y + r * c);
    }
  });
}

void Nodes::run(const ops::LstmCell& op, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(op.cell);
  workers_.each(memory.size(op.cell) / c, [&](int, std::int64_t n) {
    LstmCellRow row;
    row.x = memory.data<float>(op.x) + n * 4 * c;
    row.h = memory.data<float>(op.h) + n * 4 * c;
    row.cell = memory.data<float>(op.cell) + n * c;
    row.count = c;
    row.gates = memory.data<float>(op.gates) + n * 4 * c;
    row.next_cell = memory.data<float>(op.next_cell) + n * c;
    row.squashed = memory.data<float>(op.squashed) + n * c;
    row.output = memory.data<float>(op.output) + n * c;
    row.sigmoid = sigmoid_f32;
    row.tangent = tanh_f32;
    kernels_.language.lstm_cell(row);
  });
}

void Nodes::run(const ops::LstmCellGradient& op, const StepMemory& memory) {
  const std::int64_t c = memory.last_extent(op.cell);
  workers_.each(memory.size(op.cell) / c, [&](int, std::int64_t n) {
    LstmGradientRow row;
    row.gates = memory.data<float>(op.gates) + n * 4 * c;
    row.cell = memory.data<float>(op.cell) + n * c;
    row.squashed = memory.data<float>(op.squashed) + n * c;
    row.doutput = memory.data<float>(op.doutput) + n * c;
    if (op.dnext_cell) row.dnext_cell = memory.data<float>(op.dnext_cell) + n * c;
    row.count = c;
    row.dgates = memory.data<float>(op.dgates) + n * 4 * c;
    row.dcell = memory.data<float>(op.dcell) + n * c;
    kernels_.language.lstm_cell_gradient(row);
  });
}

void Nodes::run(const ops::Dropout& op, const StepMemory& memory) {
  const auto* x = memory.data<float>(op.x);
  auto* y = memory.data<float>(op.y);
  const PhiloxStream stream =
      philox_stream(op.seed, memory.value<std::uint32_t>(op.step), kDropoutPurpose, op.tensor_id);
  // Noise is (word >> 8) 2^-24 - 1/2, exactly.
  const float least = static_cast<float>(op.rule.threshold) * 0x1p-24F - 0.5F;
  over_elements(memory.size(op.x), [&](int thread, std::int64_t begin, std::int64_t end) {
    float* noise = of(thread).noise.need(end - begin);
    kernels_.noise(
        {stream.seed, stream.step, stream.purpose_and_tensor, static_cast<std::uint64_t>(begin), end - begin, noise});
    kernels_.language.dropped(x + begin, noise, least, op.rule.factor, end - begin, y + begin);
  });
}

void Nodes::run(const ops::Gather& op, const StepMemory& memory) {
  const TensorSpec& table = memory.spec(op.table);
  const std::int64_t words = table.shape.front(), size = table.size() / words, rows = memory.size(op.tokens);
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  const auto [least, most] = std::minmax_element(tokens, tokens + rows);
  if (rows > 0 && (*least < 0 || *most >= words)) return ops::run(op, memory);  // which says what is wrong
  workers_.chunks(rows, 64, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      std::copy_n(memory.data<float>(op.table) + tokens[r] * size, size, memory.data<float>(op.y) + r * size);
    }
  });
}

void Nodes::run(const ops::GatherGradient& op, const StepMemory& memory) {
  add_rows_of_words(op.tokens, 0, op.dy, op.dtable, memory);
}

void Nodes::add_rows_of_words(Tensor tokens_of, std::int64_t first, Tensor rows_of, Tensor table_of,
                              const StepMemory& memory) {
  const TensorSpec& table = memory.spec(table_of);
  const std::int64_t words = table.shape.front(), size = table.size() / words, rows = memory.size(tokens_of);
  const auto* tokens = memory.data<std::int32_t>(tokens_of);
  const auto* dy = memory.data<float>(rows_of);
  auto* dtable = memory.data<float>(table_of);
  // A task owns some words: every row is added by one thread, in the order of the rows.
  const std::int64_t owned = std::max<std::int64_t>(1, words / 64);
  workers_.chunks(words, owned, [&](int, std::int64_t begin, std::int64_t end) {
    std::fill(dtable + begin * size, dtable + end * size, 0.0F);
    std::vector<bool> seen(static_cast<std::size_t>(end - begin));
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t word = tokens[r] - first;
      if (word < begin || word >= end) continue;
      float* sum = dtable + word * size;
      if (seen[static_cast<std::size_t>(word - begin)]) {
        kernels_.language.add(sum, dy + r * size, size, sum);
      } else {
        std::copy_n(dy + r * size, size, sum);
      }
      seen[static_cast<std::size_t>(word - begin)] = true;
    }
  });
}

}  // namespace bitcycle::cpu
