// SPDX-License-Identifier: Apache-2.0
// Single operations: elementwise ones, copies, grids.
#include "cuda/device/nodes.h"

#include <algorithm>

#include "cuda/kernels/kernels_lstm.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

bool CudaLibrary::has_kernel(const Operation& operation) const {
  return std::visit([](const auto& op) { return NodeLauncher::has(op); }, operation);
}

void CudaLibrary::run_node(const Operation& operation, const StepMemory& memory) {
  // What is yet to come must not move before this, whose memory it may be given.
  open_products_.clear();
  open_images_ = {};
  // Weight gradients are branches: who reads one waits for it.
  each_tensor(operation, [&](const char*, Tensor tensor, bitcycle::Access access) {
    if (access == bitcycle::Access::kWrite) return;
    const void* address = memory.data<const void>(tensor);
    if (std::find(branch_results_.begin(), branch_results_.end(), address) != branch_results_.end()) {
      wait_for_branches();
    }
  });
  NodeLauncher launcher(*this, memory);
  std::visit(
      [&](const auto& op) {
        if constexpr (requires { launcher.run(op); }) {
          launcher.run(op);
        } else {
          throw std::logic_error(std::string("there is no kernel for ") + op.kName);
        }
      },
      operation);
}

GroupMap NodeLauncher::group_map(const ops::Groups& groups, Tensor of) const {
  const auto& shape = memory_.spec(of).shape;
  const std::int64_t elements = std::max<std::int64_t>(1, memory_.size(of));
  GroupMap map;
  map.by = groups.by;
  if (shape.empty()) return map;
  map.of_channel = static_cast<std::uint32_t>(std::max<std::int64_t>(1, elements / shape.front()));
  map.of_convolution = static_cast<std::uint32_t>(std::max<std::int64_t>(1, elements / groups.convolution_groups));
  map.last = static_cast<std::uint32_t>(shape.back());
  return map;
}

DeviceBound NodeLauncher::bound(Tensor tensor) const {
  if (memory_.spec(tensor).element == Element::kFloat32) return {data<const float>(tensor), nullptr};
  return {nullptr, data<const double>(tensor)};
}

void NodeLauncher::run(const ops::Add& op) {
  const std::uint32_t count = size(op.z, "add");
  launch<AddKernel>(library_.blocks(count), 0, {data<float>(op.a), data<float>(op.b), 1.0F, data<float>(op.z), count},
                    {0, std::int64_t{12} * count});
}

void NodeLauncher::run(const ops::Scale& op) {
  const std::uint32_t count = size(op.x, "scale");
  launch<AddKernel>(library_.blocks(count), 0, {data<float>(op.x), nullptr, op.factor, data<float>(op.y), count},
                    {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::AddBias& op) {
  const std::uint32_t count = size(op.x, "add bias");
  const auto channels = static_cast<std::uint32_t>(memory_.last_extent(op.x));
  launch<AddBiasKernel>(library_.blocks(count), 0,
                        {data<float>(op.x), data<float>(op.bias), data<float>(op.y), count, channels},
                        {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::Relu& op) {
  const std::uint32_t count = size(op.x, "relu");
  launch<ReluKernel>(library_.blocks(4 * std::min(count, UINT32_MAX / 4)), 0,
                     {data<float>(op.x), data<float>(op.z), data<std::uint32_t>(op.positive), count},
                     {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::ReluGradient& op) {
  const std::uint32_t count = size(op.dz, "relu gradient");
  launch<ReluGradientKernel>(library_.blocks(count), 0,
                             {data<float>(op.dz), data<std::uint32_t>(op.positive), data<float>(op.dx), count},
                             {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::AddPositions& op) {
  const std::uint32_t count = size(op.x, "add positions");
  const std::int64_t c = memory_.last_extent(op.x), period = op.time_steps * c;
  Buffer& table = library_.positions_[{op.time_steps, c, op.first}];
  if (!table) {
    table = Buffer(library_, static_cast<std::size_t>(period) * sizeof(float));
    // At once, beside the queue, which does not know the table yet: no step has it as a launch of its own.
    gpu::Launch fill;
    const auto elements = static_cast<std::uint32_t>(period);
    CudaLibrary::fill_launch<PositionsKernel>(fill, library_.blocks(elements), 0,
                                              {table.as<float>(), elements, c, op.first});
    library_.runtime_->launch(fill);
  }
  launch<AddPositionsKernel>(
      library_.blocks(count), 0,
      {data<float>(op.x), table.as<float>(), op.factor, data<float>(op.y), count, static_cast<std::uint32_t>(period)},
      {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::Dropout& op) {
  const std::uint32_t count = size(op.x, "dropout");
  launch<DropoutKernel>(library_.blocks(count), 0,
                        {data<float>(op.x), data<float>(op.y), op.rule, stream(op.seed, op.step, op.tensor_id), count},
                        {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::Quantise& op) {
  using Rounding = ops::Quantise::Rounding;
  const std::uint32_t count = size(op.x, "quantise");
  QuantiseKernel::Args args{};
  args.x = data<float>(op.x);
  args.codes = operand(op.result());
  args.groups = group_map(op.groups, op.x);
  args.stochastic = op.rounding == Rounding::kStochastic;
  if (args.stochastic) args.stream = stream(op.seed, op.step, op.tensor_id);
  args.noise = op.rounding == Rounding::kGivenNoise ? data<float>(op.noise) : nullptr;
  args.size = count;
  launch<QuantiseKernel>(library_.blocks(count), 0, args, {0, std::int64_t{5} * count});
}

void NodeLauncher::run(const ops::Dequantise& op) {
  const std::uint32_t count = size(op.values, "dequantise");
  DequantiseKernel::Args args{};
  args.codes = operand(op.x);
  args.is_signed = !op.x.width;
  args.groups = group_map(op.x.groups, op.values);
  args.values = data<float>(op.values);
  args.size = count;
  launch<DequantiseKernel>(library_.blocks(4 * std::min(count, UINT32_MAX / 4)), 0, args, {0, std::int64_t{5} * count});
}

void NodeLauncher::run(const ops::FitGrid& op) {
  const std::uint32_t groups = size(op.grid, "fit grid");
  launch<FitGridKernel>(library_.blocks(4 * groups), 0,
                        {data<Range>(op.ranges), data<BitWidth>(op.width), data<Affine>(op.grid), op.min_scale,
                         op.quantiser == kAffineWithZero, groups});
}

void NodeLauncher::run(const ops::RunningRange& op) {
  launch<RunningRangeKernel>(1, 0, {data<Range>(op.range), data<float>(op.running)});
}

void NodeLauncher::run(const ops::RunningGrid& op) {
  launch<RunningGridKernel>(1, 0,
                            {data<float>(op.running), data<BitWidth>(op.width), data<Affine>(op.grid), op.min_scale,
                             op.quantiser == kAffineWithZero});
}

void NodeLauncher::run(const ops::StepBounds& op) {
  auto* bound = data<std::uint32_t>(op.bounds);
  for (const Tensor grid : op.grids) {
    launch<StepBoundKernel>(1, StepBoundKernel::kSharedBytes, {data<Affine>(grid), size(grid, "step bounds"), bound++});
  }
}

void NodeLauncher::run(const ops::SumBound& op) {
  const DeviceBound a = bound(op.a), b = bound(op.b);
  launch<SumBoundKernel>(1, 0, {a.narrow, b.narrow, a.wide, b.wide, data<double>(op.bound)});
}

void NodeLauncher::copy(const float* from, float* to, std::int64_t count) {
  const std::uint32_t elements = CudaLibrary::elements(count, "copy");
  library_.settle();
  const auto meet = [&](const float* a, const float* b) { return a < b + count && b < a + count; };
  CudaLibrary& l = library_;
  const auto grid = [&](std::uint32_t pieces) {
    return l.blocks(CudaLibrary::elements(pieces * ((count + 3) / 4 * 4), "copy"));
  };
  if (l.used_ != 0 && !l.branches_awaited_ && l.branch_ == 0) {
    gpu::Launch& last = l.queue_[l.used_ - 1];
    if (last.branch == 0 && last.kernel == gpu::kernel_name<CopyKernel>()) {
      auto& args = l.arguments<CopyKernel>(l.used_ - 1);
      bool joins = args.size == elements && args.count < CopyKernel::kMost;
      for (std::uint32_t i = 0; i < args.count; ++i) {
        joins = joins && !meet(args.to[i], from) && !meet(args.to[i], to) && !meet(args.from[i], to);
      }
      if (joins) {
        args.from[args.count] = from;
        args.to[args.count++] = to;
        last.blocks = grid(args.count);
        last.work.bytes += 8 * count;
        return;
      }
    }
  }
  CopyKernel::Args args{};
  args.from[0] = from;
  args.to[0] = to;
  args.count = 1;
  args.size = elements;
  launch<CopyKernel>(grid(1), 0, args, {0, 8 * count});
}

void NodeLauncher::run(const ops::Slice& op) {
  const TensorSpec& x = memory_.spec(op.x);
  const std::int64_t row = x.size() / x.shape.front();
  copy(data<float>(op.x) + op.first * row, data<float>(op.y), memory_.spec(op.y).size());
}

void NodeLauncher::run(const ops::Concatenate& op) {
  auto* y = data<float>(op.y);
  for (const Tensor part : op.parts) {
    const std::int64_t count = memory_.spec(part).size();
    copy(data<float>(part), y, count);
    y += count;
  }
}

void NodeLauncher::run(const ops::Store& op) {
  copy(data<float>(op.x), data<float>(op.state), memory_.spec(op.x).size());
}

void NodeLauncher::run(const ops::LstmCell& op) {
  const std::uint32_t count = size(op.cell, "lstm cell");
  launch<LstmCellKernel>(library_.blocks(4 * count), 0,
                         {data<float>(op.x), data<float>(op.h), data<float>(op.cell), data<float>(op.gates),
                          data<float>(op.next_cell), data<float>(op.squashed), data<float>(op.output), count,
                          static_cast<std::uint32_t>(memory_.last_extent(op.cell))},
                         {0, std::int64_t{64} * count});
}

void NodeLauncher::run(const ops::LstmCellGradient& op) {
  const std::uint32_t count = size(op.cell, "lstm cell gradient");
  launch<LstmCellGradientKernel>(
      library_.blocks(4 * count), 0,
      {data<float>(op.gates), data<float>(op.cell), data<float>(op.squashed), data<float>(op.doutput),
       data<float>(op.dnext_cell), data<float>(op.dgates), data<float>(op.dcell), count,
       static_cast<std::uint32_t>(memory_.last_extent(op.cell))},
      {0, std::int64_t{52} * count});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
