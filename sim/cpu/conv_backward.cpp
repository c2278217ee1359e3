// SPDX-License-Identifier: Apache-2.0
// The backward pass of a convolution, image by image: gradient codes, weight gradient, error pass, sum of gradients;
// and sums that follow a pool. What is between them stays in the cache.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "sim/cpu/cpu_library.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/bounds.h"
#include "sim/ops/norm.h"
#include "sim/ops/rescale.h"

namespace bitcycle::cpu {

void CpuLibrary::begin_thread(ThreadState& state, std::int64_t channels) {
  if (state.used) return;
  state.used = true;
  state.magnitude = state.dx_magnitude = 0;
  for (int i = 0; i < summed_norms_; ++i) {
    state.s_u[i].zeroed(lanes_for(channels));
    state.s_ut[i].zeroed(lanes_for(channels));
  }
}

void CpuLibrary::prepare_gradient_sum(const GradientSum& gradient_sum, double bound, std::int64_t positions,
                                      std::int64_t channels) {
  summed_norms_ = 0;
  const double u_bound = gradient_sum_bound(bound, gradient_sum.other == nullptr ? nullptr : gradient_sum.other_bound);
  for (const auto& norm : gradient_sum.norm) {
    if (norm.sums == nullptr) continue;
    const int i = summed_norms_++;
    NormGradientSums* grid = norm_sums_grid_[i].need(channels);
    float* scale = norm_sums_scale_[i].zeroed(lanes_for(channels));
    float* mean = norm_sums_mean_[i].zeroed(lanes_for(channels));
    for (std::int64_t c = 0; c < channels; ++c) {
      grid[c] = norm_gradient_grid(u_bound, norm.channels[c], static_cast<std::uint64_t>(positions));
      scale[c] = power_of_two(grid[c].exponent_ut);
      mean[c] = norm.channels[c].mean;
      norm_sums_scale_u_ = power_of_two(grid[c].exponent_u);
    }
  }
  if (gradient_sum.mask_y != nullptr) mask_norm_.vectors(gradient_sum.mask_norm, channels);
}

void CpuLibrary::sum_gradients_of_pixels(const GradientSum& gradient_sum, const float* first, std::int64_t begin,
                                         std::int64_t pixels, ThreadState& state, bool fetched) {
  GradientSumRows rows;
  rows.fetched = fetched;
  rows.channels = gradient_sum_channels_;
  rows.pixels = pixels;
  const std::int64_t element = begin * rows.channels;
  rows.first = first;
  rows.second = gradient_sum.other == nullptr ? nullptr : gradient_sum.other + element;
  if (gradient_sum.mask_bits != nullptr) {
    rows.mask_bits = reinterpret_cast<const std::uint8_t*>(gradient_sum.mask_bits);
    rows.mask_begin = element;
  } else if (gradient_sum.mask_y != nullptr) {
    rows.mask_y = gradient_sum.mask_y + element;
    rows.mask_norm = {mask_norm_.mean.data(), mask_norm_.a.data(), mask_norm_.beta.data()};
  }
  rows.u = gradient_sum.u + element;
  rows.magnitude = &state.magnitude;
  for (const auto& norm : gradient_sum.norm) {
    if (norm.sums == nullptr) continue;
    const int i = rows.norms++;
    rows.norm[i] = {norm.y + element,   norm_sums_mean_[i].data(), norm_sums_scale_[i].data(),
                    norm_sums_scale_u_, state.s_u[i].data(),       state.s_ut[i].data()};
    if (i == 0) rows.own_mask = norm.y == gradient_sum.mask_y && norm.channels == gradient_sum.mask_norm;
  }
  kernels_.sum_gradients(rows);
}

void CpuLibrary::finish_gradient_sum(const GradientSum& gradient_sum, std::int64_t channels) {
  std::int32_t magnitude = 0;
  int i = 0;
  for (const auto& norm : gradient_sum.norm) {
    if (norm.sums == nullptr) continue;
    for (std::int64_t c = 0; c < channels; ++c) {
      NormGradientSums sums = norm_sums_grid_[i].data()[c];
      for (const auto& state : states_) {
        if (!state.used) continue;
        add_wrapping(sums.s_u, state.s_u[i].data()[c]);
        add_wrapping(sums.s_ut, state.s_ut[i].data()[c]);
      }
      norm.sums[c] = sums;
    }
    ++i;
  }
  for (const auto& state : states_) {
    if (state.used) magnitude = std::max(magnitude, state.magnitude);
  }
  if (gradient_sum.u_bound != nullptr) *gradient_sum.u_bound = float_of_bits(magnitude);
}

double CpuLibrary::error_weight_bound(const QuantisedWeights& weights) const {
  if (weights.width.is_float32()) return static_cast<double>(weights.magnitude.as<float>()[weights.shape.o]);
  const auto* affine = weights.error_affine.as<Affine>();
  if (weights.error_weights == ErrorWeights::kShared) return shared_weight_bound(affine->step, weights.error_grid_bits);
  double bound = 0.0;
  for (std::int64_t i = 0; i < weights.shape.c; ++i) bound = std::max(bound, code_bound(affine[i]));
  return bound;
}

template <typename Product>
void CpuLibrary::error_coefficients(const ConvBackward& args, const CpuWeights& weights, const Product& product,
                                    ProductCoefficients& to, std::int64_t first, std::int64_t channels) {
  const std::int64_t lanes = product.lanes;
  double* a = to.a.zeroed(lanes);
  double* b = to.b.zeroed(lanes);
  double* offset = to.offset.zeroed(product.classes() * lanes);
  const bool shared = weights.error_weights == ErrorWeights::kShared;
  const auto* affine = weights.error_affine.as<Affine>() + (shared ? 0 : first);
  for (std::int64_t i = 0; i < channels; ++i) {
    const ProductScale scale = shared ? ProductScale{shared_scale(*args.g.affine, affine->step), 0.0}
                                      : product_scale(*args.g.affine, affine[i]);
    a[i] = scale.a;
    b[i] = scale.b;
    for (std::int64_t c = 0; c < product.classes(); ++c) {
      const double sum = product.weight_sums.data()[c * lanes + i];
      offset[c * lanes + i] =
          shared ? shared_offset(*args.g.affine, affine->step, sum)
                 : product_offset(*args.g.affine, affine[i], sum, product.terms[static_cast<std::size_t>(c)]);
    }
  }
}

void CpuLibrary::prepare_ordered_error(const ConvBackward& args, const CpuWeights& weights) {
  const ConvShape& s = args.shape;
  const BitWidth g = args.g.width, w = weights.width;
  const auto* affine = weights.error_affine.as<Affine>();
  const bool shared = weights.error_weights == ErrorWeights::kShared;
  const WeightCodes codes = weights.codes_of_error_pass();
  const auto code = [&](std::int64_t e) {
    return shared ? std::int64_t{codes.wide()[e]} : static_cast<std::int64_t>(codes[e]);
  };
  if (w.is_float32()) {
    const auto* values = weights.codes.as<float>();
    weights.ordered_error.set_floats(workers_, [&](std::int64_t e) { return values[e]; });
  } else if (g.is_float32()) {
    const std::int64_t group_size = s.kh * s.kw * s.c_per_group() * s.o_per_group();
    weights.ordered_error.set_floats(workers_, [&](std::int64_t e) {
      const Affine& of = shared ? *affine : affine[e / group_size * s.c_per_group() + e % s.c_per_group()];
      return static_cast<float>(std::fma(of.step, static_cast<double>(code(e)), of.lo));
    });
  } else {
    const int w_bits = shared ? weights.error_grid_bits : w.bits();
    weights.ordered_error.set_integers(
        limbs_for(g.bits(), w_bits, s.error_depth()), code, [&](std::int64_t i, double sum, double terms) {
          if (shared) {
            return OrderedScale{shared_scale(*args.g.affine, affine->step), 0.0,
                                shared_offset(*args.g.affine, affine->step, sum)};
          }
          const ProductScale scale = product_scale(*args.g.affine, affine[i]);
          return OrderedScale{scale.a, scale.b, product_offset(*args.g.affine, affine[i], sum, terms)};
        });
  }
}

void CpuLibrary::prepare_ordered_gradient(const ConvBackward& args, const CpuWeights& weights) {
  const ConvShape& s = args.shape;
  if (args.x.width.is_integer() && args.g.width.is_integer()) {
    weights.ordered_gradient.set_integers(args.x.width.bits(), args.g.width.bits());
    return;
  }
  const Range x_range = args.x_range == nullptr ? Range{} : *args.x_range;
  const Range g_range = args.g_range == nullptr ? Range{} : *args.g_range;
  const double bound = product_bound(false, s.out_h() * s.out_w(), operand_bound(args.x.width, *args.x.affine, x_range),
                                     operand_bound(args.g.width, *args.g.affine, g_range));
  weights.ordered_gradient.set_floats(sum_exponent(bound, static_cast<std::uint64_t>(s.n)));
}

void CpuLibrary::conv_backward(const ConvBackward& args) {
  const auto& weights = static_cast<const CpuWeights&>(*args.weights);
  const bool error = args.dx != nullptr || args.dx_bound != nullptr || args.gradient_sum != nullptr;
  const bool deep = error && !weights.fast_error && takes_deep_error(args, weights);
  const bool bytes =
      (args.dw == nullptr || (weights.fast_gradient && gradients_of_bytes(kernels_, args.x.width, args.g.width))) &&
      (!error || deep ||
       (weights.fast_error &&
        products_of_bytes(kernels_, args.g.width, weights.width, weights.error.limbs, args.shape.error_depth())));
  // Weights too many for every thread to have sums of all: a thread makes those of its own outputs, behind the codes.
  const bool by_outputs = bytes && args.dw != nullptr && takes_by_outputs(args);
  const KernelShape images(args.shape, bytes);
  const ConvShape& s = images.shape;
  const auto timing =
      profile_.time("convolution backward", s.macs() * ((args.dw != nullptr ? 1 : 0) + (error ? 1 : 0)));
  const bool words = weights.depthwise && byte_limbs(args.g.width) != 0 &&
                     (args.dw == nullptr || byte_limbs(args.x.width) != 0) &&
                     (!error || byte_limbs(weights.width) != 0);
  const GroupedProducts& groups = weights.groups;
  const bool grouped =
      s.groups > 1 &&
      (args.dw == nullptr || (groups.has_gradient && gradients_of_bytes(kernels_, args.x.width, args.g.width))) &&
      (!error || (!groups.error.empty() && products_of_bytes(kernels_, args.g.width, weights.width,
                                                             groups.error.front().limbs, s.error_depth())));
  const bool ordered = !bytes && !words && !grouped;
  const bool float_blocks = ordered && args.dw != nullptr && weights.float_gradient.takes(args.x.width, args.g.width);
  const std::int64_t out_positions = s.out_h() * s.out_w(), in_positions = s.h * s.w;
  if (ordered && (s.error_depth() > kMaxOrderedDepth || out_positions > kMaxOrderedDepth)) {
    const auto wide = with_wide_codes(weights);
    ConvBackward plain = args;
    plain.weights = wide.get();
    reference_.conv_backward(plain);
    return;
  }
  const std::int64_t image_out = out_positions * s.o, image_in = in_positions * s.c;
  const GradientRows table = gradient_table_.rows(args.gradient, s.o);
  if (bytes && error && !deep) error_coefficients(args, weights, weights.error, coefficients_, 0, s.c);
  if (words && error) error_coefficients(args, weights, weights.depthwise_error, coefficients_, 0, s.c);
  const auto group_count = static_cast<std::size_t>(s.groups);
  if (grouped && error) {
    if (group_coefficients_.size() < group_count) group_coefficients_.resize(group_count);
    for (std::size_t g = 0; g < group_count; ++g) {
      error_coefficients(args, weights, groups.error[g], group_coefficients_[g],
                         static_cast<std::int64_t>(g) * s.c_per_group(), s.c_per_group());
    }
  }
  if (grouped && args.dw != nullptr) {
    while (group_partials_.size() < group_count) {
      group_partials_.emplace_back(static_cast<std::size_t>(workers_.threads()));
    }
  }
  if (ordered && error && !deep) prepare_ordered_error(args, weights);
  if (ordered && args.dw != nullptr) prepare_ordered_gradient(args, weights);
  summed_norms_ = 0;
  gradient_sum_channels_ = s.c;
  if (args.gradient_sum != nullptr) {
    const bool integers = args.g.width.is_integer() && weights.width.is_integer();
    const Range range = args.g_range == nullptr ? Range{} : *args.g_range;
    const double bound = product_bound(integers, s.error_depth(), operand_bound(args.g.width, *args.g.affine, range),
                                       error_weight_bound(weights));
    prepare_gradient_sum(*args.gradient_sum, bound, images.positions, s.c);
  }
  begin_images();

  const std::int64_t images_at_once = bytes                           ? weights.gradient.images_at_once()
                                      : grouped && args.dw != nullptr ? groups.gradient.images_at_once()
                                                                      : 1;
  workers_.chunks(s.n, images_at_once, [&](int thread, std::int64_t begin, std::int64_t end) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    begin_thread(state, s.c);
    const bool codes_are_there = args.gradient.u == nullptr;
    for (std::int64_t n = begin; n < end && !codes_are_there; ++n) {
      const std::int64_t chunk = positions_at_once(s.o), positions = images.out_positions_of(n, n + 1);
      for (std::int64_t p = 0; p < positions; p += chunk) {
        const std::int64_t pixels = std::min(chunk, positions - p), count = pixels * s.o;
        const std::int64_t element = n * image_out + p * s.o;
        const float* noise = nullptr;
        if (args.stochastic && args.given_noise != nullptr) noise = args.given_noise + element;
        if (args.stochastic && args.given_noise == nullptr && args.g.width.is_integer()) {
          float* made = state.noise.need(chunk * s.o);
          kernels_.noise(
              {args.noise.seed,
               args.noise.step,
               args.noise.purpose_and_tensor,
               static_cast<std::uint64_t>(element),
               count,
               made,
               {args.gradient.u + element, args.gradient.norm != nullptr ? args.gradient.y + element : nullptr}});
          noise = made;
        }
        const float* values = args.gradient.u + element;
        if (args.gradient.norm != nullptr && has_code_rows(args.g.width, s.o)) {
          kernels_.gradient_codes({values, args.gradient.y + element, noise, pixels, s.o, table.mean, table.a, table.k,
                                   table.c, code_target(*args.g.affine, args.g.width, args.g.codes, element),
                                   noise != nullptr && args.given_noise == nullptr});
          continue;
        }
        if (args.gradient.norm != nullptr) {
          GradientRows rows = table;
          rows.u = values;
          rows.y = args.gradient.y + element;
          rows.pixels = pixels;
          const bool kept = args.g.width.is_float32();
          rows.dy = kept ? static_cast<float*>(args.g.codes) + element : state.values.need(chunk * s.o);
          kernels_.gradient_rows(rows);
          if (kept) continue;
          values = rows.dy;
        }
        write_codes(args.g, element, values, count, noise);
      }
    }
    const ByteCodes g = ordered ? ByteCodes{}
                                : bytes_of(kernels_, args.g, begin * image_out,
                                           images.out_positions_of(begin, end) * s.o, state.g_bytes);
    if (by_outputs) {
      // Below.
    } else if (args.dw != nullptr && bytes) {
      const ByteCodes x =
          bytes_of(kernels_, args.x, begin * image_in, images.positions_of(begin, end) * s.c, state.x_bytes);
      auto& partial = partials_[static_cast<std::size_t>(thread)];
      if (!partial.used) weights.gradient.clear(x.limbs, g.limbs, partial);
      weights.gradient.add(kernels_, x, g, end - begin, images.short_row(end - 1), partial);
    } else if (args.dw != nullptr && words) {
      const ByteCodes x = bytes_of(kernels_, args.x, begin * image_in, image_in, state.x_bytes);
      auto& partial = depthwise_partials_[static_cast<std::size_t>(thread)];
      if (!partial.used) weights.depthwise_gradient.clear(x.limbs, g.limbs, partial);
      weights.depthwise_gradient.add(kernels_, x, g, partial);
    } else if (args.dw != nullptr && grouped) {
      const ByteCodes x = bytes_of(kernels_, args.x, begin * image_in, (end - begin) * image_in, state.x_bytes);
      for (std::int64_t group = 0; group < s.groups; ++group) {
        auto& partial = group_partials_[static_cast<std::size_t>(group)][static_cast<std::size_t>(thread)];
        if (!partial.used) groups.gradient.clear(x.limbs, g.limbs, partial);
        groups.gradient.add(kernels_, x.from(group * s.c_per_group()), g.from(group * s.o_per_group()), end - begin, 0,
                            partial);
      }
    } else if (args.dw != nullptr && !float_blocks) {
      auto& partial = ordered_partials_[static_cast<std::size_t>(thread)];
      if (!partial.used) weights.ordered_gradient.clear(partial);
      for (std::int64_t n = begin; n < end; ++n) weights.ordered_gradient.add(kernels_, args.x, args.g, n, partial);
    }
    if (!error || deep) return;
    for (std::int64_t n = begin; n < end; ++n) {
      const auto done = [&](std::int64_t first, std::int64_t rows, const float* dx) {
        const std::int64_t pixels = std::min(rows * s.w, images.positions_of(n, n + 1));
        if (args.dx_bound != nullptr) kernels_.magnitude(dx, pixels * s.c, &state.dx_magnitude);
        if (args.gradient_sum != nullptr) {
          sum_gradients_of_pixels(*args.gradient_sum, dx, n * in_positions + first * s.w, pixels, state, words);
        }
      };
      float* dx = args.dx != nullptr ? args.dx + n * image_in : nullptr;
      if (bytes) {
        product_image(kernels_, weights.error, coefficients_, g.from((n - begin) * image_out), images.short_row(n), dx,
                      state.dx, state.product, done);
      } else if (words) {
        DepthwiseProduct::Fetch fetch;
        if (args.gradient_sum != nullptr) {
          fetch.images[0] = args.gradient_sum->u + n * image_in;
          const float* const y = args.gradient_sum->norm[0].y;
          if (y != nullptr) fetch.images[1] = y + n * image_in;
        }
        weights.depthwise_error.image(kernels_, coefficients_, g.from((n - begin) * image_out), dx, state.dx,
                                      state.depthwise, fetch, done);
      } else if (grouped) {
        grouped_image(kernels_, groups.error, group_coefficients_, g.from((n - begin) * image_out), dx, state.dx,
                      state.product, done);
      } else {
        weights.ordered_error.image(kernels_, args.g, n, dx, state.dx, state.ordered, done);
      }
    }
  });

  if (deep) deep_error(args, weights);
  if (by_outputs) {
    summed_.run(kernels_, workers_, by_outputs_);
  } else if (args.dw != nullptr && bytes) {
    weights.gradient.finish(kernels_, workers_, partials_, images, args.x, args.g, args.dw);
  } else if (args.dw != nullptr && words) {
    weights.depthwise_gradient.finish(workers_, depthwise_partials_, s.n, *args.x.affine, *args.g.affine, args.dw);
  } else if (args.dw != nullptr && grouped) {
    const KernelShape of_group(groups.shape, false);
    for (std::size_t group = 0; group < group_count; ++group) {
      groups.gradient.finish(kernels_, workers_, group_partials_[group], of_group, args.x, args.g,
                             args.dw + static_cast<std::int64_t>(group) * groups.shape.weight_size());
    }
  } else if (float_blocks) {
    weights.float_gradient.run(
        kernels_, workers_,
        [&](int thread) -> FloatGradient::State& { return states_[static_cast<std::size_t>(thread)].float_gradient; },
        s.n, static_cast<const float*>(args.x.codes), static_cast<const float*>(args.g.codes),
        weights.ordered_gradient.exponent(), args.dw);
  } else if (args.dw != nullptr) {
    weights.ordered_gradient.finish(workers_, ordered_partials_, s.n, args.x, args.g, args.dw);
  }
  if (args.dx_bound != nullptr) {
    std::int32_t magnitude = 0;
    for (const auto& state : states_) {
      if (state.used) magnitude = std::max(magnitude, state.dx_magnitude);
    }
    *args.dx_bound = float_of_bits(magnitude);
  }
  if (args.gradient_sum != nullptr) finish_gradient_sum(*args.gradient_sum, s.c);
}

void CpuLibrary::average_pool_backward(const AveragePoolBackward& args) {
  const auto timing = profile_.time("average pool backward");
  summed_norms_ = 0;
  gradient_sum_channels_ = args.channels;
  if (args.gradient_sum != nullptr) {
    std::int32_t magnitude = 0;
    kernels_.magnitude(args.dpooled, args.n * args.channels, &magnitude);
    prepare_gradient_sum(*args.gradient_sum, static_cast<double>(float_of_bits(magnitude)), args.n * args.positions,
                         args.channels);
  }
  begin_images();
  const auto divisor = static_cast<float>(args.positions);
  const std::int64_t image = args.positions * args.channels;
  workers_.each(args.n, [&](int thread, std::int64_t n) {
    ThreadState& state = states_[static_cast<std::size_t>(thread)];
    begin_thread(state, args.channels);
    float* dx = args.dx != nullptr ? args.dx + n * image : state.dx.need(image);
    for (std::int64_t c = 0; c < args.channels; ++c) dx[c] = args.dpooled[n * args.channels + c] / divisor;
    for (std::int64_t p = 1; p < args.positions; ++p) {
      std::memcpy(dx + p * args.channels, dx, static_cast<std::size_t>(args.channels) * sizeof(float));
    }
    if (args.gradient_sum != nullptr)
      sum_gradients_of_pixels(*args.gradient_sum, dx, n * args.positions, args.positions, state);
  });
  if (args.gradient_sum != nullptr) finish_gradient_sum(*args.gradient_sum, args.channels);
}

}  // namespace bitcycle::cpu
