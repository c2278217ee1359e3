// SPDX-License-Identifier: Apache-2.0
#include "cost_models/topology.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "cost_models/csv.h"
#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kMost = 1000000000;
constexpr std::int64_t kMostStride = 256;  // a strided error pass is up to stride * stride products
constexpr std::int64_t kMostCounts = std::int64_t{1} << 53;
constexpr std::size_t kMostLayers = 100000;
constexpr std::size_t kMostName = 256;
constexpr std::size_t kMostBytes = std::size_t{1} << 24;

const std::vector<std::string> kMoreColumns{"batch", "padding",  "dilation", "groups",  "pass",
                                            "rhs",   "lhs_bits", "rhs_bits", "sparsity"};

bool is_number(const std::string& cell) {
  double value = 0.0;
  const char* end = cell.data() + cell.size();
  const auto [rest, error] = std::from_chars(cell.data(), end, value);
  return error == std::errc() && rest == end;
}

/// "IFMAP Height" -> "ifmap_height".
std::string column_name(const std::string& cell) {
  std::string name;
  for (const char c : cell) {
    name += c == ' ' || c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return name;
}

/// Reads line after line; knows the place of an error.
class Reader {
 public:
  Reader(std::string file, Topology& topology) : file_(std::move(file)), topology_(topology) {}

  void line(const std::string& text, int number) {
    number_ = number;
    try {
      cells_ = split_csv(text);
    } catch (const std::invalid_argument& error) {
      fail(error.what());
    }
    if (cells_.empty()) return;
    if (header_.empty()) {
      read_header();
    } else {
      if (topology_.layers.size() == kMostLayers) fail("more than " + std::to_string(kMostLayers) + " layers");
      read_layer();
    }
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw std::invalid_argument(file_ + ":" + std::to_string(number_) + ": " + message);
  }

  void read_header() {
    std::vector<std::string> names;
    for (const auto& cell : cells_) {
      if (!is_printable(cell)) fail("a column's name holds control characters");
      names.push_back(column_name(cell));
    }
    if (cells_.size() > 1 && std::all_of(cells_.begin() + 1, cells_.end(), is_number)) {
      fail("this is a layer; the first line must be a header that names the columns");
    }
    products_ = names.size() >= 4 && names[1] == "m" && names[2] == "n" && names[3] == "k";
    two_strides_ = !products_ && names.size() >= 9 && names[7] == "stride_height" && names[8] == "stride_width";
    columns_ = products_ ? 4 : two_strides_ ? 9 : 8;
    if (names.size() < columns_) {
      fail(
          "the header must name 8 columns of convolutions (layer, ifmap height and width, filter height and width, "
          "channels, filters, stride), or be 'Layer, M, N, K'");
    }
    for (std::size_t i = columns_; i < names.size(); ++i) {
      if (std::find(kMoreColumns.begin(), kMoreColumns.end(), names[i]) == kMoreColumns.end()) {
        std::string known;
        for (const auto& name : kMoreColumns) known += (known.empty() ? "" : ", ") + name;
        const std::string match = nearest_name(names[i], kMoreColumns);
        fail("there is no column '" + cells_[i] + "'" + (match.empty() ? "" : "; did you mean '" + match + "'?") +
             ". After column " + std::to_string(columns_) + " may follow " + known);
      }
      if (!more_.emplace(names[i], i).second) fail("the column '" + cells_[i] + "' is there twice");
    }
    if (more_.count("lhs_bits") != more_.count("rhs_bits")) fail("lhs_bits and rhs_bits belong together");
    if (products_) {
      for (const char* name : {"padding", "dilation", "groups"}) {
        if (more_.count(name) != 0) fail(std::string("the column '") + name + "' means nothing for products M, N, K");
      }
    }
    topology_.has_batch = more_.count("batch") != 0;
    header_ = cells_;
  }

  std::int64_t whole(std::size_t i, std::int64_t least, std::int64_t most) const {
    std::int64_t value = 0;
    const char* end = cells_[i].data() + cells_[i].size();
    const auto [rest, error] = std::from_chars(cells_[i].data(), end, value);
    if (error != std::errc() || rest != end || value < least || value > most) {
      fail("'" + (is_printable(cells_[i]) ? cells_[i] : "?") + "' in column '" + header_[i] +
           "' must be a whole number, " + std::to_string(least) + ".." + std::to_string(most));
    }
    return value;
  }
  /// The cell of a column beyond the first ones; empty where there is none.
  std::string more(const std::string& name) const {
    const auto found = more_.find(name);
    return found == more_.end() || found->second >= cells_.size() ? "" : cells_[found->second];
  }
  std::int64_t more_whole(const std::string& name, std::int64_t fallback, std::int64_t least, std::int64_t most) const {
    return more(name).empty() ? fallback : whole(more_.at(name), least, most);
  }

  /// Counts are whole numbers in binary64 as well.
  void count(std::initializer_list<std::int64_t> factors, const char* what) const {
    std::int64_t result = 1;
    for (const std::int64_t factor : factors) {
      if (__builtin_mul_overflow(result, factor, &result) || result > kMostCounts) {
        fail("layer '" + cells_[0] + "' has more than 2^53 " + what + "; sizes this large cannot be counted");
      }
    }
  }

  void read_layer() {
    if (cells_.size() < columns_ || cells_.size() > header_.size()) {
      fail(std::to_string(cells_.size()) + " columns, the header has " + std::to_string(header_.size()));
    }
    if (cells_[0].empty()) fail("the layer has no name");
    if (cells_[0].size() > kMostName) fail("the layer's name has more than " + std::to_string(kMostName) + " bytes");
    if (!is_printable(cells_[0])) fail("the layer's name holds control characters or is not UTF-8");
    TopologyLayer layer;
    layer.operation.layer = cells_[0];
    layer.operation.shape = products_ ? product_shape(layer.operation) : convolution_shape();
    layer.operation.kind = products_ ? (layer.operation.rhs_is_activation ? "matmul" : "linear") : "conv2d";
    const OperationShape& s = layer.operation.shape;
    count({s.n, s.h, s.w, s.c}, "inputs");
    count({s.n, s.out_h(), s.out_w(), s.o}, "results");
    count({s.o, s.kh, s.kw, s.c_per_group()}, "weights");
    count({s.n, s.out_h(), s.out_w(), s.o, s.kh, s.kw, s.c_per_group()}, "multiply-accumulates");
    layer.operation.input_gradient = !topology_.layers.empty();
    read_passes(layer);
    if (!more("lhs_bits").empty() || !more("rhs_bits").empty()) {
      layer.bits = OperandBits{static_cast<int>(more_whole("lhs_bits", 0, 1, 32)),
                               static_cast<int>(more_whole("rhs_bits", 0, 1, 32))};
      if (layer.bits->lhs == 0 || layer.bits->rhs == 0) fail("lhs_bits and rhs_bits belong together");
      topology_.has_bits = true;
    }
    if (const std::string sparsity = more("sparsity"); !sparsity.empty()) {
      const auto colon = sparsity.find(':');
      if (colon == std::string::npos || sparsity.substr(0, colon) != sparsity.substr(colon + 1)) {
        fail("sparsity is not modelled; only dense layers (1:1) can be priced");
      }
    }
    topology_.layers.push_back(std::move(layer));
  }

  OperationShape product_shape(MatrixOperation& operation) const {
    const std::int64_t m = whole(1, 1, kMost), n = whole(2, 1, kMost), k = whole(3, 1, kMost);
    const std::int64_t batch = more_whole("batch", 1, 1, kMost);
    if (const std::string rhs = more("rhs"); !rhs.empty() && rhs != "weight") {
      if (rhs != "activation") fail("rhs is '" + rhs + "', must be weight or activation");
      operation.rhs_is_activation = true;
    }
    OperationShape s;
    if (operation.rhs_is_activation) {  // a product for each sample: groups that share nothing
      count({batch, k}, "inputs");
      count({batch, n}, "results");
      s.n = m;
      s.c = batch * k;
      s.o = batch * n;
      s.groups = batch;
    } else {
      count({batch, m}, "inputs");
      s.n = batch * m;
      s.c = k;
      s.o = n;
    }
    return s;
  }

  OperationShape convolution_shape() const {
    OperationShape s;
    s.n = more_whole("batch", 1, 1, kMost);
    s.h = whole(1, 1, kMost);
    s.w = whole(2, 1, kMost);
    s.c = whole(5, 1, kMost);
    s.stride_h = whole(7, 1, kMostStride);
    s.stride_w = two_strides_ ? whole(8, 1, kMostStride) : s.stride_h;
    s.dilation_h = s.dilation_w = more_whole("dilation", 1, 1, kMost);
    const bool same = more("padding") == "same";
    const std::int64_t padding = same ? 0 : more_whole("padding", 0, 0, kMost);
    const auto most_taps = [&](std::int64_t size) {
      return same ? kMost : (size + 2 * padding - 1) / s.dilation_h + 1;
    };
    s.kh = whole(3, 1, most_taps(s.h));
    s.kw = whole(4, 1, most_taps(s.w));
    count({s.kh, s.dilation_h}, "taps");
    count({s.kw, s.dilation_w}, "taps");
    const bool depthwise = more("groups").empty() && cells_[0].find("DP") != std::string::npos;
    s.groups = depthwise ? s.c : more_whole("groups", 1, 1, s.c);
    const std::int64_t filters = whole(6, 1, kMost);
    if (depthwise) count({filters, s.c}, "filters");
    s.o = depthwise ? filters * s.c : filters;
    if (s.c % s.groups != 0 || s.o % s.groups != 0) {
      fail(std::to_string(s.groups) + " groups do not divide " + std::to_string(s.c) + " channels and " +
           std::to_string(s.o) + " filters");
    }
    const auto pad = [&](std::int64_t size, std::int64_t reach, std::int64_t stride, std::int64_t& before,
                         std::int64_t& after) {
      before = after = padding;
      if (same) {
        const std::int64_t total =
            std::max<std::int64_t>(0, ((size + stride - 1) / stride - 1) * stride + reach - size);
        before = total / 2;
        after = total - before;
      } else if (more_.count("padding") == 0) {
        // SCALE-Sim counts a last window that reaches beyond the input.
        after = (stride - (size - reach) % stride) % stride;
      }
    };
    pad(s.h, s.reach_h(), s.stride_h, s.pad_top, s.pad_bottom);
    pad(s.w, s.reach_w(), s.stride_w, s.pad_left, s.pad_right);
    return s;
  }

  void read_passes(TopologyLayer& layer) const {
    const std::string text = more("pass");
    if (text.empty()) return;
    layer.names_passes = true;
    auto& passes = layer.operation.passes;
    passes = {false, false, false};
    std::stringstream parts(text);
    for (std::string part; std::getline(parts, part, '+');) {
      const std::map<std::string, std::array<bool, 3>> known{{"forward", {true, false, false}},
                                                             {"inference", {true, false, false}},
                                                             {"error", {false, true, false}},
                                                             {"weight_gradient", {false, false, true}},
                                                             {"training", {true, true, true}}};
      const auto found = known.find(part);
      if (found == known.end()) {
        fail("pass is '" + (is_printable(text) ? text : "?") +
             "', must be forward, error and weight_gradient, joined by +, or training, or inference");
      }
      for (std::size_t i = 0; i < passes.size(); ++i) passes[i] = passes[i] || found->second[i];
    }
    layer.operation.input_gradient = passes[static_cast<std::size_t>(Pass::kError)];
  }

  std::string file_;
  Topology& topology_;
  int number_ = 0;
  std::vector<std::string> cells_, header_;
  std::map<std::string, std::size_t> more_;  // columns beyond the first ones, by name
  std::size_t columns_ = 0;
  bool products_ = false, two_strides_ = false;
};

}  // namespace

Workload Topology::workload() const {
  Workload workload;
  workload.model = name;
  for (const auto& layer : layers) workload.matrix.push_back(layer.operation);
  return workload;
}

Topology parse_topology(const std::string& text, const std::string& file) {
  Topology topology;
  topology.name = std::filesystem::path(file).filename().string();
  Reader reader(file, topology);
  std::stringstream lines(text.starts_with("\xef\xbb\xbf") ? text.substr(3) : text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) reader.line(line, ++number);
  if (topology.layers.empty()) throw std::invalid_argument(file + ": no layer in it");
  return topology;
}

Topology read_topology(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) {
    throw std::invalid_argument("cannot read the topology '" + path + "'");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMostBytes) throw std::invalid_argument(path + ": a topology has at most 16 MiB");
  return parse_topology(text, path);
}

}  // namespace bitcycle
