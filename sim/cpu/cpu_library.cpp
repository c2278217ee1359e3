// SPDX-License-Identifier: Apache-2.0
// The fast library: memory, ranges, forward pass and everything elementwise. The backward pass of a
// convolution is in conv_backward.cpp.
#include "sim/cpu/cpu_library.h"

#include <algorithm>
#include <stdexcept>

#include "sim/cpu/isa.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/activation.h"
#include "sim/ops/bounds.h"
#include "sim/ops/norm.h"
#include "sim/ops/rescale.h"
#include "sim/reference/operations.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kChunk = 16384;  // elements that one task works on

/// out[c] = field(c), padded with zeros to whole blocks.
template <typename Field>
const float* fill(Scratch<float>& out, std::int64_t channels, const Field& field) {
  const std::int64_t lanes = lanes_for(channels);
  float* data = out.need(lanes);
  for (std::int64_t c = 0; c < lanes; ++c) data[c] = c < channels ? field(c) : 0.0F;
  return data;
}

}  // namespace

CpuLibrary::CpuLibrary(const KernelTable& kernels, int threads)
    : kernels_(kernels),
      workers_(threads),
      states_(static_cast<std::size_t>(workers_.threads())),
      partials_(static_cast<std::size_t>(workers_.threads())),
      depthwise_partials_(static_cast<std::size_t>(workers_.threads())),
      ordered_partials_(static_cast<std::size_t>(workers_.threads())),
      nodes_(kernels_, workers_, profile_),
      summed_(workers_.threads()) {}

void CpuLibrary::begin_images() {
  level(states_);
  level(partials_);
  for (auto& partials : group_partials_) level(partials);
  level(depthwise_partials_);
  level(ordered_partials_);
  for (auto& partial : partials_) partial.used = false;
  for (auto& partials : group_partials_) {
    for (auto& partial : partials) partial.used = false;
  }
  for (auto& partial : depthwise_partials_) partial.used = false;
  for (auto& partial : ordered_partials_) partial.used = false;
  for (auto& state : states_) {
    state.used = false;
    state.product.margins_of = nullptr;
  }
}

void* CpuLibrary::allocate(std::size_t bytes) {
  return reference_.allocate(bytes + 64);  // kernels may read a word past the end
}

std::unique_ptr<QuantisedWeights> CpuLibrary::make_weights(const ConvShape& shape) {
  auto weights = std::make_unique<CpuWeights>(shape, kernels_);
  const auto size = static_cast<std::size_t>(shape.weight_size());
  weights->codes = Buffer(*this, size);
  weights->affine = Buffer(*this, static_cast<std::size_t>(shape.o) * sizeof(Affine));
  weights->error_codes = Buffer(*this, size);
  weights->error_affine = Buffer(*this, static_cast<std::size_t>(shape.c) * sizeof(Affine));
  weights->magnitude = Buffer(*this, static_cast<std::size_t>(shape.o + 1) * sizeof(float));
  return weights;
}

void CpuLibrary::tensor_range(const float* x, std::int64_t size, Range* range) {
  const auto timing = profile_.time("tensor range");
  for (auto& state : states_) state.keys = {};
  workers_.chunks(size, kChunk, [&](int thread, std::int64_t begin, std::int64_t end) {
    auto& keys = states_[static_cast<std::size_t>(thread)].keys;
    kernels_.range(x + begin, end - begin, &keys.lo, &keys.hi);
  });
  KeyRange all;
  for (const auto& state : states_) include(all, state.keys);
  *range = canonical_range(all);
}

NormVectors CpuLibrary::NormTable::vectors(const NormChannel* norm, std::int64_t channels) {
  const auto at = [norm](std::int64_t c) -> const NormChannel& { return norm[c]; };
  NormVectors result;
  result.mean = fill(mean, channels, [&](std::int64_t i) { return at(i).mean; });
  result.a = fill(a, channels, [&](std::int64_t i) { return at(i).a; });
  result.beta = fill(beta, channels, [&](std::int64_t i) { return at(i).beta; });
  return result;
}

GradientRows CpuLibrary::GradientTable::rows(const ConvGradient& gradient, std::int64_t channels) {
  GradientRows rows;
  rows.channels = channels;
  if (gradient.norm == nullptr) return rows;
  rows.mean = fill(mean, channels, [&](std::int64_t i) { return gradient.norm[i].mean; });
  rows.a = fill(a, channels, [&](std::int64_t i) { return gradient.gradient[i].a; });
  rows.k = fill(k, channels, [&](std::int64_t i) { return gradient.gradient[i].k; });
  rows.c = fill(c, channels, [&](std::int64_t i) { return gradient.gradient[i].c; });
  return rows;
}

void CpuLibrary::gradient_scale(const GradientScale& args) {
  const ConvGradient& gradient = args.gradient;
  const std::int64_t positions = args.positions, channels = args.channels;
  if (gradient.norm == nullptr) {
    tensor_range(gradient.u, positions * channels, args.range);
  } else {
    const auto timing = profile_.time("gradient range");
    const GradientRows table = gradient_table_.rows(gradient, channels);
    for (auto& state : states_) state.keys = {};
    const std::int64_t grain = std::max<std::int64_t>(1, kChunk / channels);
    workers_.chunks(positions, grain, [&](int thread, std::int64_t begin, std::int64_t end) {
      auto& keys = states_[static_cast<std::size_t>(thread)].keys;
      GradientRows rows = table;
      rows.u = gradient.u + begin * channels;
      rows.y = gradient.y + begin * channels;
      rows.pixels = end - begin;
      rows.lo = &keys.lo;
      rows.hi = &keys.hi;
      kernels_.gradient_rows(rows);
    });
    KeyRange all;
    for (const auto& state : states_) include(all, state.keys);
    *args.range = canonical_range(all);
  }
  *args.affine = gradient_affine(*args.range, args.width, args.min_scale, args.zero_on_grid);
}

void CpuLibrary::write_codes(const Operand& operand, std::int64_t begin, const float* values, std::int64_t count,
                             const float* noise) const {
  QuantiseRow row;
  switch (operand.width.container()) {
    case Container::kFloat32: std::copy_n(values, count, static_cast<float*>(operand.codes) + begin); return;
    case Container::kUint32: {
      auto* codes = static_cast<std::uint32_t*>(operand.codes) + begin;
      for (std::int64_t e = 0; e < count; ++e) {
        codes[e] = quantise(values[e], *operand.affine, operand.width, noise == nullptr ? 0.0F : noise[e]);
      }
      return;
    }
    case Container::kUint16:
      row = quantise_row(*operand.affine);
      row.codes16 = static_cast<std::uint16_t*>(operand.codes) + begin;
      break;
    case Container::kUint8:
      row = quantise_row(*operand.affine);
      row.codes8 = static_cast<std::uint8_t*>(operand.codes) + begin;
      break;
  }
  row.x = values;
  row.noise = noise;
  row.count = count;
  kernels_.quantise(row);
}

template <typename Product>
void CpuLibrary::forward_coefficients(const ConvForward& args, const CpuWeights& weights, const Product& product,
                                      ProductCoefficients& to, std::int64_t first, std::int64_t channels) {
  const std::int64_t lanes = product.lanes;
  const auto* affine = weights.affine.as<Affine>() + first;
  double* a = to.a.zeroed(lanes);
  double* b = to.b.zeroed(lanes);
  double* offset = to.offset.zeroed(product.classes() * lanes);
  for (std::int64_t o = 0; o < channels; ++o) {
    const ProductScale scale = product_scale(*args.codes.affine, affine[o]);
    a[o] = scale.a;
    b[o] = scale.b;
    for (std::int64_t c = 0; c < product.classes(); ++c) {
      offset[c * lanes + o] = product_offset(*args.codes.affine, affine[o], product.weight_sums.data()[c * lanes + o],
                                             product.terms[static_cast<std::size_t>(c)]);
    }
  }
}

void CpuLibrary::prepare_ordered_forward(const ConvForward& args, const CpuWeights& weights) {
  const BitWidth x = args.codes.width, w = weights.width;
  const auto* affine = weights.affine.as<Affine>();
  const WeightCodes codes = weights.forward_codes();
  const std::int64_t size = args.shape.forward_depth();
  if (x.is_integer() && w.is_integer()) {
    weights.ordered_forward.set_integers(
        limbs_for(x.bits(), w.bits(), size), [&](std::int64_t e) { return codes[e]; },
        [&](std::int64_t o, double sum, double terms) {
          const ProductScale scale = product_scale(*args.codes.affine, affine[o]);
          return OrderedScale{scale.a, scale.b, product_offset(*args.codes.affine, affine[o], sum, terms)};
        });
  } else if (w.is_integer()) {
    weights.ordered_forward.set_floats(
        workers_, [&](std::int64_t e) { return static_cast<float>(dequantise(codes[e], affine[e / size])); });
  } else {
    const auto* values = weights.codes.as<float>();
    weights.ordered_forward.set_floats(workers_, [&](std::int64_t e) { return values[e]; });
  }
}

void CpuLibrary::conv_forward(const ConvForward& args) {
  const auto& weights = static_cast<const CpuWeights&>(*args.weights);
  const bool bytes = weights.fast_forward && products_of_bytes(kernels_, args.codes.width, weights.width,
                                                               weights.forward.limbs, args.shape.forward_depth());
  const KernelShape images(args.shape, bytes);
  const ConvShape& s = images.shape;
  const auto timing = profile_.time("convolution forward", s.macs());
  const bool words = weights.depthwise && byte_limbs(weights.width) != 0 && byte_limbs(args.codes.width) != 0;
  const auto& groups = weights.groups.forward;
  const bool grouped = !groups.empty() && products_of_bytes(kernels_, args.codes.width, weights.width,
                                                            groups.front().limbs, s.forward_depth());
  if (!bytes && !words && !grouped && s.forward_depth() > kMaxOrderedDepth) {
    const auto wide = with_wide_codes(weights);
    ConvForward plain = args;
    plain.weights = wide.get();
    reference_.conv_forward(plain);
    return;
  }
  if (bytes) {
    forward_coefficients(args, weights, weights.forward, coefficients_, 0, s.o);
  } else if (words) {
    forward_coefficients(args, weights, weights.depthwise_forward, coefficients_, 0, s.o);
  } else if (grouped) {
    if (group_coefficients_.size() < groups.size()) group_coefficients_.resize(groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      forward_coefficients(args, weights, groups[g], group_coefficients_[g],
                           static_cast<std::int64_t>(g) * s.o_per_group(), s.o_per_group());
    }
  } else {
    prepare_ordered_forward(args, weights);
  }
  const auto* affine = weights.affine.as<Affine>();
  const std::int64_t lanes = lanes_for(s.o);
  const std::int64_t out_positions = s.out_h() * s.out_w();
  const std::int64_t image_in = s.h * s.w * s.c, image_out = out_positions * s.o;
  if (args.statistics != nullptr) {
    const bool integers = args.codes.width.is_integer() && weights.width.is_integer();
    const Range range = args.input_range == nullptr ? Range{} : *args.input_range;
    const double x_bound = operand_bound(args.codes.width, *args.codes.affine, range);
    for (std::int64_t o = 0; o < s.o; ++o) {
      const double w_bound = weight_bound(weights.width, affine[o], weights.magnitude.as<float>()[o]);
      args.statistics[o] = {};
      args.statistics[o].exponent = moment_exponent(product_bound(integers, s.forward_depth(), x_bound, w_bound),
                                                    static_cast<std::uint64_t>(images.out_positions_of(0, s.n)));
    }
    fill(statistics_scale_, s.o, [&](std::int64_t o) { return power_of_two(args.statistics[o].exponent); });
  }
  begin_images();
  const NormVectors input_norm = args.input.norm == nullptr ? NormVectors{} : input_norm_.vectors(args.input.norm, s.c);

  workers_.each(s.n, [&](int thread, std::int64_t n) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    const std::int64_t chunk = positions_at_once(s.c);
    const std::int64_t positions = images.positions_of(n, n + 1);
    for (std::int64_t p = 0; p < positions; p += chunk) {
      const std::int64_t pixels = std::min(chunk, positions - p), element = n * image_in + p * s.c;
      const float* values = args.input.x + element;
      if (args.input.norm != nullptr && has_code_rows(args.codes.width, s.c)) {
        kernels_.norm_codes({values, pixels, s.c, input_norm.mean, input_norm.a, input_norm.beta,
                             code_target(*args.codes.affine, args.codes.width, args.codes.codes, element)});
        continue;
      }
      if (args.input.norm != nullptr) {
        NormRows norm;
        norm.y = values;
        norm.pixels = pixels;
        norm.channels = s.c;
        norm.norm = input_norm;
        norm.relu = true;
        norm.z = state.values.need(chunk * s.c);
        kernels_.norm_rows(norm);
        values = norm.z;
      }
      write_codes(args.codes, element, values, pixels * s.c, nullptr);
    }
    if (args.statistics != nullptr && !state.used) {
      state.used = true;
      state.s1.zeroed(lanes);
      state.s2.zeroed(lanes);
      std::fill_n(state.lo.need(lanes), lanes, INT32_MAX);
      std::fill_n(state.hi.need(lanes), lanes, INT32_MIN);
    }
    const auto done = [&](std::int64_t, std::int64_t rows, const float* y) {
      if (args.statistics == nullptr) return;
      StatisticsRow row;
      row.y = y;
      row.pixels = std::min(rows * s.out_w(), images.out_positions_of(n, n + 1));
      row.channels = row.step = s.o;
      row.scale = statistics_scale_.data();
      row.s1 = state.s1.data();
      row.s2 = state.s2.data();
      row.lo = state.lo.data();
      row.hi = state.hi.data();
      kernels_.statistics(row);
    };
    float* y = args.y + n * image_out;
    if (bytes) {
      product_image(kernels_, weights.forward, coefficients_,
                    bytes_of(kernels_, args.codes, n * image_in, positions * s.c, state.x_bytes), images.short_row(n),
                    y, state.dx, state.product, done);
    } else if (words) {
      DepthwiseProduct::Fetch fetch;
      if (s.stride == 1) fetch.images[1] = args.input.x + (n + 1) * image_in;  // the next image, of the same shape
      weights.depthwise_forward.image(kernels_, coefficients_,
                                      bytes_of(kernels_, args.codes, n * image_in, image_in, state.x_bytes), y,
                                      state.dx, state.depthwise, fetch, done);
    } else if (grouped) {
      grouped_image(kernels_, groups, group_coefficients_,
                    bytes_of(kernels_, args.codes, n * image_in, image_in, state.x_bytes), y, state.dx, state.product,
                    done);
    } else {
      weights.ordered_forward.image(kernels_, args.codes, n, y, state.dx, state.ordered, done);
    }
  });
  if (args.statistics == nullptr) return;
  for (std::int64_t o = 0; o < s.o; ++o) {
    KeyRange keys;
    for (const auto& state : states_) {
      if (!state.used) continue;
      add_wrapping(args.statistics[o].s1, state.s1.data()[o]);
      args.statistics[o].s2 += static_cast<std::uint64_t>(state.s2.data()[o]);
      include(keys, KeyRange{state.lo.data()[o], state.hi.data()[o]});
    }
    const Range extremes = canonical_range(keys);
    args.statistics[o].lo = extremes.lo;
    args.statistics[o].hi = extremes.hi;
  }
}

void CpuLibrary::conv_accumulators(const ConvAccumulators& args) {
  const auto timing = profile_.time("accumulators", args.shape.macs());
  if (args.weights == nullptr) return reference_.conv_accumulators(args);
  const auto wide = with_wide_codes(static_cast<const CpuWeights&>(*args.weights));
  ConvAccumulators plain = args;
  plain.weights = wide.get();
  reference_.conv_accumulators(plain);
}

void CpuLibrary::norm_forward(const NormForward& args) {
  const auto timing = profile_.time("batch norm forward");
  const NormVectors main = main_norm_.vectors(args.norm, args.channels);
  NormVectors shortcut;
  if (args.shortcut_norm != nullptr) shortcut = shortcut_norm_.vectors(args.shortcut_norm, args.channels);
  for (auto& state : states_) state.keys = {};
  // Whole words of the mask a chunk.
  const std::int64_t grain = std::max<std::int64_t>(32, kChunk / args.channels / 32 * 32);
  workers_.chunks(args.positions, grain, [&](int thread, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * args.channels, count = (end - begin) * args.channels;
    NormRows rows;
    rows.y = args.y + first;
    rows.pixels = end - begin;
    rows.channels = args.channels;
    rows.norm = main;
    rows.shortcut = args.shortcut == nullptr ? nullptr : args.shortcut + first;
    rows.shortcut_norm = args.shortcut_norm == nullptr ? nullptr : &shortcut;
    rows.relu = args.relu;
    rows.z = args.z + first;
    kernels_.norm_rows(rows);
    if (args.range != nullptr) {
      auto& keys = states_[static_cast<std::size_t>(thread)].keys;
      kernels_.range(rows.z, count, &keys.lo, &keys.hi);
    }
    if (args.mask_bits != nullptr) {
      kernels_.positive_bits(rows.z, count, reinterpret_cast<std::uint8_t*>(args.mask_bits) + first / 8);
    }
  });
  if (args.range == nullptr) return;
  KeyRange all;
  for (const auto& state : states_) include(all, state.keys);
  *args.range = canonical_range(all);
}

void CpuLibrary::sgd_update(const SgdUpdate& args) {
  const auto timing = profile_.time("sgd");
  if (args.non_finite != nullptr) *args.non_finite = -1;
  if (args.guard != nullptr && *args.guard >= 0) return;
  workers_.chunks(args.size, kChunk, [&](int, std::int64_t begin, std::int64_t end) {
    kernels_.sgd(args.gradient + begin, args.momentum_buffer + begin, args.parameter + begin, end - begin, args.lr,
                 args.momentum, args.weight_decay);
  });
  if (args.non_finite != nullptr) find_non_finite(args.parameter, args.size, args.non_finite);
}

void CpuLibrary::find_non_finite(const float* data, std::int64_t size, std::int64_t* position) {
  *position = -1;
  if (size != 0 && kernels_.non_finite(data, size)) reference_.find_non_finite(data, size, position);
}

void CpuLibrary::set_profiling(bool on) { profile_.set(on); }
std::vector<ProfileEntry> CpuLibrary::profile() const { return profile_.entries(); }

// What is too small to be worth a kernel is the reference's.
void CpuLibrary::load_images(const ImageBatch& args) { reference_.load_images(args); }
void CpuLibrary::activation_scale(const ActivationScale& args) { reference_.activation_scale(args); }
void CpuLibrary::norm_prepare(const NormPrepare& args) { reference_.norm_prepare(args); }
void CpuLibrary::norm_from_running(std::int64_t channels, const float* mean, const float* variance, const float* gamma,
                                   const float* beta, NormChannel* norm) {
  reference_.norm_from_running(channels, mean, variance, gamma, beta, norm);
}
void CpuLibrary::norm_gradient_prepare(const NormGradientPrepare& args) { reference_.norm_gradient_prepare(args); }

}  // namespace bitcycle::cpu

namespace bitcycle {

std::unique_ptr<KernelLibrary> make_cpu_library(Isa isa, int threads) {
  const cpu::IsaEntry* entry = cpu::isa_entry(isa);
  if (entry == nullptr || !entry->available()) {
    const char* best = cpu::isa_entry(Isa::kAuto)->name;
    throw std::invalid_argument("this machine cannot run " + isa_name(isa) + " kernels; the best that it has are " +
                                best + " (--isa " + best + ", or leave it out)");
  }
  return std::make_unique<cpu::CpuLibrary>(*entry->kernels, threads);
}

}  // namespace bitcycle
