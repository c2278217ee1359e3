// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/summed_gradient.h"

#include <algorithm>

#include "sim/cpu/cpu_library.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kOutputs = 2 * kLanes;  // of one task
constexpr std::int64_t kTilePositions = 64;    // that one tile multiplies
constexpr std::int64_t kMostRows = 4096;       // of one use
constexpr std::uint8_t kNothing[kTilePositions] = {};

const std::uint8_t* codes_of(const Operand& operand) { return static_cast<const std::uint8_t*>(operand.codes); }

}  // namespace

bool SummedGradientKernel::takes(const SummedGradient& args) {
  const ConvShape& s = args.shape;
  const auto in_bytes = [](const Operand& operand) { return operand.width.container() == Container::kUint8; };
  return s.h * s.w == 1 && s.kh * s.kw == 1 && s.groups == 1 && s.n <= kMostRows && in_bytes(args.uses.front().x) &&
         in_bytes(args.uses.front().g);
}

void SummedGradientKernel::arrange_x(const KernelTable& kernels, const Layout& of, const SummedGradient::Use& use,
                                     char* out, double* rest) const {
  const std::uint8_t* codes = codes_of(use.x);
  if (kernels.tiles) {
    std::vector<std::uint8_t> nothing(static_cast<std::size_t>(of.x_lanes), 128);
    for (std::int64_t step = 0; step < of.steps; ++step) {
      const std::uint8_t* pixels[kTilePositions];
      for (std::int64_t k = 0; k < kTilePositions; ++k) {
        const std::int64_t row = step * kTilePositions + k;
        pixels[k] = row < of.rows ? codes + row * of.c : nothing.data();
      }
      kernels.stage_x_positions({pixels, of.c, out + step * kTilePositions, of.x_plane});
    }
  } else {
    StagePixels stage;
    stage.row = codes;
    stage.pixels = stage.count = of.rows;
    stage.pixel_step = stage.channels = of.c;
    stage.lanes = of.x_lanes;
    stage.offset_binary = true;
    stage.out = out;
    kernels.stage_pixels(stage);
  }
  const WeightGradientScale scale = weight_gradient_scale(*use.g.affine, *use.x.affine);
  for (std::int64_t i = 0; i < of.c; ++i) {
    std::int64_t sum = 0;
    for (std::int64_t r = 0; r < of.rows; ++r) sum += codes[r * of.c + i];
    rest[i] = weight_gradient_rest(scale, static_cast<double>(sum), static_cast<double>(of.rows));
  }
}

void SummedGradientKernel::arrange_g(const KernelTable& kernels, const Layout& of, const SummedGradient::Use& use,
                                     std::int64_t first, std::int64_t lanes, char* out) const {
  const std::uint8_t* codes = codes_of(use.g) + first;
  if (kernels.tiles) {
    for (std::int64_t step = 0; step < of.steps; ++step) {
      const std::uint8_t* pixels[kTilePositions];
      for (std::int64_t k = 0; k < kTilePositions; ++k) {
        const std::int64_t row = step * kTilePositions + k;
        pixels[k] = row < of.rows ? codes + row * of.o : kNothing;
      }
      kernels.stage_g_positions({pixels, lanes, out + step * kTilePositions * kOutputs, kOutputs});
    }
    return;
  }
  StagePixels stage;
  stage.row = codes;
  stage.pixels = stage.count = of.rows;
  stage.pixel_step = of.o;
  stage.channels = lanes;
  stage.lanes = kOutputs;
  stage.out = out;
  kernels.stage_pixels(stage);
}

void SummedGradientKernel::run(const KernelTable& kernels, Workers& workers, const SummedGradient& args) {
  Layout of;
  of.rows = args.shape.n;
  of.c = args.shape.c;
  of.o = args.shape.o;
  if (kernels.tiles) {
    of.x_lanes = lanes_for(of.c);
    of.steps = (of.rows + kTilePositions - 1) / kTilePositions;
    of.x_plane = (of.steps | 1) * kTilePositions;  // an odd number of cache lines: lanes fall into different sets
    of.x_bytes = of.x_lanes * of.x_plane;
  } else {
    of.x_lanes = (of.c + 3) / 4 * 4;
    of.steps = (of.rows + kernels.group - 1) / kernels.group;
    of.x_bytes = of.steps * of.x_lanes * 4;
  }
  const auto uses = static_cast<std::int64_t>(args.uses.size());
  char* x = x_.need(uses * of.x_bytes);
  double* rest = rest_.need(uses * of.x_lanes);
  workers.each(uses, [&](int, std::int64_t t) {
    arrange_x(kernels, of, args.uses[static_cast<std::size_t>(t)], x + t * of.x_bytes, rest + t * of.x_lanes);
  });
  level(own_);
  workers.chunks(of.o, kOutputs, [&](int thread, std::int64_t first, std::int64_t end) {
    Own& own = own_[static_cast<std::size_t>(thread)];
    const std::int64_t lanes = end - first, block = of.x_lanes * kLanes;
    char* g = own.g.need(of.steps * (kernels.tiles ? kTilePositions * kOutputs : kOutputs * 4));
    std::int32_t* sums = own.sums.need(2 * block);
    float* totals = own.totals.need(2 * block);
    for (std::int64_t t = 0; t < uses; ++t) {
      const SummedGradient::Use& use = args.uses[static_cast<std::size_t>(t)];
      arrange_g(kernels, of, use, first, lanes, g);
      TapGradient tap;
      tap.x = x + t * of.x_bytes;
      tap.x_plane = of.x_plane;
      tap.g = g;
      tap.images = tap.rows = 1;
      tap.steps = of.steps;
      tap.x_lanes = of.x_lanes;
      tap.g_lanes = kOutputs;
      tap.fresh = kernels.tiles;
      tap.sums = sums;
      if (!tap.fresh) std::fill_n(sums, 2 * block, 0);
      kernels.tap_gradient(tap);
      const WeightGradientScale scale = weight_gradient_scale(*use.g.affine, *use.x.affine);
      for (std::int64_t b = 0; b < 2 && b * kLanes < lanes; ++b) {
        double of_g[kLanes] = {};
        for (std::int64_t lane = 0; lane < std::min(kLanes, lanes - b * kLanes); ++lane) {
          const std::uint8_t* codes = codes_of(use.g) + first + b * kLanes + lane;
          std::int64_t sum = 0;
          for (std::int64_t r = 0; r < of.rows; ++r) sum += codes[r * of.o];
          of_g[lane] = static_cast<double>(sum);
        }
        GradientAddend addend;
        addend.sums = sums + b * block;
        addend.channels = of.c;
        addend.g_sums = of_g;
        addend.a = scale.a;
        addend.b = scale.b;
        addend.rest = rest + t * of.x_lanes;
        addend.is_first = t == 0;
        addend.totals = totals + b * block;
        kernels.language.add_gradient(addend);
      }
    }
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const float* from = totals + lane / kLanes * block + lane % kLanes;
      float* to = args.dw + (first + lane) * of.c;
      for (std::int64_t i = 0; i < of.c; ++i) to[i] = from[i * kLanes];
    }
  });
}

void CpuLibrary::summed_gradient(const SummedGradient& args) {
  const auto uses = static_cast<std::int64_t>(args.uses.size());
  if (SummedGradientKernel::takes(args)) {
    const auto timing = profile_.time("summed gradient", uses * args.shape.macs());
    return summed_.run(kernels_, workers_, args);
  }
  // Wider codes: the gradients one by one.
  const std::int64_t size = args.shape.weight_size();
  float* next = next_gradient_.need(size);
  for (const SummedGradient::Use& use : args.uses) {
    const bool is_first = &use == &args.uses.front();
    ConvBackward one;
    one.x = use.x;
    one.g = use.g;
    one.weights = args.weights;
    one.shape = args.shape;
    one.dw = is_first ? args.dw : next;
    conv_backward(one);  // no gradient: the codes are there
    if (is_first) continue;
    const auto timing = profile_.time("summed gradient");
    workers_.chunks(size, std::int64_t{1} << 14, [&](int, std::int64_t begin, std::int64_t end) {
      kernels_.language.add(args.dw + begin, next + begin, end - begin, args.dw + begin);
    });
  }
}

}  // namespace bitcycle::cpu
