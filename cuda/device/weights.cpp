// SPDX-License-Identifier: Apache-2.0
// Weights: their memory and tables, and their codes, those of all layers in three launches.
#include <algorithm>

#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_grouped_weights.h"
#include "cuda/kernels/kernels_matrix_weights.h"
#include "cuda/kernels/kernels_weights.h"
#include "cuda/products/tile_product.h"
#include "sim/ops/conv_shape.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr std::int64_t kMostKernelSize = 32;  // bits of a ClassMap's sets

/// Classes of one dimension: which taps exist at each position.
struct Classes {
  std::vector<std::int32_t> of;
  std::vector<std::uint32_t> taps;
  template <typename Exists>
  Classes(std::int64_t positions, std::int64_t kernel, Exists exists) {
    for (std::int64_t p = 0; p < positions; ++p) {
      std::uint32_t set = 0;
      for (std::int64_t k = 0; k < kernel; ++k) set |= (exists(p, k) ? 1U : 0U) << k;
      const auto found = std::find(taps.begin(), taps.end(), set);
      of.push_back(static_cast<std::int32_t>(found - taps.begin()));
      if (found == taps.end()) taps.push_back(set);
    }
  }
};

/// Rows padded to a tile of 64 columns, the reduction to 64 codes.
Packed CudaLibrary::pack(const Buffer& bytes, int limbs, std::int64_t rows, std::int64_t depth) {
  Packed packed;
  packed.bytes = const_cast<std::uint8_t*>(bytes.as<std::uint8_t>());
  packed.limbs = limbs;
  packed.rows = static_cast<std::int32_t>(rounded_up(rows, 64));
  packed.depth = static_cast<std::int32_t>(rounded_up(depth, 64));
  return packed;
}

std::unique_ptr<QuantisedWeights> CudaLibrary::make_weights(const ConvShape& shape) {
  check_shape(shape);
  geometry(shape);
  if (shape.kh > kMostKernelSize || shape.kw > kMostKernelSize) {
    throw std::invalid_argument("convolution " + shape.text() + ": the CUDA device takes kernels of at most " +
                                std::to_string(kMostKernelSize) + " x " + std::to_string(kMostKernelSize) +
                                "; use --device cpu");
  }
  auto weights = std::make_unique<CudaWeights>(shape);
  const auto bytes = [](std::int64_t count, std::size_t each) { return static_cast<std::size_t>(count) * each; };
  const std::int64_t size = shape.weight_size(), taps = shape.kh * shape.kw;
  CudaWeights& w = *weights;
  w.codes = Buffer(*this, bytes(size, sizeof(std::uint32_t)));
  w.affine = Buffer(*this, bytes(shape.o, sizeof(Affine)));
  w.error_codes = Buffer(*this, bytes(size, sizeof(std::uint32_t)));
  w.error_affine = Buffer(*this, bytes(shape.c, sizeof(Affine)));
  w.magnitude = Buffer(*this, bytes(shape.o + 1, sizeof(float)));
  w.largest_value = Buffer(*this, sizeof(std::int64_t));
  w.tap_sums = Buffer(*this, bytes(shape.o * taps, sizeof(std::int64_t)));
  w.error_tap_sums = Buffer(*this, bytes(shape.c * taps, sizeof(std::int64_t)));

  const auto exists_at_output = [&](std::int64_t inputs) {
    return [&shape, inputs](std::int64_t p, std::int64_t k) {
      const std::int64_t at = p * shape.stride - shape.padding + k;
      return at >= 0 && at < inputs;
    };
  };
  const auto exists_at_input = [&](std::int64_t outputs) {
    return [&shape, outputs](std::int64_t p, std::int64_t k) {
      const std::int64_t at = p + shape.padding - k;
      return at >= 0 && at % shape.stride == 0 && at / shape.stride < outputs;
    };
  };
  const Classes parts[4] = {Classes(shape.out_h(), shape.kh, exists_at_output(shape.h)),
                            Classes(shape.out_w(), shape.kw, exists_at_output(shape.w)),
                            Classes(shape.h, shape.kh, exists_at_input(shape.out_h())),
                            Classes(shape.w, shape.kw, exists_at_input(shape.out_w()))};
  std::vector<std::int32_t> words;
  std::size_t at[4][2];
  for (int i = 0; i < 4; ++i) {
    at[i][0] = words.size();
    words.insert(words.end(), parts[i].of.begin(), parts[i].of.end());
    at[i][1] = words.size();
    words.insert(words.end(), parts[i].taps.begin(), parts[i].taps.end());
  }
  w.maps = Buffer(*this, words.size() * sizeof(std::int32_t));
  to_device(w.maps.as<std::int32_t>(), words.data(), w.maps.bytes());
  const auto map = [&](std::size_t rows, std::size_t columns) {
    const auto* base = w.maps.as<std::int32_t>();
    ClassMap m;
    m.row_class = base + at[rows][0];
    m.row_taps = reinterpret_cast<const std::uint32_t*>(base + at[rows][1]);
    m.column_class = base + at[columns][0];
    m.column_taps = reinterpret_cast<const std::uint32_t*>(base + at[columns][1]);
    m.rows = static_cast<std::int32_t>(parts[rows].taps.size());
    m.columns = static_cast<std::int32_t>(parts[columns].taps.size());
    return m;
  };
  w.outputs = map(0, 1);
  w.inputs = map(2, 3);
  w.output_classes = std::int64_t{w.outputs.rows} * w.outputs.columns;
  w.input_classes = std::int64_t{w.inputs.rows} * w.inputs.columns;
  if (taps <= StreamedRows::kMostTaps) {
    std::vector<std::uint64_t> sets;
    for (const int first : {0, 2}) {
      for (const std::uint32_t in_rows : parts[first].taps) {
        for (const std::uint64_t in_columns : parts[first + 1].taps) {
          std::uint64_t set = 0;
          for (std::int64_t k = 0; k < shape.kh; ++k) {
            if (((in_rows >> k) & 1U) != 0) set |= in_columns << (k * shape.kw);
          }
          sets.push_back(set);
        }
      }
    }
    w.class_taps = Buffer(*this, sets.size() * sizeof(std::uint64_t));
    to_device(w.class_taps.as<std::uint64_t>(), sets.data(), w.class_taps.bytes());
    w.outputs.taps = w.class_taps.as<std::uint64_t>();
    w.inputs.taps = w.outputs.taps + w.output_classes;
  }

  if (has_depthwise_kernels(shape)) {
    w.gradient_sums = Buffer(*this, bytes(3 * taps * shape.c + 1, sizeof(std::int64_t)));
    std::vector<std::int64_t> terms;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      terms.push_back(valid_outputs(shape, tap / shape.kw, tap % shape.kw).size());
    }
    w.terms = Buffer(*this, terms.size() * sizeof(std::int64_t));
    to_device(w.terms.as<std::int64_t>(), terms.data(), w.terms.bytes());
  }
  if (packs_weights(shape)) {
    const auto packed_bytes = [&](std::int64_t rows, std::int64_t depth, int limbs) {
      return bytes(rounded_up(rows, 64) * rounded_up(depth, 64) * limbs, 1);
    };
    const auto grouped_bytes = [&](const GroupTiles& tiles, int limbs) {
      return bytes(std::int64_t{tiles.tiles()} * tiles.rows * rounded_up(taps * tiles.window, 64) * limbs, 1);
    };
    if (shape.groups == 1) {
      w.packed = Buffer(*this, packed_bytes(shape.o, shape.forward_depth(), 2));
      w.error_packed = Buffer(*this, packed_bytes(shape.c, shape.error_depth(), 3));
    } else {  // of any limbs
      std::size_t most = 0, most_of_error = 0;
      for (int limbs = 1; limbs <= 3; ++limbs) {
        const auto of_limbs = static_cast<std::size_t>(limbs - 1);
        if (of_limbs < w.forward_tiles.size()) {
          w.forward_tiles[of_limbs] = forward_tiles(shape, limbs);
          most = std::max(most, grouped_bytes(w.forward_tiles[of_limbs], limbs));
        }
        for (const bool shared : {false, true}) {
          w.error_tiles_of[shared ? 1 : 0][of_limbs] = error_tiles(shape, limbs, shared);
          most_of_error = std::max(most_of_error, grouped_bytes(w.error_tiles_of[shared ? 1 : 0][of_limbs], limbs));
        }
      }
      w.packed = Buffer(*this, most);
      w.error_packed = Buffer(*this, most_of_error);
    }
    w.scale = Buffer(*this, bytes(shape.o, sizeof(ChannelScale)));
    w.offset = Buffer(*this, bytes(w.output_classes * shape.o, sizeof(double)));
    w.error_scale = Buffer(*this, bytes(shape.c, sizeof(ChannelScale)));
    w.error_offset = Buffer(*this, bytes(w.input_classes * shape.c, sizeof(double)));
    const std::int64_t sums = WeightGradientSums::size(shape);
    elements(sums, "weight gradient");
    w.gradient_sums = Buffer(*this, bytes(sums + 1, sizeof(std::int64_t)));
    std::vector<std::int64_t> terms;
    for (std::int64_t tap = 0; tap < taps; ++tap)
      terms.push_back(valid_outputs(shape, tap / shape.kw, tap % shape.kw).size());
    w.terms = Buffer(*this, terms.size() * sizeof(std::int64_t));
    to_device(w.terms.as<std::int64_t>(), terms.data(), w.terms.bytes());
    if (taps <= StreamedRows::kMostTaps && shape.out_h() * shape.out_w() <= kMostPositions) {
      const std::int64_t positions = shape.out_h() * shape.out_w();
      std::vector<std::uint8_t> existence(static_cast<std::size_t>(rounded_up(taps, 16) * positions));
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const std::int64_t dh = tap / shape.kw - shape.padding, dw = tap % shape.kw - shape.padding;
        for (std::int64_t p = 0; p < positions; ++p) {
          const std::int64_t h = p / shape.out_w() * shape.stride + dh, v = p % shape.out_w() * shape.stride + dw;
          existence[static_cast<std::size_t>((tap / 16 * positions + p) * 16 + tap % 16)] =
              h >= 0 && h < shape.h && v >= 0 && v < shape.w ? 1 : 0;
        }
      }
      w.existence = Buffer(*this, std::max<std::size_t>(existence.size(), 1));
      to_device(w.existence.as<std::uint8_t>(), existence.data(), existence.size());
    }
  }
  w.keys = Buffer(*this, bytes(2 * shape.o, sizeof(std::int32_t)));
  return weights;
}

void CudaLibrary::quantise_weights(const QuantiseWeights& args, QuantisedWeights& weights) {
  auto& w = static_cast<CudaWeights&>(weights);
  const ConvShape& s = w.shape;
  if (scale_ || norm_gradient_) settle();
  w.width = args.width;
  w.width_record = args.width_record;
  w.error_weights = args.error_weights;
  w.error_grid_bits = args.error_grid_bits;
  const bool packs = packs_weights(s), narrow = args.width.is_narrow() && packs;
  const bool shared_grid = args.error_weights == ErrorWeights::kShared;
  const bool error = args.for_error_pass && args.width.is_integer();
  const int forward_limbs = narrow ? limbs_of(args.width) : 0;
  const int error_limbs = !packs || !(shared_grid || narrow) ? 0
                          : shared_grid                      ? args.error_grid_bits / 8
                                                             : limbs_of(args.width);
  if (s.groups == 1) {
    w.forward_pack = pack(w.packed, forward_limbs, s.o, s.forward_depth());
    if (error) w.error_pack = pack(w.error_packed, error_limbs, s.c, s.error_depth());
  } else {
    const auto pack_tiles = [&](const Buffer& bytes, int limbs, const GroupTiles& tiles) {
      Packed packed = pack(bytes, limbs, 0, s.kh * s.kw * tiles.window);
      packed.rows = tiles.tiles() * tiles.rows;
      return packed;
    };
    w.tiles = w.forward_tiles[static_cast<std::size_t>(std::max(1, forward_limbs) - 1)];
    w.forward_pack = pack_tiles(w.packed, forward_limbs, w.tiles);
    if (error) {
      w.error_tiles = w.error_tiles_of[shared_grid ? 1 : 0][static_cast<std::size_t>(std::max(1, error_limbs) - 1)];
      w.error_pack = pack_tiles(w.error_packed, error_limbs, w.error_tiles);
    }
  }
  WeightsJob job;
  job.master = args.master;
  job.width = {args.width, args.width_record};
  job.min_scale = args.min_scale;
  job.s = geometry(s);
  job.codes = w.codes.as<std::uint32_t>();
  job.affine = w.affine.as<Affine>();
  job.magnitude = w.magnitude.as<float>();
  job.largest_value = w.largest_value.as<std::int64_t>();
  job.tap_sums = w.tap_sums.as<std::int64_t>();
  (s.groups == 1 ? job.packed : job.grouped) = w.forward_pack;
  job.tiles = w.tiles;
  job.step_bound = args.step_bound;
  job.shared_grid = shared_grid;
  job.grid_bits = args.error_grid_bits;
  job.error_codes = w.error_codes.as<std::uint32_t>();
  job.error_affine = w.error_affine.as<Affine>();
  job.error_tap_sums = w.error_tap_sums.as<std::int64_t>();
  (s.groups == 1 ? job.error_packed : job.error_grouped) = w.error_pack;
  job.error_tiles = w.error_tiles;
  jobs_.push_back(gpu::without_padding(job));  // tables are compared by their bytes
  error_jobs_.push_back(error);
}

/// The weights that came since are a group: a few launches, a branch of their own, tables in device memory that are
/// uploaded where they changed (a width, mostly).
void CudaLibrary::close_weights() {
  if (jobs_.empty()) return;
  blocks_.clear();
  // Matrices whose error pass has the forward codes on one grid are made in tiles, all others channel by channel.
  const auto is_matrix = [&](std::size_t j) {
    const WeightsJob& job = jobs_[j];
    return job.s.kh * job.s.kw == 1 && job.s.groups == 1 && job.shared_grid && error_jobs_[j];
  };
  enum Part : std::size_t { kForward, kMatrix, kError, kTiles, kGroups, kErrorGroups, kParts };
  std::array<std::size_t, kParts> counts{};
  for (std::size_t part = 0; part < kParts; ++part) {
    const std::size_t before = blocks_.size();
    const bool error = part == kError || part == kTiles || part == kErrorGroups;
    const bool matrices = part == kMatrix || part == kTiles;
    const auto blocks_of = [&](const WeightsJob& job) {
      if (part == kGroups) return job.grouped.limbs == 0 ? 0 : job.grouped.rows;
      if (part == kErrorGroups) return job.error_grouped.limbs == 0 ? 0 : job.error_grouped.rows;
      return part == kTiles ? QuantiseErrorTilesKernel::tiles(job.s.c, job.s.o) : error ? job.s.c : job.s.o;
    };
    for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
      if ((error && !error_jobs_[j]) || is_matrix(j) != matrices) continue;
      const std::int32_t channels = blocks_of(jobs_[j]);
      for (std::int32_t c = 0; c < channels; ++c) blocks_.push_back({j, static_cast<std::uint32_t>(c)});
    }
    counts[part] = blocks_.size() - before;
  }
  if (weight_groups_ == weights_.size()) weights_.emplace_back();
  WeightGroup& group = weights_[weight_groups_++];
  const auto update = [&](auto& known, const auto& now, Buffer& device) {
    const std::size_t bytes = now.size() * sizeof(now[0]);
    if (known.size() == now.size() && std::memcmp(known.data(), now.data(), bytes) == 0) return;
    known = now;
    if (device.bytes() < bytes) {
      retired_.push_back(std::move(device));  // launches that wait or run may read it
      device = Buffer(*this, bytes);
    }
    runtime_->to_device(device.template as<void>(), now.data(), bytes);
  };
  update(group.jobs, jobs_, group.device_jobs);
  update(group.blocks, blocks_, group.device_blocks);
  const WeightsTable table{group.device_jobs.as<WeightsJob>(), group.device_blocks.as<WeightsBlock>(),
                           static_cast<std::uint32_t>(jobs_.size())};
  std::array<WeightsTable, kParts> parts;
  parts.fill(table);
  for (std::size_t part = 1; part < kParts; ++part) parts[part].blocks = parts[part - 1].blocks + counts[part - 1];
  jobs_.clear();
  error_jobs_.clear();
  const int outer = branch_;
  branch_ = ++branches_;
  push<ResetWeightsKernel>(1, 0, {table});
  const auto push_part = [&](auto kernel, Part part) {
    using Kernel = typename decltype(kernel)::type;
    if (counts[part] != 0) push<Kernel>(static_cast<int>(counts[part]), Kernel::kSharedBytes, {parts[part]});
  };
  push_part(std::type_identity<QuantiseWeightsKernel>{}, kForward);
  push_part(std::type_identity<QuantiseMatrixKernel>{}, kMatrix);
  push_part(std::type_identity<QuantiseErrorWeightsKernel>{}, kError);
  push_part(std::type_identity<QuantiseErrorTilesKernel>{}, kTiles);
  for (const Part part : {kGroups, kErrorGroups}) {
    if (counts[part] != 0) {
      push<PackGroupsKernel>(static_cast<int>(counts[part]), 0, {parts[part], part == kErrorGroups});
    }
  }
  branch_ = outer;
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
