// SPDX-License-Identifier: Apache-2.0
#include "cost_models/product.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace bitcycle {
namespace {

std::string widths_text(const Product& product) {
  return std::to_string(product.lhs_bits) + " x " + std::to_string(product.rhs_bits) + " bits";
}

/// Compulsory memory traffic: operands read and the result written, once each.
double compulsory(const Accelerator& accelerator, const Product& product) {
  return product.lhs_elements * product.lhs_bits + product.rhs_elements * product.rhs_bits +
         product.out_elements * accelerator.output_bits;
}

/// Where the left operand of a convolution's forward pass lies; of one group.
Windows windows_of(const OperationShape& s, std::int64_t images) {
  Windows windows;
  windows.images = images;
  windows.height = s.h;
  windows.width = s.w;
  windows.channels = s.c_per_group();
  windows.out_height = s.out_h();
  windows.out_width = s.out_w();
  windows.kernel_height = s.kh;
  windows.kernel_width = s.kw;
  windows.stride_height = s.stride_h;
  windows.stride_width = s.stride_w;
  windows.dilation_height = s.dilation_h;
  windows.dilation_width = s.dilation_w;
  windows.pad_height = s.pad_top;
  windows.pad_width = s.pad_left;
  return windows;
}

/// The same of its error pass: windows of errors, with zeros between them where the convolution strides.
Windows error_windows_of(const OperationShape& s, std::int64_t images) {
  Windows windows;
  windows.images = images;
  windows.height = s.out_h();
  windows.width = s.out_w();
  windows.channels = s.o_per_group();
  windows.out_height = s.h;
  windows.out_width = s.w;
  windows.kernel_height = s.kh;
  windows.kernel_width = s.kw;
  windows.dilation_height = s.dilation_h;
  windows.dilation_width = s.dilation_w;
  windows.pad_height = s.reach_h() - 1 - s.pad_top;
  windows.pad_width = s.reach_w() - 1 - s.pad_left;
  windows.spread_height = s.stride_h;
  windows.spread_width = s.stride_w;
  return windows;
}

/// Energy of traffic and time, from the counts.
void price(const Accelerator& accelerator, ProductCost& cost) {
  for (std::size_t i = 0; i < cost.buffers.size(); ++i) {
    cost.buffers_nj += 1e-3 * (cost.buffers[i].read_bits * accelerator.buffers[i].read_pj_per_bit +
                               cost.buffers[i].write_bits * accelerator.buffers[i].write_pj_per_bit);
  }
  cost.dram_nj = 1e-3 * (cost.dram_read_bits + cost.dram_write_bits) * accelerator.dram_pj_per_bit;
  if (accelerator.clock_hz > 0.0) {
    cost.leakage_nj = accelerator.leakage_mw * 1e-3 * cost.total_cycles() / accelerator.clock_hz * 1e9;
  }
}

/// Taps k of a row or column for which the input at `position` of the padded map meets an error: those with
/// (position - k * dilation) mod stride = 0. They repeat with the stride.
std::int64_t taps_that_meet(std::int64_t kernel, std::int64_t position, std::int64_t dilation, std::int64_t stride) {
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < std::min(kernel, stride); ++k) {
    if ((position - k * dilation) % stride == 0) count += (kernel - k + stride - 1) / stride;
  }
  return count;
}

}  // namespace

std::string energy_unit(const Accelerator& accelerator, const std::string& prefix) {
  if (!accelerator.relative()) return prefix + "J";
  return prefix == "p" ? "units" : "thousand units";
}

std::string number_text(double value) {
  char text[64];
  if (value == std::floor(value) && std::fabs(value) < 1e15) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else {
    std::snprintf(text, sizeof text, "%.6g", value);
  }
  return text;
}

void ProductCost::add(const ProductCost& other, double times) {
  macs += times * other.macs;
  bitops += times * other.bitops;
  effective_macs += times * other.effective_macs;
  compute_cycles += times * other.compute_cycles;
  stall_cycles += times * other.stall_cycles;
  array_macs += times * other.array_macs;
  mapped_macs += times * other.mapped_macs;
  mapped_slots += times * other.mapped_slots;
  buffers.resize(std::max(buffers.size(), other.buffers.size()));
  for (std::size_t i = 0; i < other.buffers.size(); ++i) {
    buffers[i].read_bits += times * other.buffers[i].read_bits;
    buffers[i].write_bits += times * other.buffers[i].write_bits;
  }
  dram_read_bits += times * other.dram_read_bits;
  dram_write_bits += times * other.dram_write_bits;
  compulsory_bits += times * other.compulsory_bits;
  compute_nj += times * other.compute_nj;
  buffers_nj += times * other.buffers_nj;
  dram_nj += times * other.dram_nj;
  leakage_nj += times * other.leakage_nj;
}

std::vector<Product> products_of(const MatrixOperation& operation, Pass pass, OperandBits bits, std::int64_t batch,
                                 bool first_layer, bool zero_inserted_errors) {
  const OperationShape& s = operation.shape;
  // A right operand that belongs to the sample makes a product of its own for each.
  const std::int64_t copies = operation.rhs_is_activation ? batch : 1;
  const std::int64_t taps = s.kh * s.kw, c = s.c_per_group(), o = s.o_per_group(), n = batch / copies * s.n;
  const auto real = [](std::int64_t v) { return static_cast<double>(v); };
  Product product;
  product.repeat = s.groups * copies;
  product.lhs_bits = bits.lhs;
  product.rhs_bits = bits.rhs;
  const double x = real(batch * s.n * s.h * s.w * s.c), y = real(batch * s.n * s.out_h() * s.out_w() * s.o),
               w = real(s.weight_size() * copies);
  product.windows = pass == Pass::kError ? error_windows_of(s, n) : windows_of(s, n);
  product.windows.transposed = pass == Pass::kWeightGradient;
  if (pass == Pass::kForward) {
    product.m = n * s.out_h() * s.out_w();
    product.n = o;
    product.k = taps * c;
    product.lhs_elements = x;
    product.rhs_elements = w;
    product.out_elements = y;
    if (product.repeat == 1 && s.out_h() == s.out_w() && s.kh == s.kw && s.stride_h == s.stride_w &&
        s.dilation_h == 1 && s.dilation_w == 1) {
      product.batch = n;
      product.out = s.out_h();
      product.kernel = s.kh;
      product.stride = s.stride_h;
      product.in_channels = s.c;
      product.out_channels = s.o;
      product.im2col = first_layer && operation.kind == "conv2d";
    }
    return {product};
  }
  if (pass == Pass::kWeightGradient) {
    product.m = taps * c;
    product.n = o;
    product.k = n * s.out_h() * s.out_w();
    product.lhs_elements = x;
    product.rhs_elements = y;
    product.out_elements = w;
    return {product};
  }
  product.n = c;
  product.lhs_elements = y;
  product.rhs_elements = w;
  product.out_elements = x;
  const bool strided = s.stride_h > 1 || s.stride_w > 1;
  if (!strided || zero_inserted_errors) {
    product.m = n * s.h * s.w;
    product.k = taps * o;
    product.useful = strided ? real(operation.shape.macs() * batch) / product.macs() : 1.0;
    return {product};
  }
  // Inputs of one phase (h mod stride, w mod stride) meet the same taps: a product each. Together they read all errors
  // and weights and write all of dx once; inputs that no tap meets (1x1 filters) get zeros, written with the others.
  std::vector<Product> phases;
  double met = 0.0;  // inputs of the phases that have taps
  for (std::int64_t ph = 0; ph < std::min(s.stride_h, s.h); ++ph) {
    const std::int64_t rows = (s.h - ph + s.stride_h - 1) / s.stride_h;
    const std::int64_t row_taps = taps_that_meet(s.kh, ph + s.pad_top, s.dilation_h, s.stride_h);
    for (std::int64_t pw = 0; row_taps > 0 && pw < std::min(s.stride_w, s.w); ++pw) {
      const std::int64_t columns = (s.w - pw + s.stride_w - 1) / s.stride_w;
      const std::int64_t phase_taps = row_taps * taps_that_meet(s.kw, pw + s.pad_left, s.dilation_w, s.stride_w);
      if (phase_taps == 0) continue;
      Product phase = product;
      phase.m = n * rows * columns;
      phase.k = phase_taps * o;
      // Taps first, first + stride, ... meet errors one after another; of a phase, tap t counts from the last of them.
      const auto lay = [](std::int64_t p, std::int64_t stride, std::int64_t count, std::int64_t& kernel,
                          std::int64_t& pad) {
        kernel = count;
        pad = count - 1 - p / stride;
      };
      Windows& windows = phase.windows;
      lay(ph + s.pad_top, s.stride_h, row_taps, windows.kernel_height, windows.pad_height);
      lay(pw + s.pad_left, s.stride_w, phase_taps / row_taps, windows.kernel_width, windows.pad_width);
      windows.out_height = rows;
      windows.out_width = columns;
      windows.spread_height = windows.spread_width = 1;
      // Dilated taps of a phase do not follow each other: their windows are not told apart.
      if (s.dilation_h > 1 || s.dilation_w > 1) windows = {};
      phase.rhs_elements = w * real(phase_taps) / real(taps);
      met += real(phase.m);
      phases.push_back(phase);
    }
  }
  for (auto& phase : phases) {
    phase.lhs_elements = y / real(static_cast<std::int64_t>(phases.size()));
    phase.out_elements = x * real(phase.m) / met;
  }
  return phases;
}

ProductCost cost_of(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain) {
  if (product.float32 && accelerator.has_energy() && !accelerator.float32) {
    throw std::invalid_argument(
        accelerator.name + " has no float32 arithmetic (float32: none in " + accelerator.file +
        "); choose another accelerator, or price the scheduled widths (--metric paper), where only " +
        "layers are float32 whose width the config sets to float32");
  }
  if (!product.float32) {
    for (const int bits : {product.lhs_bits, product.rhs_bits}) {
      if (bits >= accelerator.min_bits && bits <= accelerator.max_bits) continue;
      throw std::invalid_argument(accelerator.name + " cannot multiply " + widths_text(product) + ": it takes " +
                                  std::to_string(accelerator.min_bits) + " to " + std::to_string(accelerator.max_bits) +
                                  " bits (precision in " + accelerator.file + ")");
    }
  }
  const auto repeat = static_cast<double>(product.repeat);
  ProductCost one;
  if (explain != nullptr) {
    explain->push_back("product: m = " + std::to_string(product.m) + ", n = " + std::to_string(product.n) +
                       ", k = " + std::to_string(product.k) + ", computed " +
                       (product.repeat == 1 ? "once" : std::to_string(product.repeat) + " times") + "; " +
                       (product.float32 ? std::string("float32") : widths_text(product)) + "; MACs = m * n * k" +
                       (product.repeat == 1 ? "" : " * " + std::to_string(product.repeat)) + " = " +
                       number_text(product.macs()));
  }
  if (product.float32 && accelerator.has_energy()) {
    one.macs = product.macs() / repeat;
    one.compute_nj = 1e-3 * one.macs * accelerator.float32->mac_pj;
    if (accelerator.has_time()) {
      one.compute_cycles = std::ceil(one.macs / accelerator.float32->macs_per_cycle);
      one.array_macs = one.compute_cycles * accelerator.float32->macs_per_cycle;
    }
    one.dram_read_bits = (product.lhs_elements + product.rhs_elements) / repeat * 32.0;
    one.dram_write_bits = product.out_elements / repeat * 32.0;
    one.buffers.resize(accelerator.buffers.size());
    if (explain != nullptr) {
      explain->push_back("float32: " + number_text(one.macs) + " MACs * " + number_text(accelerator.float32->mac_pj) +
                         " " + energy_unit(accelerator, "p"));
    }
  } else {
    switch (accelerator.model) {
      case CostModel::kSystolic: one = systolic_cost(accelerator, product, explain); break;
      case CostModel::kBitSerial: one = bit_serial_cost(accelerator, product, explain); break;
      case CostModel::kHierarchy: one = hierarchy_cost(accelerator, product, explain); break;
      case CostModel::kFusionArray: one = fusion_array_cost(accelerator, product, explain); break;
      case CostModel::kArithmetic:
        one.macs = product.macs() / repeat;
        one.compute_nj = 1e-3 * one.macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
        one.dram_read_bits =
            (product.lhs_elements * product.lhs_bits + product.rhs_elements * product.rhs_bits) / repeat;
        one.dram_write_bits = product.out_elements / repeat * accelerator.output_bits;
        if (explain != nullptr) {
          explain->push_back("energy of a MAC = " + number_text(accelerator.mac.multiply_pj) + " * " +
                             std::to_string(product.lhs_bits) + " * " + std::to_string(product.rhs_bits) + " / " +
                             std::to_string(accelerator.mac.at_bits) + "^2 + " + number_text(accelerator.mac.add_pj) +
                             " = " + number_text(accelerator.mac.pj(product.lhs_bits, product.rhs_bits)) + " " +
                             energy_unit(accelerator, "p"));
        }
        break;
      case CostModel::kMetric: one.macs = product.macs() / repeat; break;
    }
  }
  price(accelerator, one);
  ProductCost cost;
  cost.add(one, repeat);
  const double lhs = product.float32 ? 32.0 : product.lhs_bits, rhs = product.float32 ? 32.0 : product.rhs_bits;
  cost.macs *= product.useful;
  cost.bitops = cost.macs * lhs * rhs;
  cost.effective_macs = cost.bitops / 1024.0;
  cost.compulsory_bits = compulsory(accelerator, product);
  if (explain != nullptr) {
    explain->push_back("BitOPs = MACs * " + number_text(lhs) + " * " + number_text(rhs) + " = " +
                       number_text(cost.bitops) + "; effective MACs = MACs * " + number_text(lhs) + "/32 * " +
                       number_text(rhs) + "/32 = " + number_text(cost.effective_macs));
    if (accelerator.has_energy()) {
      const std::string p = energy_unit(accelerator, "p"), n = energy_unit(accelerator, "n");
      for (std::size_t i = 0; i < cost.buffers.size(); ++i) {
        const BufferSpec& spec = accelerator.buffers[i];
        const BufferTraffic& traffic = cost.buffers[i];
        const double nj =
            1e-3 * (traffic.read_bits * spec.read_pj_per_bit + traffic.write_bits * spec.write_pj_per_bit);
        explain->push_back("buffer " + spec.name + ": " + number_text(traffic.read_bits) + " bit read * " +
                           number_text(spec.read_pj_per_bit) + " + " + number_text(traffic.write_bits) +
                           " bit written * " + number_text(spec.write_pj_per_bit) + " " + p + " = " + number_text(nj) +
                           " " + n);
      }
      explain->push_back("energy = compute " + number_text(cost.compute_nj) + " + buffers " +
                         number_text(cost.buffers_nj) + " + DRAM " +
                         number_text(cost.dram_read_bits + cost.dram_write_bits) + " bit * " +
                         number_text(accelerator.dram_pj_per_bit) + " " + p + " = " + number_text(cost.dram_nj) +
                         " + leakage " + number_text(cost.leakage_nj) + " = " + number_text(cost.total_nj()) + " " + n);
    }
  }
  return cost;
}

ProductCost cost_of(const Accelerator& accelerator, const ElementwiseWork& work) {
  ProductCost cost;
  if (!accelerator.has_energy()) return cost;
  cost.buffers.resize(accelerator.buffers.size());
  cost.dram_read_bits = work.read_bits;
  cost.dram_write_bits = work.write_bits;
  cost.compulsory_bits = work.read_bits + work.write_bits;
  if (accelerator.float32) {
    cost.compute_nj = 1e-3 * work.operations * accelerator.float32->mac_pj;
    if (accelerator.has_time()) cost.compute_cycles = std::ceil(work.operations / accelerator.float32->macs_per_cycle);
  }
  if (accelerator.dram_bits_per_cycle > 0.0) {
    cost.stall_cycles = std::max(
        0.0, std::ceil((work.read_bits + work.write_bits) / accelerator.dram_bits_per_cycle) - cost.compute_cycles);
  }
  price(accelerator, cost);
  return cost;
}

}  // namespace bitcycle
