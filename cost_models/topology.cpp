// SPDX-License-Identifier: Apache-2.0
#include "cost_models/topology.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "cost_models/csv.h"
#include "cost_models/layer_limits.h"
#include "cost_models/topology_header.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kMost = kMostLayerSize;
constexpr std::size_t kMostBytes = std::size_t{1} << 24;

/// DP as a word of its own: "Conv_DP2", not "ADPool".
bool says_depthwise(const std::string& name) {
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  for (auto at = name.find("DP"); at != std::string::npos; at = name.find("DP", at + 1)) {
    if ((at == 0 || !letter(name[at - 1])) && (at + 2 == name.size() || !letter(name[at + 2]))) return true;
  }
  return false;
}

/// Reads line after line; knows the line and column of an error.
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
    for (const auto& [separator, name] : {std::pair{';', "semicolons"}, std::pair{'\t', "tabs"}}) {
      if (cells_.size() == 1 && std::count(cells_[0].begin(), cells_[0].end(), separator) > 1) {
        fail(std::string("the columns of this line are separated by ") + name + "; commas are needed");
      }
    }
    if (header_.written.empty()) {
      try {
        header_ = read_topology_header(cells_);
      } catch (const std::invalid_argument& error) {
        fail(error.what());
      }
    } else {
      if (topology_.layers.size() == kMostLayers) fail("more than " + std::to_string(kMostLayers) + " layers");
      read_layer();
    }
  }

  /// What the reader of the file should know.
  void finish() {
    tell_names(topology_.notes, "Depthwise, by the word DP in their names, as in SCALE-Sim: ", depthwise_,
               ". A column 'groups' says otherwise.");
    tell_names(topology_.warnings, "layers have names that are there already; they are called ", renamed_, "");
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw std::invalid_argument(file_ + ":" + std::to_string(number_) + ": " + message);
  }

  /// The cell of a column; empty where there is none.
  std::string cell(const std::string& name) const {
    const auto found = header_.columns.find(name);
    return found == header_.columns.end() || found->second >= cells_.size() ? "" : cells_[found->second];
  }
  std::int64_t whole(const std::string& name, std::int64_t least, std::int64_t most) const {
    const std::string text = cell(name);
    const std::string& column = header_.written[header_.columns.at(name)];
    if (text.empty()) fail("the cell of column '" + column + "' is empty");
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || rest != end || value < least || value > most) {
      fail((is_printable(text) ? "'" + text + "'" : "what stands") + " in column '" + column +
           "' must be a whole number, " + std::to_string(least) + ".." + std::to_string(most));
    }
    return value;
  }
  /// The same of a cell that may be empty.
  std::int64_t whole_or(const std::string& name, std::int64_t fallback, std::int64_t least, std::int64_t most) const {
    return cell(name).empty() ? fallback : whole(name, least, most);
  }

  /// Sizes that are multiplied before they make a shape.
  void count(std::int64_t a, std::int64_t b, const char* what) const {
    std::int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result) || result > kMostLayerCount) {
      fail("layer '" + name_ + "' has more than 2^53 " + what + "; sizes this large cannot be counted");
    }
  }

  void read_layer() {
    if (cells_.size() > header_.written.size()) {
      fail(std::to_string(cells_.size()) + " columns, the header has " + std::to_string(header_.written.size()));
    }
    name_ = cell("layer");
    if (const std::string wrong = bad_layer_name(name_); !wrong.empty()) fail(wrong);
    TopologyLayer layer;
    layer.operation.layer = names_.unique(name_);
    if (layer.operation.layer != name_) renamed_.push_back(layer.operation.layer);
    layer.has_batch = !cell("batch").empty();
    topology_.has_batch = topology_.has_batch || layer.has_batch;
    layer.operation.shape = header_.products ? product_shape(layer.operation) : convolution_shape();
    layer.operation.kind = header_.products ? (layer.operation.rhs_is_activation ? "matmul" : "linear") : "conv2d";
    if (const std::string excess = too_large(layer.operation.shape); !excess.empty()) {
      fail("layer '" + name_ + "' has " + excess);
    }
    layer.operation.input_gradient = !topology_.layers.empty();
    read_passes(layer);
    if (!cell("lhs_bits").empty() || !cell("rhs_bits").empty()) {
      layer.bits = OperandBits{static_cast<int>(whole_or("lhs_bits", 0, 1, 32)),
                               static_cast<int>(whole_or("rhs_bits", 0, 1, 32))};
      if (layer.bits->lhs == 0 || layer.bits->rhs == 0) fail("lhs_bits and rhs_bits belong together");
      topology_.has_bits = true;
    }
    if (const std::string sparsity = cell("sparsity"); !sparsity.empty()) {
      const auto colon = sparsity.find(':');
      if (colon == std::string::npos || sparsity.substr(0, colon) != sparsity.substr(colon + 1)) {
        fail("sparsity is not modelled; only dense layers (1:1) can be priced");
      }
    }
    topology_.layers.push_back(std::move(layer));
  }

  OperationShape product_shape(MatrixOperation& operation) const {
    const std::int64_t m = whole("m", 1, kMost), n = whole("n", 1, kMost), k = whole("k", 1, kMost);
    const std::int64_t batch = whole_or("batch", 1, 1, kMost);
    if (const std::string rhs = cell("rhs"); !rhs.empty() && rhs != "weight") {
      if (rhs != "activation") fail("rhs is '" + rhs + "', must be weight or activation");
      operation.rhs_is_activation = true;
    }
    OperationShape s;
    if (operation.rhs_is_activation) {  // a product for each sample: groups that share nothing
      count(batch, k, "inputs");
      count(batch, n, "results");
      s.n = m;
      s.c = batch * k;
      s.o = batch * n;
      s.groups = batch;
    } else {
      count(batch, m, "inputs");
      s.n = batch * m;
      s.c = k;
      s.o = n;
    }
    return s;
  }

  OperationShape convolution_shape() {
    OperationShape s;
    s.n = whole_or("batch", 1, 1, kMost);
    s.h = whole("ifmap_height", 1, kMost);
    s.w = whole("ifmap_width", 1, kMost);
    s.c = whole("channels", 1, kMost);
    s.stride_h = whole(header_.two_strides() ? "stride_height" : "stride", 1, kMostLayerStride);
    s.stride_w = header_.two_strides() ? whole("stride_width", 1, kMostLayerStride) : s.stride_h;
    s.dilation_h = s.dilation_w = whole_or("dilation", 1, 1, kMost);
    const bool same = cell("padding") == "same";
    const std::int64_t padding = same ? 0 : whole_or("padding", 0, 0, kMost);
    const auto most_taps = [&](std::int64_t size) {
      return same ? kMost : (size + 2 * padding - 1) / s.dilation_h + 1;
    };
    s.kh = whole("filter_height", 1, most_taps(s.h));
    s.kw = whole("filter_width", 1, most_taps(s.w));
    count(s.kh, s.dilation_h, "taps");
    count(s.kw, s.dilation_w, "taps");
    const bool depthwise = cell("groups").empty() && says_depthwise(name_);
    if (depthwise) depthwise_.push_back(name_);
    s.groups = depthwise ? s.c : whole_or("groups", 1, 1, s.c);
    const std::int64_t filters = whole("filters", 1, kMost);
    if (depthwise) count(filters, s.c, "filters");
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
      } else if (!header_.has("padding")) {
        // SCALE-Sim counts a last window that reaches beyond the input.
        after = (stride - (size - reach) % stride) % stride;
      }
    };
    pad(s.h, s.reach_h(), s.stride_h, s.pad_top, s.pad_bottom);
    pad(s.w, s.reach_w(), s.stride_w, s.pad_left, s.pad_right);
    return s;
  }

  void read_passes(TopologyLayer& layer) const {
    const std::string text = cell("pass");
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
  std::vector<std::string> cells_;
  TopologyHeader header_;
  std::string name_;  // of the layer, as written
  LayerNames names_;
  std::vector<std::string> depthwise_, renamed_;
};

}  // namespace

Workload Topology::workload() const {
  Workload workload;
  workload.model = name;
  for (const auto& layer : layers) workload.matrix.push_back(layer.operation);
  return workload;
}

void Topology::fill_batches(std::int64_t batch) {
  for (auto& layer : layers) {
    if (layer.has_batch) continue;
    OperationShape& s = layer.operation.shape;
    const bool of_sample = layer.operation.rhs_is_activation;
    bool overflows = false;
    for (std::int64_t* size : {of_sample ? &s.groups : &s.n, of_sample ? &s.c : nullptr, of_sample ? &s.o : nullptr}) {
      overflows = overflows || (size != nullptr && __builtin_mul_overflow(*size, batch, size));
    }
    const std::string excess = overflows ? "sizes this large cannot be counted" : too_large(s);
    if (!excess.empty()) {
      throw std::invalid_argument("layer '" + layer.operation.layer + "' of " + name + " with a batch of " +
                                  std::to_string(batch) + ": " + excess);
    }
    layer.has_batch = true;
  }
  has_batch = true;
}

Topology parse_topology(const std::string& text, const std::string& file) {
  Topology topology;
  topology.name = std::filesystem::path(file).filename().string();
  Reader reader(file, topology);
  std::stringstream lines(text.starts_with("\xef\xbb\xbf") ? text.substr(3) : text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) reader.line(line, ++number);
  reader.finish();
  if (topology.layers.empty()) throw std::invalid_argument(file + ": no layer in it");
  return topology;
}

Topology read_topology(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_fifo(path, error) && path.rfind("/dev/fd/", 0) != 0 && path.rfind("/proc/", 0) != 0) {
    throw std::invalid_argument("cannot read the topology '" + path + "': it is a named pipe, not a file");
  }
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
