// SPDX-License-Identifier: Apache-2.0
// Elementwise operations of language models, an operation of a program each (sim/ops): a thread takes four neighbouring
// elements at a time.
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/number/philox.h"
#include "sim/ops/activation.h"
#include "sim/ops/dropout.h"
#include "sim/ops/groups.h"
#include "sim/ops/norm.h"
#include "sim/ops/positions.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// z = fl(a + b). Null b: a copy, or fl(a * factor).
struct AddKernel {
  static constexpr const char* kName = "add";
  static constexpr int kThreads = 256;
  struct Args {
    const float *a, *b;
    float factor;
    float* z;
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad x = load_quad(a.a, e, a.size);
      if (a.b != nullptr) {
        const Quad y = load_quad(a.b, e, a.size);
        for (int j = 0; j < 4; ++j) x.v[j] = x.v[j] + y.v[j];
      } else {
        for (int j = 0; j < 4; ++j) x.v[j] = x.v[j] * a.factor;
      }
      store_quad(a.z, e, a.size, x);
    }
  }
};

/// Pieces of equal size to other places, bit for bit: slices, parts that are put side by side, copies of state.
struct CopyKernel {
  static constexpr const char* kName = "copy";
  static constexpr int kThreads = 256;
  static constexpr std::uint32_t kMost = 40;
  struct Args {
    const float* from[kMost];
    float* to[kMost];
    std::uint32_t count, size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const std::uint32_t quads = (a.size + 3) / 4;
    for (std::uint32_t i = first_element(); i < quads * a.count; i += grid_threads()) {
      const std::uint32_t piece = i / quads, e = 4 * (i % quads);
      store_quad(a.to[piece], e, a.size, load_quad(a.from[piece], e, a.size));
    }
  }
};

/// y = fl(x + bias), a bias a channel.
struct AddBiasKernel {
  static constexpr const char* kName = "add bias";
  static constexpr int kThreads = 256;
  struct Args {
    const float *x, *bias;
    float* y;
    std::uint32_t size, channels;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    ChannelCursor cursor(4 * first_element() % a.channels, 4 * grid_threads(), a.channels);
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads(), cursor.next()) {
      Quad x = load_quad(a.x, e, a.size);
      for (int j = 0; j < 4; ++j) x.v[j] = x.v[j] + global_load(a.bias + cursor.of(j));
      store_quad(a.y, e, a.size, x);
    }
  }
};

/// z = x > 0 ? x : +0, and the bits of the elements that were; a thread 32 elements where there are bits.
struct ReluKernel {
  static constexpr const char* kName = "relu";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    float* z;
    std::uint32_t* positive;  // may be null
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    // A warp takes 32 neighbours, so that a ballot is a word of bits.
    const std::uint32_t rounds = (a.size + 31) / 32 * 32;
    for (std::uint32_t e = first_element(); e < rounds; e += grid_threads()) {
      const float z = e < a.size ? relu(global_load(a.x + e)) : 0.0F;
      if (e < a.size) global_store(a.z + e, z);
      const std::uint32_t bits = ballot(kAllLanes, z > 0.0F);
      if (a.positive != nullptr && lane_index() == 0) global_store(a.positive + e / 32, bits);
    }
  }
};

struct ReluGradientKernel {
  static constexpr const char* kName = "relu gradient";
  static constexpr int kThreads = 256;
  struct Args {
    const float* dz;
    const std::uint32_t* positive;
    float* dx;
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad dz = load_quad(a.dz, e, a.size);
      const std::uint32_t bits = global_load(a.positive + e / 32) >> (e % 32);
      for (int j = 0; j < 4; ++j) dz.v[j] = ((bits >> j) & 1U) != 0 ? dz.v[j] : 0.0F;
      store_quad(a.dx, e, a.size, dz);
    }
  }
};

/// y = fl(fl(x * factor) + p(t, i)); the positions are a table.
struct AddPositionsKernel {
  static constexpr const char* kName = "add positions";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    const float* positions;  // (time steps * c)
    float factor;
    float* y;
    std::uint32_t size, period;  // time steps * c
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad x = load_quad(a.x, e, a.size);
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
        const float scaled = x.v[j] * a.factor;
        x.v[j] = scaled + global_load(a.positions + (e + j) % a.period);
      }
      store_quad(a.y, e, a.size, x);
    }
  }
};

/// The table of positions, once for a run.
struct PositionsKernel {
  static constexpr const char* kName = "positions";
  static constexpr int kThreads = 128;
  struct Args {
    float* positions;
    std::uint32_t size;
    std::int64_t channels, first;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      global_store(a.positions + e, position_value(e / a.channels + a.first, e % a.channels, a.channels));
    }
  }
};

/// What a step's number is in device memory, and a stream of its random numbers.
struct StepStream {
  std::uint64_t seed = 0;
  const std::uint32_t* step = nullptr;
  std::uint32_t tensor_id = 0;
  BITCYCLE_DEVICE PhiloxStream of(RandomPurpose purpose) const {
    return philox_stream(seed, global_load(step), purpose, tensor_id);
  }
};

struct DropoutKernel {
  static constexpr const char* kName = "dropout";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    float* y;
    DropoutRule rule;
    StepStream stream;
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const PhiloxStream stream = a.stream.of(kDropoutPurpose);
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      Quad x = load_quad(a.x, e, a.size);
      const PhiloxBlock block = philox_block(stream, e / 4);
      for (int j = 0; j < 4; ++j) x.v[j] = dropout_value(x.v[j], block.word[j], a.rule);
      store_quad(a.y, e, a.size, x);
    }
  }
};

/// Which element has which group's grid, without a division where there is one group.
struct GroupMap {
  ops::Groups::By by = ops::Groups::By::kTensor;
  std::uint32_t of_channel = 1;      // elements of an output channel
  std::uint32_t of_convolution = 1;  // elements of a group of the convolution
  std::uint32_t last = 1;            // last extent
  BITCYCLE_DEVICE std::uint32_t of(std::uint32_t e) const {
    switch (by) {
      case ops::Groups::By::kOutputChannel: return e / of_channel;
      case ops::Groups::By::kInputChannel: return e / of_convolution * last + e % last;
      default: return 0;
    }
  }
};

/// Codes, nearest, with the noise of a stream, or with given noise.
struct QuantiseKernel {
  static constexpr const char* kName = "quantise";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    Operand codes;  // affine: of every group
    GroupMap groups;
    bool stochastic;
    StepStream stream;
    const float* noise;  // given, or null
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Operand codes = with_recorded_width(a.codes);
    const PhiloxStream stream = a.stochastic ? a.stream.of(RandomPurpose::kGradientRounding) : PhiloxStream{};
    Affine affine = *codes.affine;
    for (std::uint32_t e = 4 * first_element(); e < a.size; e += 4 * grid_threads()) {
      const Quad x = load_quad(a.x, e, a.size);
      Quad noise{};
      if (a.stochastic) {
        const PhiloxBlock block = philox_block(stream, e / 4);
        for (int j = 0; j < 4; ++j) noise.v[j] = rounding_noise(block.word[j]);
      } else if (a.noise != nullptr) {
        noise = load_quad(a.noise, e, a.size);
      }
      if (a.groups.by == ops::Groups::By::kTensor) {
        store_codes(codes, affine, e, a.size, x, noise);
        continue;
      }
      for (std::uint32_t j = 0; j < 4 && e + j < a.size; ++j) {
        affine = codes.affine[a.groups.of(e + j)];
        store_codes(codes, affine, e + j, e + j + 1, {{x.v[j], 0.0F, 0.0F, 0.0F}}, {{noise.v[j], 0.0F, 0.0F, 0.0F}});
      }
    }
  }
};

/// Values of codes: fl(fma64(step, q, lo)).
struct DequantiseKernel {
  static constexpr const char* kName = "dequantise";
  static constexpr int kThreads = 256;
  struct Args {
    Operand codes;
    bool is_signed;  // int32 codes
    GroupMap groups;
    float* values;
    std::uint32_t size;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const Operand codes = with_recorded_width(a.codes);
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const Affine& affine = codes.affine[a.groups.of(e)];
      const double code = a.is_signed
                              ? static_cast<double>(global_load(static_cast<const std::int32_t*>(codes.codes) + e))
                              : static_cast<double>(load_code(codes.codes, codes.width.container(), e));
      global_store(a.values + e, static_cast<float>(fma(affine.step, code, affine.lo)));
    }
  }
};

/// Grids of groups from their ranges.
struct FitGridKernel {
  static constexpr const char* kName = "fit grid";
  static constexpr int kThreads = 128;
  struct Args {
    const Range* ranges;
    const BitWidth* width;
    Affine* grid;
    MinScale min_scale;
    bool zero_on_grid;
    std::uint32_t groups;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t g = first_element(); g < a.groups; g += grid_threads()) {
      a.grid[g] = gradient_affine(a.ranges[g], *a.width, a.min_scale, a.zero_on_grid);
    }
  }
};

/// The grid of a running range, which an evaluation takes as it is.
struct RunningGridKernel {
  static constexpr const char* kName = "running grid";
  static constexpr int kThreads = 32;
  struct Args {
    const float* running;  // zero point and range
    const BitWidth* width;
    Affine* grid;
    MinScale min_scale;
    bool zero_on_grid;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() != 0) return;
    const float zero_point = global_load(a.running), range = global_load(a.running + 1);
    *a.grid = a.zero_on_grid
                  ? affine_with_zero_of({zero_point, zero_point + range}, *a.width, a.min_scale)
                  : affine_of(static_cast<double>(zero_point), static_cast<double>(range), *a.width, a.min_scale);
  }
};

/// A running range that moves, alone.
struct RunningRangeKernel {
  static constexpr const char* kName = "running range";
  static constexpr int kThreads = 32;
  struct Args {
    const Range* range;
    float* running;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() == 0) update_running_range(a.running, *a.range);
  }
};

/// 1 where the step of any group is min_scale.
struct StepBoundKernel {
  static constexpr const char* kName = "step bounds";
  static constexpr int kThreads = 256;
  static constexpr int kSharedBytes = 16;
  struct Args {
    const Affine* grid;
    std::uint32_t groups;
    std::uint32_t* bound;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* any = shared_memory<std::int32_t>(0);
    if (thread_index() == 0) shared_store(any, 0);
    sync_threads();
    for (auto g = static_cast<std::uint32_t>(thread_index()); g < a.groups; g += kThreads) {
      if (a.grid[g].step_bound != 0) atomic_max(any, 1);
    }
    sync_threads();
    if (thread_index() == 0) global_store(a.bound, static_cast<std::uint32_t>(shared_load(any)));
  }
};

/// fl64(a + b), of bounds of either element type.
struct SumBoundKernel {
  static constexpr const char* kName = "sum bound";
  static constexpr int kThreads = 32;
  struct Args {
    const float *a32, *b32;  // null: the other one
    const double *a64, *b64;
    double* bound;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() != 0) return;
    const double x = a.a32 != nullptr ? static_cast<double>(global_load(a.a32)) : global_load(a.a64);
    const double y = a.b32 != nullptr ? static_cast<double>(global_load(a.b32)) : global_load(a.b64);
    global_store(a.bound, x + y);
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
