// SPDX-License-Identifier: Apache-2.0
#include "cost_models/pricing.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>
#include <tuple>

namespace bitcycle {
namespace {

using Histogram = std::map<LayerWidths, std::int64_t>;

/// Costs of products that were priced already; resnet152 has a dozen shapes.
class Cache {
 public:
  explicit Cache(const Accelerator& accelerator) : accelerator_(accelerator) {}

  const ProductCost& of(const Product& p) {
    const auto found = costs_.find(p);
    if (found != costs_.end()) return found->second;
    return costs_.emplace(p, cost_of(accelerator_, p)).first->second;
  }

 private:
  const Accelerator& accelerator_;
  std::map<Product, ProductCost> costs_;
};

struct PassWidths {
  OperandBits bits;
  bool float32 = false;
  auto key() const { return std::tuple(bits.lhs, bits.rhs, float32); }
};

/// Widths of a pass, as scheduled or as multiplied; 0 x 0: it does not run.
PassWidths widths_of(const MatrixOperation& operation, Pass pass, const LayerWidths& scheduled,
                     const PricingOptions& options) {
  if (options.executed) {
    const OperandBits bits = executed_bits(operation, pass, scheduled, options.reading);
    return {bits, bits.lhs == 32 && bits.rhs == 32 &&
                      (!operation.quantised || scheduled.forward.is_float32() || scheduled.gradient.is_float32())};
  }
  const bool float32 = scheduled.forward.is_float32() || (pass != Pass::kForward && scheduled.gradient.is_float32());
  return {float32 ? OperandBits{32, 32} : scheduled_bits(pass, scheduled), float32};
}

std::vector<Product> layer_products(const Accelerator& accelerator, const Workload& workload, std::size_t index,
                                    Pass pass, const PassWidths& widths, const PricingOptions& options) {
  auto products = products_of(workload.matrix[index], pass, widths.bits, options.batch,
                              accelerator.im2col_first_layer && index == 0, accelerator.zero_inserted_errors);
  for (auto& product : products) product.float32 = widths.float32;
  return products;
}

double elements(std::int64_t count, std::int64_t batch) {
  return static_cast<double>(count) * static_cast<double>(batch);
}

Pricing price(const Accelerator& accelerator, const Workload& workload,
              const std::function<Histogram(const std::string&)>& histogram, const PricingOptions& options) {
  Pricing pricing;
  pricing.accelerator = accelerator;
  Cache cache(accelerator);
  const auto elementwise = [&](const std::string& layer, const std::string& pass, int bits, std::int64_t steps,
                               const ElementwiseWork& work) {
    PricedRow row;
    row.layer = layer;
    row.pass = pass;
    row.lhs_bits = 32;
    row.rhs_bits = bits;
    row.steps = steps;
    row.cost.add(cost_of(accelerator, work), static_cast<double>(steps));
    pricing.rows.push_back(std::move(row));
  };
  for (std::size_t i = 0; i < workload.matrix.size(); ++i) {
    const MatrixOperation& operation = workload.matrix[i];
    const Histogram steps_at = histogram(operation.layer);
    for (const Pass pass : kPasses) {
      std::map<std::tuple<int, int, bool>, std::pair<PassWidths, std::int64_t>> widths;
      for (const auto& [scheduled, steps] : steps_at) {
        const PassWidths of = widths_of(operation, pass, scheduled, options);
        auto& entry = widths[of.key()];
        entry.first = of;
        entry.second += steps;
      }
      for (const auto& [key, entry] : widths) {
        const auto& [of, steps] = entry;
        if (of.bits.lhs == 0) continue;
        PricedRow row;
        row.layer = operation.layer;
        row.pass = pass_name(pass);
        row.lhs_bits = of.bits.lhs;
        row.rhs_bits = of.bits.rhs;
        row.float32 = of.float32;
        row.steps = steps;
        for (const auto& product : layer_products(accelerator, workload, i, pass, of, options)) {
          if (row.m == 0) {
            row.m = product.m;
            row.n = product.n;
            row.k = product.k;
          }
          row.cost.add(cache.of(product), static_cast<double>(steps));
        }
        pricing.rows.push_back(std::move(row));
      }
    }
    const ConvShape& s = operation.shape;
    for (const auto& [scheduled, steps] : steps_at) {
      if (options.quantisation && !scheduled.forward.is_float32()) {
        const double x = elements(s.input_size(), options.batch), g = elements(s.output_size(), options.batch);
        elementwise(operation.layer, "quantisation", scheduled.forward.bits(), steps,
                    {x + g, 32.0 * (x + g), x * scheduled.forward.bits() + g * scheduled.gradient.bits()});
      }
      if (options.weight_update) {
        const auto w = static_cast<double>(s.weight_size());
        elementwise(operation.layer, "weight_update", scheduled.forward.bits(), steps,
                    {3.0 * w, 96.0 * w, (64.0 + scheduled.forward.bits()) * w});
      }
    }
  }
  if (options.batch_norm) {
    for (const auto& operation : workload.elementwise) {
      if (operation.kind != "batch_norm") continue;
      std::int64_t steps = 0;
      for (const auto& [scheduled, count] : histogram(operation.layer)) steps += count;
      const double e = elements(operation.elements, options.batch);
      // Forward: y read for the statistics and again to be normalised, z written. Backward: u and y read, dy written.
      elementwise(operation.layer, "batch_norm", 32, steps, {4.0 * e, 4.0 * 32.0 * e, 2.0 * 32.0 * e});
    }
  }
  for (const auto& row : pricing.rows) pricing.total.add(row.cost);
  return pricing;
}

Histogram static_histogram(const LayerWidths& widths, std::int64_t steps) {
  return steps > 0 ? Histogram{{widths, steps}} : Histogram{};
}

std::string text_of(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}
std::string exact(double value) { return text_of("%.17g", value); }

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::stringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) {
    const auto begin = cell.find_first_not_of(" \t\r");
    const auto end = cell.find_last_not_of(" \t\r");
    cells.push_back(begin == std::string::npos ? "" : cell.substr(begin, end - begin + 1));
  }
  while (!cells.empty() && cells.back().empty()) cells.pop_back();
  return cells;
}

}  // namespace

Pricing price_training(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                       std::int64_t begin, std::int64_t end, const PricingOptions& options) {
  return price(
      accelerator, workload, [&](const std::string& layer) { return plan.histogram(layer, begin, end); }, options);
}

Pricing price_static(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                     std::int64_t begin, std::int64_t end, const PricingOptions& options) {
  return price(
      accelerator, workload, [&](const std::string& layer) { return static_histogram(plan.max(layer), end - begin); },
      options);
}

std::vector<TopologyRow> read_topology(const std::string& path, int lhs_bits, int rhs_bits) {
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) throw std::invalid_argument("cannot read the topology '" + path + "'");
  return parse_topology(text.str(), path, lhs_bits, rhs_bits);
}

namespace {

bool is_number(const std::string& cell) {
  double value = 0.0;
  const char* end = cell.data() + cell.size();
  const auto [rest, error] = std::from_chars(cell.data(), end, value);
  return error == std::errc() && rest == end;
}

}  // namespace

std::vector<TopologyRow> parse_topology(const std::string& text, const std::string& path, int lhs_bits, int rhs_bits) {
  std::stringstream file(text);
  std::string line;
  std::vector<std::string> header;
  std::vector<TopologyRow> rows;
  bool matmul = false;
  std::size_t columns = 0;
  for (int number = 1; std::getline(file, line); ++number) {
    const auto cells = split(line);
    if (cells.empty()) continue;
    const auto fail = [&](const std::string& message) {
      throw std::invalid_argument(path + ":" + std::to_string(number) + ": " + message);
    };
    if (header.empty()) {
      header = cells;
      matmul = cells.size() >= 4 && cells[1] == "M" && cells[2] == "N" && cells[3] == "K";
      columns = matmul ? 4 : 8;
      if (cells.size() < columns) {
        fail(
            "the header must name 8 columns of convolutions (layer, ifmap height and width, filter height and width, "
            "channels, filters, stride), or be 'Layer, M, N, K'");
      }
      if (cells.size() != columns &&
          (cells.size() != columns + 2 || cells[columns] != "lhs_bits" || cells[columns + 1] != "rhs_bits")) {
        fail("after column " + std::to_string(columns) + " only 'lhs_bits, rhs_bits' may follow");
      }
      if (std::all_of(cells.begin() + 1, cells.end(), is_number)) {
        fail("this is a layer; the first line must be a header that names the columns");
      }
      continue;
    }
    if (cells.size() != columns && cells.size() != header.size()) {
      fail(std::to_string(cells.size()) + " columns, the header has " + std::to_string(header.size()));
    }
    const auto whole = [&](std::size_t i, std::int64_t most) {
      std::int64_t value = 0;
      const char* end = cells[i].data() + cells[i].size();
      const auto [rest, error] = std::from_chars(cells[i].data(), end, value);
      if (error != std::errc() || rest != end || value < 1 || value > most) {
        fail("'" + cells[i] + "' in column '" + header[i] + "' must be a whole number, 1.." + std::to_string(most));
      }
      return value;
    };
    constexpr std::int64_t kMost = 1000000000;
    // Counts are whole numbers in binary64 as well: at most 2^53 multiply-accumulates a layer.
    const auto product_of = [&](std::initializer_list<std::int64_t> factors) {
      std::int64_t result = 1;
      for (const std::int64_t factor : factors) {
        if (__builtin_mul_overflow(result, factor, &result) || result > (std::int64_t{1} << 53)) {
          fail("layer '" + cells[0] + "' has more than 2^53 multiply-accumulates; sizes this large cannot be counted");
        }
      }
      return result;
    };
    TopologyRow row;
    row.layer = cells[0];
    Product& p = row.product;
    const auto real = [](std::int64_t v) { return static_cast<double>(v); };
    if (matmul) {
      p.m = whole(1, kMost);
      p.n = whole(2, kMost);
      p.k = whole(3, kMost);
      p.lhs_elements = real(p.m) * real(p.k);
    } else {
      const std::int64_t h = whole(1, kMost), w = whole(2, kMost), kh = whole(3, h), kw = whole(4, w);
      const std::int64_t channels = whole(5, kMost), filters = whole(6, kMost), stride = whole(7, kMost);
      const auto out = [&](std::int64_t size, std::int64_t kernel) {
        return (size - kernel + 2 * stride - 1) / stride;
      };
      p.m = product_of({out(h, kh), out(w, kw)});
      p.n = filters;
      p.k = product_of({kh, kw, channels});
      p.lhs_elements = real(h) * real(w) * real(channels);
      p.windows.images = 1;
      p.windows.height = h;
      p.windows.width = w;
      p.windows.channels = channels;
      p.windows.out_height = out(h, kh);
      p.windows.out_width = out(w, kw);
      p.windows.kernel_height = kh;
      p.windows.kernel_width = kw;
      p.windows.stride = stride;
      if (out(h, kh) == out(w, kw) && kh == kw) {
        p.batch = 1;
        p.out = out(h, kh);
        p.kernel = kh;
        p.stride = stride;
        p.in_channels = channels;
        p.out_channels = filters;
        p.im2col = rows.empty();
      }
    }
    product_of({p.m, p.n, p.k});
    p.rhs_elements = real(p.n) * real(p.k);
    p.out_elements = real(p.m) * real(p.n);
    p.lhs_bits = lhs_bits;
    p.rhs_bits = rhs_bits;
    if (cells.size() > columns) {
      p.lhs_bits = static_cast<int>(whole(columns, 32));
      p.rhs_bits = static_cast<int>(whole(columns + 1, 32));
    }
    rows.push_back(std::move(row));
  }
  if (rows.empty()) throw std::invalid_argument(path + ": no layer in it");
  return rows;
}

Pricing price_topology(const Accelerator& accelerator, const std::vector<TopologyRow>& topology) {
  Pricing pricing;
  pricing.accelerator = accelerator;
  Cache cache(accelerator);
  for (const auto& [layer, given] : topology) {
    Product product = given;
    product.im2col = product.im2col && accelerator.im2col_first_layer;
    PricedRow row;
    row.layer = layer;
    row.pass = pass_name(Pass::kForward);
    row.lhs_bits = product.lhs_bits;
    row.rhs_bits = product.rhs_bits;
    row.m = product.m;
    row.n = product.n;
    row.k = product.k;
    row.steps = 1;
    row.cost = cache.of(product);
    pricing.total.add(row.cost);
    pricing.rows.push_back(std::move(row));
  }
  return pricing;
}

MemoryNeed memory_need(const Workload& workload, const PrecisionPlan& plan, const PricingOptions& options) {
  MemoryNeed need;
  for (const auto& operation : workload.matrix) {
    const LayerWidths widths = plan.max(operation.layer);
    const bool float32 = options.executed && !operation.quantised;
    const double bits = float32 ? 32.0 : widths.forward.bits();
    need.saved_activations += elements(operation.shape.input_size(), options.batch) * bits;
    need.master_weights += 32.0 * static_cast<double>(operation.shape.weight_size());
    need.ranges += 2.0 * 2.0 * 32.0;  // minimum and maximum of activations and of gradients
  }
  need.momentum = need.master_weights;
  return need;
}

std::vector<std::string> explain_layer(const Accelerator& accelerator, const Workload& workload,
                                       const PrecisionPlan& plan, const std::string& layer,
                                       const PricingOptions& options) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < workload.matrix.size(); ++i) {
    if (workload.matrix[i].layer != layer) continue;
    for (const Pass pass : kPasses) {
      const PassWidths widths = widths_of(workload.matrix[i], pass, plan.max(layer), options);
      lines.push_back(layer + ", " + pass_name(pass) + " on " + accelerator.name + ", one step of " +
                      std::to_string(options.batch) + " images:");
      if (widths.bits.lhs == 0) {
        lines.push_back("  does not run: nothing needs it");
        continue;
      }
      for (const auto& product : layer_products(accelerator, workload, i, pass, widths, options)) {
        std::vector<std::string> found;
        cost_of(accelerator, product, &found);
        for (const auto& line : found) lines.push_back("  " + line);
      }
    }
    lines.push_back("constants:");
    for (const auto& constant : accelerator.constants) lines.push_back("  " + constant);
    return lines;
  }
  std::string known;
  for (const auto& operation : workload.matrix) known += (known.empty() ? "" : ", ") + operation.layer;
  throw std::invalid_argument("there is no layer '" + layer + "'; there are " + known);
}

std::string pricing_csv(const std::vector<Pricing>& pricings) {
  std::vector<std::string> buffers;
  for (const auto& pricing : pricings) {
    for (const auto& buffer : pricing.accelerator.buffers) {
      if (std::find(buffers.begin(), buffers.end(), buffer.name) == buffers.end()) buffers.push_back(buffer.name);
    }
  }
  std::string csv = "layer,pass,lhs_bits,rhs_bits,m,n,k,macs,total_cycles,compute_cycles,stall_cycles,utilisation";
  for (const auto& name : buffers) csv += "," + name + "_read_bits," + name + "_write_bits";
  csv +=
      ",dram_read_bits,dram_write_bits,compute_nj,buffers_nj,dram_nj,leakage_nj,total_nj,compulsory_bits,bitops,steps,"
      "accelerator\n";
  for (const auto& pricing : pricings) {
    for (const auto& row : pricing.rows) {
      const ProductCost& c = row.cost;
      csv += row.layer + "," + row.pass + "," + std::to_string(row.lhs_bits) + "," + std::to_string(row.rhs_bits) +
             "," + std::to_string(row.m) + "," + std::to_string(row.n) + "," + std::to_string(row.k) + "," +
             exact(c.macs) + ",";
      if (pricing.accelerator.has_time()) {
        csv += exact(c.total_cycles()) + "," + exact(c.compute_cycles) + "," + exact(c.stall_cycles) + "," +
               exact(c.utilisation());
      } else {
        csv += ",,,";
      }
      for (const auto& name : buffers) {
        std::string cells = ",,";
        for (std::size_t i = 0; i < pricing.accelerator.buffers.size() && i < c.buffers.size(); ++i) {
          if (pricing.accelerator.buffers[i].name != name) continue;
          cells = "," + exact(c.buffers[i].read_bits) + "," + exact(c.buffers[i].write_bits);
        }
        csv += cells;
      }
      if (pricing.accelerator.has_energy()) {
        for (const double value : {c.dram_read_bits, c.dram_write_bits, c.compute_nj, c.buffers_nj, c.dram_nj,
                                   c.leakage_nj, c.total_nj(), c.compulsory_bits}) {
          csv += "," + exact(value);
        }
      } else {
        csv += ",,,,,,,,";
      }
      csv += "," + exact(c.bitops) + "," + std::to_string(row.steps) + "," + pricing.accelerator.name + "\n";
    }
  }
  return csv;
}

double scalesim_compute_utilisation(const Accelerator& accelerator, const ProductCost& cost) {
  const double array = static_cast<double>(accelerator.rows * accelerator.columns);
  const double folds = cost.mapped_slots / array;
  const double longer = accelerator.dataflow == Dataflow::kOutputStationary ? 0.0 : folds * static_cast<double>(accelerator.rows - 1);
  return 100.0 * cost.macs / ((cost.compute_cycles + 1.0 + longer) * array);
}

std::string scalesim_compute_report(const Pricing& pricing) {
  std::string csv = "LayerID, Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,\n";
  for (std::size_t i = 0; i < pricing.rows.size(); ++i) {
    const ProductCost& c = pricing.rows[i].cost;
    const double mapping = c.mapped_slots > 0.0 ? 100.0 * c.mapped_macs / c.mapped_slots : 0.0;
    csv += std::to_string(i) + ", " + exact(c.total_cycles()) + ", " + exact(c.stall_cycles) + ", " +
           exact(100.0 * c.utilisation()) + ", " + exact(mapping) + ", " +
           exact(scalesim_compute_utilisation(pricing.accelerator, c)) + ",\n";
  }
  return csv;
}

std::string scalesim_access_report(const Pricing& pricing) {
  const char* kinds[] = {"IFMAP Reads", "Filter Reads", "OFMAP Writes"};
  std::string csv = "LayerID";
  for (const char* memory : {"SRAM", "DRAM"}) {
    for (const char* kind : kinds) csv += std::string(", ") + memory + " " + kind;
  }
  csv += ",\n";
  for (std::size_t i = 0; i < pricing.rows.size(); ++i) {
    const auto& row = pricing.rows[i];
    double words[6] = {};
    for (std::size_t b = 0; b < pricing.accelerator.buffers.size(); ++b) {
      const BufferTraffic& t = row.cost.buffers[b];
      switch (pricing.accelerator.buffers[b].role) {
        case BufferRole::kLhs:
          words[0] = t.read_bits / row.lhs_bits;
          words[3] = t.write_bits / row.lhs_bits;
          break;
        case BufferRole::kRhs:
          words[1] = t.read_bits / row.rhs_bits;
          words[4] = t.write_bits / row.rhs_bits;
          break;
        case BufferRole::kOut:
          words[2] = t.write_bits / pricing.accelerator.output_bits;
          words[5] = row.cost.dram_write_bits / pricing.accelerator.output_bits;
          break;
      }
    }
    csv += std::to_string(i);
    for (const double value : words) csv += ", " + exact(value);
    csv += ",\n";
  }
  return csv;
}

namespace {

nlohmann::ordered_json figures(const Accelerator& accelerator, const ProductCost& c) {
  nlohmann::ordered_json json{{"macs", c.macs}, {"bitops", c.bitops}, {"effective_macs", c.effective_macs}};
  if (accelerator.has_time()) {
    json["total_cycles"] = c.total_cycles();
    json["compute_cycles"] = c.compute_cycles;
    json["stall_cycles"] = c.stall_cycles;
    json["utilisation"] = c.utilisation();
    json["seconds"] = c.total_cycles() / accelerator.clock_hz;
    for (std::size_t i = 0; i < accelerator.buffers.size() && i < c.buffers.size(); ++i) {
      json[accelerator.buffers[i].name + "_read_bits"] = c.buffers[i].read_bits;
      json[accelerator.buffers[i].name + "_write_bits"] = c.buffers[i].write_bits;
    }
  }
  if (accelerator.has_energy()) {
    json["dram_read_bits"] = c.dram_read_bits;
    json["dram_write_bits"] = c.dram_write_bits;
    json["compulsory_bits"] = c.compulsory_bits;
    json["compute_nj"] = c.compute_nj;
    json["buffers_nj"] = c.buffers_nj;
    json["dram_nj"] = c.dram_nj;
    json["leakage_nj"] = c.leakage_nj;
    json["total_nj"] = c.total_nj();
  }
  return json;
}

}  // namespace

nlohmann::ordered_json pricing_json_totals(const Accelerator& accelerator, const ProductCost& cost,
                                           const ProductCost& baseline) {
  return {{"accelerator", accelerator.name},
          {"total", figures(accelerator, cost)},
          {"baseline", figures(accelerator, baseline)}};
}

nlohmann::ordered_json pricing_json(const Pricing& pricing, const Pricing* baseline) {
  const auto figures = [&](const ProductCost& cost) { return bitcycle::figures(pricing.accelerator, cost); };
  nlohmann::ordered_json json{{"accelerator", pricing.accelerator.name}, {"total", figures(pricing.total)}};
  if (baseline != nullptr) json["baseline"] = figures(baseline->total);
  auto& rows = json["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : pricing.rows) {
    nlohmann::ordered_json entry{{"layer", row.layer},
                                 {"pass", row.pass},
                                 {"lhs_bits", row.lhs_bits},
                                 {"rhs_bits", row.rhs_bits},
                                 {"float32", row.float32},
                                 {"m", row.m},
                                 {"n", row.n},
                                 {"k", row.k},
                                 {"steps", row.steps}};
    entry.update(figures(row.cost));
    rows.push_back(std::move(entry));
  }
  return json;
}

}  // namespace bitcycle
