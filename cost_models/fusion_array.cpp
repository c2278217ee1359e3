// SPDX-License-Identifier: Apache-2.0
// An array of multipliers that split into narrower ones (Bit Fusion, ISCA 2018): tiles and loop order by exhaustive
// search for the fewest cycles, then the least energy. Rules: docs/cost-models.md, 6; they give the published
// simulator's figures.
#include <algorithm>
#include <array>
#include <cmath>

#include "cost_models/product.h"

namespace bitcycle {
namespace {

enum Tensor : std::uint8_t { kWeights, kActivations, kOutputs };

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// min(2^i, size) for i = 0..ceil(log2(size)).
std::vector<std::int64_t> powers(std::int64_t size, std::int64_t unit = 1) {
  std::vector<std::int64_t> tiles;
  for (std::int64_t tile = unit;; tile *= 2) {
    tiles.push_back(std::min(tile, size));
    if (tile >= size) return tiles;
  }
}

struct Dimensions {
  std::int64_t b, o, kernel, stride, ic, oc;
  bool im2col;
};

/// Accesses of the inner loops, one tile.
struct Inner {
  double activations = 0.0, weights = 0.0, outputs = 0.0;  // bits; outputs: read and written
};

struct Best {
  bool found = false;
  double compute = 0.0, stall = 0.0, nj = 0.0;
  std::array<double, 3> fill{};  // walked, bits
  Inner inner;
  double tiles = 0.0;
  std::array<std::int64_t, 5> tile{};
  std::array<int, 5> order{};  // loops of more than one trip, from the innermost outwards
  std::size_t loops = 0;
  double first = 0.0, last = 0.0;
};

// Loops: B, OW, OH, IC, OC; which tensor each indexes.
constexpr std::array<std::array<bool, 5>, 3> kIndexes{
    {{false, false, false, true, true}, {true, true, true, true, false}, {true, true, true, false, true}}};

class Search {
 public:
  Search(const Accelerator& accelerator, const Product& product)
      : accelerator_(accelerator), a_(product.lhs_bits), w_(product.rhs_bits) {
    if (product.batch > 0) {
      d_ = {product.batch,       product.out,          product.kernel, product.stride,
            product.in_channels, product.out_channels, product.im2col};
    } else {
      d_ = {product.m, 1, 1, 1, product.k, product.n, false};
    }
    const auto split = [&](int bits) {
      return std::int64_t{accelerator.max_bits / std::max(bits, accelerator.fusion_min_bits)};
    };
    factor_ = split(a_) * split(w_);
    reduced_ = accelerator.rows * factor_;
    capacity_ = {accelerator.buffer(BufferRole::kRhs)->usable_bits(),
                 accelerator.buffer(BufferRole::kLhs)->usable_bits(),
                 accelerator.buffer(BufferRole::kOut)->usable_bits()};
  }

  std::int64_t factor() const { return factor_; }

  /// Cycles of a tile, as the formula with its numbers.
  std::string cycles_text(const std::array<std::int64_t, 5>& tile) const {
    const auto text = [](std::int64_t v) { return std::to_string(v); };
    const std::string b = text(tile[0]), o = text(tile[1]), k2 = text(d_.kernel * d_.kernel), ic = text(tile[3]),
                      oc = text(tile[4]), m = text(accelerator_.columns), r = text(reduced_);
    if (d_.im2col) {
      return "B * OW * OH * ceil(OC / columns) * ceil(kernel^2 * IC / (rows * factor)) = " + b + " * " + o + " * " + o +
             " * ceil(" + oc + "/" + m + ") * ceil(" + k2 + " * " + ic + "/" + r + ")";
    }
    return "B * OW * OH * ceil(OC / columns) * kernel^2 * ceil(IC / (rows * factor)) = " + b + " * " + o + " * " + o +
           " * ceil(" + oc + "/" + m + ") * " + k2 + " * ceil(" + ic + "/" + r + ")";
  }

  Best run() {
    const auto oc_tiles = d_.im2col ? powers(d_.oc) : powers(d_.oc, std::min(accelerator_.columns, d_.oc));
    for (const auto b : powers(d_.b)) {
      for (const auto o : powers(d_.o)) {
        for (const auto ic : powers(d_.ic)) {
          for (const auto oc : oc_tiles) tile(b, o, ic, oc);
        }
      }
    }
    return best_;
  }

 private:
  void tile(std::int64_t b, std::int64_t o, std::int64_t ic, std::int64_t oc) {
    const std::int64_t m = accelerator_.columns, k2 = d_.kernel * d_.kernel;
    // In binary64: exact for whatever fits a buffer, and no product of sizes can wrap around.
    const auto real = [](std::int64_t v) { return static_cast<double>(v); };
    const double side = real(d_.kernel) + real(o - 1) * real(d_.stride);
    const double weights = real(ceil_div(k2 * ic, reduced_)) * real(reduced_) * real(oc) * w_;
    const double activations = (d_.im2col ? real(o) * real(o) * real(k2) : side * side) * real(ic) * real(b) * a_;
    const double outputs = real(o) * real(o) * real(ceil_div(oc, m)) * real(m) * real(b) * accelerator_.output_bits;
    const std::array<double, 3> size{weights, activations, outputs};
    for (int t = 0; t < 3; ++t) {
      if (size[static_cast<std::size_t>(t)] > capacity_[static_cast<std::size_t>(t)]) return;
    }
    const std::array<std::int64_t, 5> trips{ceil_div(d_.b, b), ceil_div(d_.o, o), ceil_div(d_.o, o),
                                            ceil_div(d_.ic, ic), ceil_div(d_.oc, oc)};
    double tiles = 1.0;
    std::array<int, 5> loops{};
    std::size_t count = 0;
    for (int loop = 0; loop < 5; ++loop) {
      const auto times = trips[static_cast<std::size_t>(loop)];
      tiles *= static_cast<double>(times);
      if (times > 1) loops[count++] = loop;  // a loop of one trip changes nothing, wherever it stands
    }
    const std::int64_t cycles = d_.im2col ? b * o * o * ceil_div(oc, m) * ceil_div(k2 * ic, reduced_)
                                          : b * ceil_div(oc, m) * o * o * k2 * ceil_div(ic, reduced_);
    const double compute = tiles * static_cast<double>(cycles);
    if (best_.found && compute > best_.compute + best_.stall) return;
    const Inner inner = inner_accesses(b, o, ic, oc);
    do {
      order(size, trips, loops, count, compute, tiles, inner, {b, o, o, ic, oc});
    } while (std::next_permutation(loops.begin(), loops.begin() + static_cast<std::ptrdiff_t>(count)));
  }

  /// loops: from the innermost outwards.
  void order(const std::array<double, 3>& size, const std::array<std::int64_t, 5>& trips,
             const std::array<int, 5>& loops, std::size_t count, double compute, double tiles, const Inner& inner,
             const std::array<std::int64_t, 5>& tile) {
    std::array<double, 3> fill{}, resident{};
    for (std::size_t t = 0; t < 3; ++t) {
      double walked = size[t];
      resident[t] = size[t];
      bool promoting = true;
      for (std::size_t i = 0; i < count; ++i) {
        const auto loop = static_cast<std::size_t>(loops[i]);
        const auto times = static_cast<double>(trips[loop]);
        if (!promoting) {
          walked *= times;
        } else if (kIndexes[t][loop]) {
          walked *= times;
          if (walked > capacity_[t]) {
            promoting = false;
          } else {
            resident[t] = walked;
          }
        }
      }
      fill[t] = walked;
    }
    const double width = accelerator_.dram_bits_per_cycle;
    const double read = fill[kWeights] + fill[kActivations] + fill[kOutputs], written = fill[kOutputs];
    const double first = resident[kWeights] + resident[kActivations] + resident[kOutputs], last = resident[kOutputs];
    double stall = 0.0;
    if (width > 0.0) {
      const double latency = std::ceil(first / width) + std::ceil(last / width);
      stall = std::max(0.0, std::ceil((read + written - first - last) / width) - compute) + latency;
    }
    if (best_.found && compute + stall > best_.compute + best_.stall) return;
    const double nj = energy(compute, fill, inner, tiles);
    if (best_.found && compute + stall == best_.compute + best_.stall && nj >= best_.nj) return;
    best_ = {true, compute, stall, nj, fill, inner, tiles, tile, loops, count, first, last};
  }

  double energy(double compute, const std::array<double, 3>& fill, const Inner& inner, double tiles) const {
    const auto pj = [](const BufferSpec& buffer, double read, double written) {
      return read * buffer.read_pj_per_bit + written * buffer.write_pj_per_bit;
    };
    const double buffers = pj(*accelerator_.buffer(BufferRole::kRhs), tiles * inner.weights, fill[kWeights]) +
                           pj(*accelerator_.buffer(BufferRole::kLhs), tiles * inner.activations, fill[kActivations]) +
                           pj(*accelerator_.buffer(BufferRole::kOut), fill[kOutputs] + tiles * inner.outputs,
                              fill[kOutputs] + tiles * inner.outputs);
    const double dram = (fill[kWeights] + fill[kActivations] + 2.0 * fill[kOutputs]) * accelerator_.dram_pj_per_bit;
    return compute * accelerator_.core_nj_per_cycle + 1e-3 * (buffers + dram);
  }

  /// The best of keeping inputs, outputs or weights in place, by bits.
  Inner inner_accesses(std::int64_t b, std::int64_t o, std::int64_t ic, std::int64_t oc) const {
    const auto real = [](std::int64_t v) { return static_cast<double>(v); };
    const double a = a_, w = w_, r = accelerator_.output_bits;
    const std::int64_t m = accelerator_.columns, k2 = d_.kernel * d_.kernel;
    const double is = real(ceil_div(oc, m) * m), ws = real(b * o * o);
    const double os = real(d_.im2col ? ceil_div(ic * k2, reduced_) * reduced_ : ceil_div(ic, reduced_) * reduced_ * k2);
    const double input = os * ws * (a + is * (w + r)), output = is * ws * (r + os * (a + w)),
                 weight = os * is * (w + ws * (a + r));
    if (input <= output && input <= weight) {
      const double i = real(k2 * ic * o * o * b);
      return {i * a, i * real(oc) * w, i * real(oc) * r};
    }
    if (output <= weight) {
      const double p = real(oc * o * o * b);
      return {p * real(k2 * ic) * a, p * real(k2 * ic) * w, p * r};
    }
    const double q = real(k2 * ic * oc);
    return {q * real(b * o * o) * a, q * w, q * real(b * o * o) * r};
  }

  const Accelerator& accelerator_;
  int a_, w_;
  Dimensions d_{};
  std::int64_t factor_ = 1, reduced_ = 1;
  std::array<double, 3> capacity_{};
  Best best_;
};

}  // namespace

ProductCost fusion_array_cost(const Accelerator& accelerator, const Product& product,
                              std::vector<std::string>* explain) {
  Search search(accelerator, product);
  const Best best = search.run();
  if (!best.found) {
    throw std::invalid_argument(accelerator.name + ": not even the smallest tile of a product " +
                                std::to_string(product.m) + " x " + std::to_string(product.n) + " x " +
                                std::to_string(product.k) + " fits its buffers; make them larger");
  }
  ProductCost cost;
  cost.macs = product.macs() / static_cast<double>(product.repeat);
  cost.compute_cycles = best.compute;
  cost.stall_cycles = best.stall;
  const double full = static_cast<double>(accelerator.rows * accelerator.columns * search.factor());
  cost.array_macs = (best.compute + best.stall) * full;
  cost.mapped_macs = cost.macs;
  cost.mapped_slots = best.compute * full;
  cost.buffers.resize(accelerator.buffers.size());
  for (std::size_t i = 0; i < accelerator.buffers.size(); ++i) {
    BufferTraffic& traffic = cost.buffers[i];
    switch (accelerator.buffers[i].role) {
      case BufferRole::kRhs: traffic = {best.tiles * best.inner.weights, best.fill[kWeights]}; break;
      case BufferRole::kLhs: traffic = {best.tiles * best.inner.activations, best.fill[kActivations]}; break;
      case BufferRole::kOut:
        traffic.read_bits = traffic.write_bits = best.fill[kOutputs] + best.tiles * best.inner.outputs;
        break;
    }
  }
  cost.dram_read_bits = best.fill[kWeights] + best.fill[kActivations] + best.fill[kOutputs];
  cost.dram_write_bits = best.fill[kOutputs];
  cost.compute_nj = accelerator.core_nj_per_cycle > 0.0
                        ? best.compute * accelerator.core_nj_per_cycle
                        : 1e-3 * cost.macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
  if (explain != nullptr) {
    const char* names[] = {"B", "OW", "OH", "IC", "OC"};
    std::string tile, order;
    for (std::size_t i = 0; i < 5; ++i)
      tile += std::string(i == 0 ? "" : " ") + names[i] + "=" + std::to_string(best.tile[i]);
    explain->push_back("throughput factor = floor(" + std::to_string(accelerator.max_bits) + "/max(a," +
                       std::to_string(accelerator.fusion_min_bits) + ")) * floor(" +
                       std::to_string(accelerator.max_bits) + "/max(w," + std::to_string(accelerator.fusion_min_bits) +
                       ")) = " + std::to_string(search.factor()));
    explain->push_back("best tile: " + tile + ", " + number_text(best.tiles) + " tiles");
    for (std::size_t i = best.loops; i-- > 0;) {
      const auto loop = static_cast<std::size_t>(best.order[i]);
      order += std::string(order.empty() ? "" : " > ") + names[loop];
    }
    explain->push_back("loops over tiles, outermost first: " + (order.empty() ? std::string("none") : order) +
                       "; chosen among all tiles and orders for the fewest cycles, then the least energy");
    explain->push_back("cycles of a tile = " + search.cycles_text(best.tile));
    explain->push_back("compute cycles = tiles * cycles of a tile = " + number_text(best.compute));
    explain->push_back("DRAM bits = fills of weights " + number_text(best.fill[kWeights]) + " + inputs " +
                       number_text(best.fill[kActivations]) + " + outputs " + number_text(best.fill[kOutputs]) +
                       ", read back " + number_text(best.fill[kOutputs]));
    explain->push_back(
        "stall = max(0, ceil((DRAM bits - first - last) / width) - compute) + ceil(first / width) + ceil(last / "
        "width), first = " +
        number_text(best.first) + ", last = " + number_text(best.last) +
        ", width = " + number_text(accelerator.dram_bits_per_cycle) + " bit/cycle: " + number_text(best.stall));
  }
  return cost;
}

}  // namespace bitcycle
