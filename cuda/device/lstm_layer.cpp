// SPDX-License-Identifier: Apache-2.0
// An LSTM layer's time steps as launches: two and one a time step forward, three and two a time step backward, and the
// weight gradients.
#include "cuda/device/lstm_layer.h"

#include <algorithm>

#include "cuda/device/bias_pattern.h"
#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_lstm_backward.h"
#include "cuda/kernels/kernels_lstm_forward.h"
#include "cuda/products/matmul_gradient.h"
#include "sim/device/fused/bindings.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {
namespace {

template <typename Op>
const Op& op_at(const Program& program, int node) {
  return std::get<Op>(program.node(node).operation);
}

/// Results of nodes that a kernel may write.
void makes(const Program& program, const std::vector<int>& nodes, std::initializer_list<const char*> kinds,
           Match& match) {
  for (const int node : nodes) {
    const Operation& operation = program.node(node).operation;
    const std::string name = name_of(operation);
    if (std::none_of(kinds.begin(), kinds.end(), [&](const char* kind) { return name == kind; })) continue;
    each_tensor(operation, [&](const char*, Tensor tensor, bitcycle::Access access) {
      if (access == bitcycle::Access::kWrite) match.makes.push_back(tensor);
    });
  }
}

bool any_taken(const Candidates& c, const std::vector<int>& nodes) {
  return std::any_of(nodes.begin(), nodes.end(), [&](int node) { return c.taken(node); });
}

std::optional<Match> forward_pattern(const Candidates& c, int node) {
  if (c.get<ops::LstmCell>(node) == nullptr) return {};
  const Program& program = c.program();
  const auto steps = lstm::forward_of(program, node);
  if (!steps) return {};
  Match match;
  match.nodes = lstm::nodes_of(*steps);
  if (any_taken(c, match.nodes)) return {};
  makes(program, match.nodes, {"range", "fit_grid", "running_grid", "quantise", "lstm_cell"}, match);
  for (const auto* of : {&steps->front().x, &steps->front().h}) {
    const auto& rhs = op_at<ops::Product>(program, of->product).rhs;
    match.takes.push_back(rhs.codes);
    match.takes.push_back(rhs.grid);
  }
  return match;
}

std::optional<Match> backward_pattern(const Candidates& c, int node) {
  if (c.get<ops::LstmCellGradient>(node) == nullptr) return {};
  const Program& program = c.program();
  const auto backward = lstm::backward_of(program, node);
  if (!backward) return {};
  Match match;
  match.nodes = lstm::nodes_of(*backward);
  if (any_taken(c, match.nodes)) return {};
  makes(program, match.nodes, {"range", "fit_grid"}, match);
  for (const Tensor made : {backward->dx_weights, backward->dh_weights, backward->dbias}) {
    if (made) match.makes.push_back(made);
  }
  const auto take = [&](const lstm::BackwardProduct& of) {
    if (of.error < 0) return;
    const auto& rhs = op_at<ops::Product>(program, of.error).rhs;
    for (const Tensor tensor : {rhs.codes, rhs.grid}) {
      if (std::find(match.takes.begin(), match.takes.end(), tensor) == match.takes.end()) match.takes.push_back(tensor);
    }
  };
  for (const lstm::BackwardStep& step : backward->steps) {
    match.makes.push_back(op_at<ops::Rescale>(program, step.x.error_rescale).y);
    take(step.x);
    take(step.h);
  }
  return match;
}

/// What a layer keeps in device memory for itself; lives as long as the launch.
struct Memory {
  KernelLibrary& library;
  std::vector<Buffer> buffers;
  template <typename T>
  T* take(std::int64_t count) {
    buffers.emplace_back(library, static_cast<std::size_t>(count) * sizeof(T));
    return buffers.back().template as<T>();
  }
  template <typename T>
  const T* table(const std::vector<T>& values) {
    T* device = take<T>(static_cast<std::int64_t>(values.size()));
    library.to_device(device, values.data(), values.size() * sizeof(T));
    return device;
  }
};

/// What a slice of a tensor begins with; the tensor itself where there is none.
const float* source(const KernelBinding& b, int slice, Tensor tensor) {
  if (slice < 0) return b.address<float>(tensor);
  const auto& op = op_at<ops::Slice>(b.program, slice);
  const TensorSpec& x = b.program.spec(op.x);
  return b.address<float>(op.x) + op.first * (x.size() / x.shape.front());
}

CudaWeights& weights_behind(const KernelBinding& b, int product) {
  const auto& op = op_at<ops::Product>(b.program, product);
  return static_cast<CudaWeights&>(fused::weights_of(b, fused::master_behind(b.program, op.rhs.codes), op.over.shape));
}

}  // namespace

/// Launches of a layer; a friend of the library.
class LstmLayerLauncher {
 public:
  static KernelLaunch forward(const KernelBinding& b);
  static KernelLaunch backward(const KernelBinding& b);

 private:
  static LstmWeights forward_weights(const CudaWeights& w) {
    return {w.forward_pack, w.affine.as<Affine>(), w.tap_sums.as<std::int64_t>()};
  }
  static LstmWeights error_weights(const CudaWeights& w) {
    return {w.error_pack, w.error_affine.as<Affine>(), w.error_tap_sums.as<std::int64_t>()};
  }
};

KernelLaunch LstmLayerLauncher::forward(const KernelBinding& b) {
  const Program& program = b.program;
  int first = -1;
  for (const int node : b.kernel.match.nodes) {
    if (std::holds_alternative<ops::LstmCell>(program.node(node).operation) && first < 0) first = node;
  }
  const std::vector<lstm::ForwardStep> steps = *lstm::forward_of(program, first);
  const auto count = static_cast<std::int64_t>(steps.size());
  auto* library = static_cast<CudaLibrary*>(&b.library);
  auto memory = std::make_shared<Memory>(Memory{b.library, {}});

  const auto& x_product = op_at<ops::Product>(program, steps.front().x.product);
  const auto& h_product = op_at<ops::Product>(program, steps.front().h.product);
  const Tensor cell = op_at<ops::LstmCell>(program, steps.front().cell).cell;
  const std::int64_t batch = program.batch(), units = program.spec(cell).shape.back();
  const std::int64_t rows = program.spec(cell).size() / units;
  LstmLayer layer{};
  layer.count = static_cast<std::int32_t>(count);
  layer.rows = static_cast<std::int32_t>(rows);
  layer.inputs = static_cast<std::int32_t>(x_product.over.shape.c);
  layer.units = static_cast<std::int32_t>(units);
  layer.lo = memory->take<std::int32_t>(count + 1);
  layer.hi = memory->take<std::int32_t>(count + 1);
  auto* ranges = memory->take<Range>(count);
  auto* own_grids = memory->take<Affine>(count);
  auto* own_codes = memory->take<std::uint8_t>(count * rows * layer.inputs);
  auto* own_cells = memory->take<float>(2 * rows * units);
  auto* own_outputs = memory->take<float>(2 * rows * units);
  auto* from_inputs = memory->take<float>(count * rows * 4 * units);

  std::vector<LstmStep> table;
  for (std::int64_t t = 0; t < count; ++t) {
    const lstm::ForwardStep& of = steps[static_cast<std::size_t>(t)];
    const auto& op = op_at<ops::LstmCell>(program, of.cell);
    const auto &x = op_at<ops::Quantise>(program, of.x.quantise), &h = op_at<ops::Quantise>(program, of.h.quantise);
    const auto or_own = [](auto* asked, auto* own) { return asked != nullptr ? asked : own; };
    LstmStep step;
    step.x = source(b, of.slice, x.x);
    step.x_codes = or_own(b.address<std::uint8_t>(x.codes), own_codes + t * rows * layer.inputs);
    step.x_grid = or_own(b.address<Affine>(x.grid), own_grids + t);
    step.h = t == 0 ? b.address<float>(h.x) : table.back().output;
    step.cell = t == 0 ? b.address<float>(op.cell) : table.back().next_cell;
    step.h_codes = b.address<std::uint8_t>(h.codes);
    step.h_grid = b.address<Affine>(h.grid);
    if (of.x.range >= 0) {
      step.x_range = b.address<Range>(op_at<ops::Range>(program, of.x.range).ranges);
      step.h_range = b.address<Range>(op_at<ops::Range>(program, of.h.range).ranges);
    }
    step.gates = b.address<float>(op.gates);
    step.squashed = b.address<float>(op.squashed);
    step.next_cell = or_own(b.address<float>(op.next_cell), own_cells + t % 2 * rows * units);
    step.output = or_own(b.address<float>(op.output), own_outputs + t % 2 * rows * units);
    table.push_back(step);
  }
  layer.steps = memory->table(table);

  const auto grid_of = [&](const lstm::ForwardProduct& of) {
    LstmGrid grid{};
    grid.training = of.range >= 0;
    if (grid.training) {
      const auto& fit = op_at<ops::FitGrid>(program, of.grid);
      grid.width = b.address<BitWidth>(fit.width);
      grid.min_scale = fit.min_scale;
      grid.running = b.address<float>(op_at<ops::RunningRange>(program, of.running).running);
    } else {
      const auto& running = op_at<ops::RunningGrid>(program, of.grid);
      grid.width = b.address<BitWidth>(running.width);
      grid.min_scale = running.min_scale;
      grid.running = b.address<float>(running.running);
    }
    return grid;
  };
  const LstmGrid x_grid = grid_of(steps.front().x), h_grid = grid_of(steps.front().h);
  const float* bias = steps.front().add_bias < 0
                          ? nullptr
                          : b.address<float>(op_at<ops::AddBias>(program, steps.front().add_bias).bias);
  const CudaWeights* w = &weights_behind(b, steps.front().x.product);
  const CudaWeights* u = &weights_behind(b, steps.front().h.product);
  static_cast<void>(h_product);
  const int blocks = static_cast<int>((rows + 31) / 32 * (units / 8));
  const std::int64_t macs = rows * 4 * units;
  return [=](const KernelStep& step) {
    if (step.samples != batch) throw std::logic_error("an LSTM's step has all its streams");
    static_cast<void>(memory);
    library->settle();
    library->wait_for_branches();
    library->launch<LstmInputsKernel>(static_cast<int>(count) + 1, LstmInputsKernel::kSharedBytes,
                                      {layer, x_grid, ranges}, {0, 5 * count * rows * layer.inputs});
    library->launch<LstmInputProductKernel>(
        static_cast<int>(count) * blocks, static_cast<std::size_t>(LstmForwardTile::shared_bytes(layer.inputs)),
        {layer, forward_weights(*w), bias, from_inputs, x_grid.training ? x_grid.running : nullptr, ranges},
        {count * macs * layer.inputs, count * macs * 4 + 4 * units * layer.inputs});
    for (std::int32_t t = 0; t < layer.count; ++t) {
      library->launch<LstmStepKernel>(blocks, static_cast<std::size_t>(LstmForwardTile::shared_bytes(layer.units)),
                                      {layer, forward_weights(*u), h_grid, from_inputs, t},
                                      {macs * units, 4 * units * units + macs * 8 + rows * units * 16});
    }
  };
}

KernelLaunch LstmLayerLauncher::backward(const KernelBinding& b) {
  const Program& program = b.program;
  int first = -1;
  for (const int node : b.kernel.match.nodes) {
    if (std::holds_alternative<ops::LstmCellGradient>(program.node(node).operation) && first < 0) first = node;
  }
  const lstm::Backward all = *lstm::backward_of(program, first);
  const auto count = static_cast<std::int64_t>(all.steps.size());
  auto* library = static_cast<CudaLibrary*>(&b.library);
  auto memory = std::make_shared<Memory>(Memory{b.library, {}});

  const lstm::BackwardStep& last = all.steps.back();
  const auto& x_gradient = op_at<ops::Product>(program, last.x.gradient);
  const auto& h_gradient = op_at<ops::Product>(program, last.h.gradient);
  const std::int64_t batch = program.batch(), units = h_gradient.over.shape.c, rows = h_gradient.over.shape.n;
  LstmLayer layer{};
  layer.count = static_cast<std::int32_t>(count);
  layer.rows = static_cast<std::int32_t>(rows);
  layer.inputs = static_cast<std::int32_t>(x_gradient.over.shape.c);
  layer.units = static_cast<std::int32_t>(units);
  layer.lo = memory->take<std::int32_t>(count);
  layer.hi = memory->take<std::int32_t>(count);
  LstmBackward backward{};
  backward.dgates = memory->take<float>(rows * 4 * units);
  backward.dcell = memory->take<float>(rows * units);
  backward.code_lo = memory->take<std::int32_t>(count);
  backward.code_hi = memory->take<std::int32_t>(count);
  auto* x_codes = memory->take<std::uint8_t>(count * rows * 4 * units);
  auto* h_codes = memory->take<std::uint8_t>(count * rows * 4 * units);
  auto* own_grids = memory->take<Affine>(2 * count);

  std::vector<LstmStep> table;
  std::vector<GradientPart> x_parts, h_parts;
  for (std::int64_t t = 0; t < count; ++t) {
    const lstm::BackwardStep& of = all.steps[static_cast<std::size_t>(t)];
    const auto& op = op_at<ops::LstmCellGradient>(program, of.cell);
    const auto &x = op_at<ops::Quantise>(program, of.x.quantise), &h = op_at<ops::Quantise>(program, of.h.quantise);
    const auto or_own = [](auto* asked, auto* own) { return asked != nullptr ? asked : own; };
    LstmStep step;
    step.cell = b.address<float>(op.cell);
    step.gates = b.address<float>(op.gates);
    step.squashed = b.address<float>(op.squashed);
    step.doutput = source(b, of.slice, of.doutput);
    step.x_product_range = b.address<Range>(op_at<ops::Range>(program, of.x.range).ranges);
    step.h_product_range = b.address<Range>(op_at<ops::Range>(program, of.h.range).ranges);
    step.x_product_grid = or_own(b.address<Affine>(x.grid), own_grids + 2 * t);
    step.h_product_grid = or_own(b.address<Affine>(h.grid), own_grids + 2 * t + 1);
    step.x_product_codes = x_codes + t * rows * 4 * units;
    step.h_product_codes = h_codes + t * rows * 4 * units;
    step.x_product_noise = x.tensor_id;
    step.h_product_noise = h.tensor_id;
    step.dx = b.address<float>(op_at<ops::Rescale>(program, of.x.error_rescale).y);
    table.push_back(step);
    // The written order: the last time step's part first.
    const auto part = [&](const lstm::BackwardProduct& product, const std::uint8_t* codes, const Affine* grid) {
      const auto& gradient = op_at<ops::Product>(program, product.gradient);
      return GradientPart{codes, b.address<std::uint8_t>(gradient.lhs.codes), grid,
                          b.address<Affine>(gradient.lhs.grid)};
    };
    x_parts.insert(x_parts.begin(), part(of.x, step.x_product_codes, step.x_product_grid));
    h_parts.insert(h_parts.begin(), part(of.h, step.h_product_codes, step.h_product_grid));
  }
  layer.steps = memory->table(table);

  const auto grid_of = [&](const lstm::BackwardProduct& of) {
    const auto& fit = op_at<ops::FitGrid>(program, of.grid);
    const auto& quantise = op_at<ops::Quantise>(program, of.quantise);
    return LstmGradientGrid{b.address<BitWidth>(fit.width), fit.min_scale, fit.quantiser == kAffineWithZero,
                            quantise.rounding == ops::Quantise::Rounding::kStochastic};
  };
  LstmGradientCodesKernel::Args codes{};
  codes.of = layer;
  codes.backward = backward;
  codes.x = grid_of(last.x);
  codes.h = grid_of(last.h);
  const auto& quantise = op_at<ops::Quantise>(program, last.x.quantise);
  codes.seed = quantise.seed;
  codes.number = b.address<std::uint32_t>(quantise.step);

  const auto gradient_of = [&](const std::vector<GradientPart>& parts, std::int64_t inputs, Tensor dw) {
    constexpr std::int64_t kSide = MatmulGradientKernel::kSide;
    MatmulGradientKernel::Args args{};
    args.parts = memory->table(parts);
    args.count = layer.count;
    args.rows = layer.rows;
    args.outputs = static_cast<std::int32_t>(4 * units);
    args.inputs = static_cast<std::int32_t>(inputs);
    args.column_tiles = static_cast<std::int32_t>((inputs + kSide - 1) / kSide);
    args.dw = b.address<float>(dw);
    return args;
  };
  const MatmulGradientKernel::Args dx_weights = gradient_of(x_parts, layer.inputs, all.dx_weights);
  const MatmulGradientKernel::Args dh_weights = gradient_of(h_parts, units, all.dh_weights);
  float* dbias = b.address<float>(all.dbias);
  const CudaWeights* w = &weights_behind(b, last.x.error);
  const CudaWeights* u = last.h.error < 0 ? nullptr : &weights_behind(b, last.h.error);
  const auto tiles = [&](std::int64_t columns) { return static_cast<int>((rows + 31) / 32 * (columns / 8)); };
  const int unit_tiles = tiles(units), input_tiles = tiles(layer.inputs);
  const std::int64_t gates = rows * 4 * units;
  return [=](const KernelStep& step) {
    if (step.samples != batch) throw std::logic_error("an LSTM's step has all its streams");
    static_cast<void>(memory);
    library->settle();
    // The weights' branch has been waited for by the forward pass.
    library->launch<LstmClearKernel>(1, 0, {layer, backward});
    library->launch<LstmLastCellKernel>(library->blocks(static_cast<std::uint32_t>(4 * rows * units)), 0,
                                        {layer, backward}, {0, 44 * rows * units});
    for (std::int32_t t = layer.count - 1; t >= 0; --t) {
      LstmGradientCodesKernel::Args now = codes;
      now.step = t;
      library->launch<LstmGradientCodesKernel>(library->blocks(static_cast<std::uint32_t>(gates)), 0, now,
                                               {0, 6 * gates});
      if (t == 0) break;
      library->launch<LstmStepErrorKernel>(unit_tiles, static_cast<std::size_t>(LstmErrorTile::kSharedBytes),
                                           {layer, backward, error_weights(*u), t},
                                           {gates * units, 8 * units * units + gates + 44 * rows * units});
    }
    library->launch<LstmInputErrorKernel>(
        layer.count * input_tiles, static_cast<std::size_t>(LstmErrorTile::kSharedBytes), {layer, error_weights(*w)},
        {count * gates * layer.inputs, count * (gates + 4 * rows * layer.inputs) + 8 * units * layer.inputs});
    for (const MatmulGradientKernel::Args& args : {dx_weights, dh_weights}) {
      constexpr std::int32_t kSide = MatmulGradientKernel::kSide;
      library->launch<MatmulGradientKernel>(
          (args.outputs + kSide - 1) / kSide * args.column_tiles, MatmulGradientKernel::kSharedBytes, args,
          {count * gates * args.inputs,
           count * rows * (args.inputs + 4 * units) + std::int64_t{4} * args.outputs * args.inputs});
    }
    if (dbias == nullptr) return;
    library->launch<LstmBiasGradientKernel>(static_cast<int>((4 * units + 31) / 32),
                                            static_cast<std::size_t>(LstmBiasGradientKernel::shared_bytes(layer.count)),
                                            {layer, backward, dbias}, {0, count * gates});
  };
}

const std::vector<FusedEntry>* CudaLibrary::own_entries() const {
  static const std::vector<FusedEntry> entries{
      {{"lstm layer", forward_pattern}, LstmLayerLauncher::forward},
      {{"lstm layer backward", backward_pattern}, LstmLayerLauncher::backward},
      product_with_bias_entry(),
  };
  return &entries;
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
