// SPDX-License-Identifier: Apache-2.0
// Reading and checking of recorded operator cases.
#include "nn/train/operator_case.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/io/layout.h"
#include "nn/train/case_file.h"
#include "nn/train/case_json.h"

namespace bitcycle {
namespace {

using Json = nlohmann::json;

/// case.json with typed, checked access; every error names the file and the key.
class OperatorJson {
 public:
  explicit OperatorJson(const std::filesystem::path& path) : path_(path) {
    json_ = parse_case_json(read_file(path), path);
    if (!json_.is_object()) throw std::runtime_error(path.string() + ": a JSON object is needed");
  }

  [[noreturn]] void fail(const std::string& key, const std::string& expected) const {
    const auto found = json_.find(key);
    throw std::runtime_error(path_.string() + ": key '" + key + "' is " +
                             (found == json_.end() ? "missing" : found->dump()) + "; expected " + expected);
  }

  std::int64_t integer(const std::string& key, std::int64_t least, std::int64_t most) const {
    const auto found = json_.find(key);
    const std::string expected = "an integer " + std::to_string(least) + ".." + std::to_string(most);
    if (found == json_.end() || !found->is_number_integer()) fail(key, expected);
    const auto value = found->get<std::int64_t>();
    if (value < least || value > most) fail(key, expected);
    return value;
  }

  std::optional<double> bound(const std::string& key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) return std::nullopt;
    if (!found->is_number() || !is_tolerance(found->get<double>())) fail(key, kToleranceRule);
    return found->get<double>();
  }

  void only_keys(const std::vector<std::string>& known) const {
    for (const auto& item : json_.items()) {
      if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
      throw std::runtime_error(path_.string() + ": " + unknown_key(item.key(), known));
    }
  }

  void require_text(const std::string& key, const std::string& expected) const {
    const auto found = json_.find(key);
    if (found == json_.end() || *found != expected) fail(key, "\"" + expected + "\"");
  }

  bool is_text(const std::string& key, const std::string& value) const {
    const auto found = json_.find(key);
    return found != json_.end() && *found == value;
  }

  /// Empty where there is no such key.
  std::vector<std::string> names(const std::string& key, const std::vector<std::string>& known) const {
    std::string list = "names among ";
    for (const auto& name : known) list += (name == known.front() ? "" : ", ") + name;
    const auto found = json_.find(key);
    std::vector<std::string> names;
    if (found == json_.end()) return names;
    if (!found->is_array()) fail(key, list);
    for (const Json& entry : *found) {
      if (!entry.is_string() || std::find(known.begin(), known.end(), entry.get<std::string>()) == known.end()) {
        throw std::runtime_error(path_.string() + ": key '" + key + "' names " + entry.dump() + "; expected " + list);
      }
      names.push_back(entry.get<std::string>());
    }
    return names;
  }

 private:
  std::filesystem::path path_;
  Json json_;
};

/// A float32 array with four dimensions; a layer's with two, as the first two of four.
struct Tensor4 {
  std::string path;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

Tensor4 read_tensor(const std::filesystem::path& path, bool linear) {
  const NpyArray array = read_npy(path);
  if (array.type != NpyType::kFloat32 || array.shape.size() != (linear ? 2U : 4U)) {
    throw std::runtime_error(path.string() + ": " + npy_descr(array.type) + " of shape " + array.shape_text() +
                             "; expected <f4 with " + (linear ? "two" : "four") + " dimensions");
  }
  std::vector<std::int64_t> shape = array.shape;
  shape.resize(4, 1);
  return {path.string(), shape, array.values<float>()};
}

void require_shape(const Tensor4& tensor, const std::vector<std::int64_t>& expected) {
  if (tensor.shape == expected) return;
  NpyArray is, wanted;
  is.shape = tensor.shape;
  wanted.shape = expected;
  throw std::runtime_error(tensor.path + ": shape " + is.shape_text() + "; expected " + wanted.shape_text());
}

/// Garbage in an operand would give golden vectors of garbage, without a word.
void require_finite(const Tensor4& tensor) {
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    if (std::isfinite(tensor.values[i])) continue;
    throw std::runtime_error(tensor.path + ": value " + std::to_string(i) +
                             " is not finite (infinity or NaN), and such a value has no code; write a finite number");
  }
}
/// Docs/numerics.md, 8.2.
void require_noise(const Tensor4& tensor) {
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    if (tensor.values[i] >= -0.5F && tensor.values[i] < 0.5F) continue;
    throw std::runtime_error(tensor.path + ": value " + std::to_string(i) + " is " + std::to_string(tensor.values[i]) +
                             "; rounding noise is at least -0.5 and below 0.5");
  }
}

std::vector<float> to_channels_last(const Tensor4& tensor) {
  return channels_last(tensor.values, tensor.shape[1], tensor.shape[2] * tensor.shape[3]);
}

using Shape = std::vector<std::int64_t>;

std::string npy_shape_text(const Shape& shape) {
  NpyArray array;
  array.shape = shape;
  return array.shape_text();
}

/// The shapes of the three operands, and whether they make a convolution of the case's stride, padding and groups.
struct Shapes {
  Shape x, w, dy;

  /// What does not hold; empty where all of it does.
  std::string complaint(ConvShape& s) const {
    s.n = x[0];
    s.c = x[1];
    s.h = x[2];
    s.w = x[3];
    s.o = w[0];
    s.kh = w[2];
    s.kw = w[3];
    try {
      check_shape(s);
    } catch (const std::invalid_argument& error) {
      return std::string("x and w make no convolution: ") + error.what();
    }
    const Shape wanted_w{s.o, s.c_per_group(), s.kh, s.kw}, y{s.n, s.o, s.out_h(), s.out_w()};
    if (w != wanted_w) return "to x, and to the groups, belong weights of shape " + npy_shape_text(wanted_w);
    if (dy != y) return "x and w make results of shape " + npy_shape_text(y);
    return "";
  }
};

/// The convolution of the operands. Where they do not fit together, the arrays that are recorded beside them (codes
/// have the shape of what they are codes of) decide which one is wrong.
ConvShape shape_of(const OperatorJson& file, const std::filesystem::path& folder, const std::vector<std::string>& names,
                   const Shapes& given) {
  constexpr std::int64_t kMost = 1 << 20;
  ConvShape s;
  s.stride = file.integer("stride", 1, kMost);
  s.padding = file.integer("padding", 0, kMost);
  s.groups = file.integer("groups", 1, kMost);
  const std::string complaint = given.complaint(s);
  if (complaint.empty()) return s;
  const std::string settings = "stride " + std::to_string(s.stride) + ", padding " + std::to_string(s.padding) +
                               " and groups " + std::to_string(s.groups) + " of case.json";
  const std::vector<std::pair<std::string, std::vector<std::string>>> alike{
      {"x", {"qx", "dx"}}, {"w", {"qw", "dw"}}, {"dy", {"qg", "noise", "y"}}};
  for (const auto& [operand, others] : alike) {
    for (const auto& other : others) {
      if (std::find(names.begin(), names.end(), other + ".npy") == names.end()) continue;
      const Shape shape = read_npy(folder / (other + ".npy")).shape;
      Shapes mended = given;
      Shape& of = operand == "x" ? mended.x : (operand == "w" ? mended.w : mended.dy);
      const Shape is = of;
      of = shape;
      ConvShape ignored = s;
      if (shape.size() != 4 || shape == is || !mended.complaint(ignored).empty()) continue;
      throw std::runtime_error((folder / (operand + ".npy")).string() + ": shape " + npy_shape_text(is) +
                               "; expected " + npy_shape_text(shape) + ", as " + other +
                               ".npy has it, and as the other operands and " + settings + " need it");
    }
  }
  throw std::runtime_error((folder / "case.json").string() + ": x.npy of shape " + npy_shape_text(given.x) +
                           ", w.npy of " + npy_shape_text(given.w) + " and dy.npy of " + npy_shape_text(given.dy) +
                           " do not fit together with " + settings + ": " + complaint);
}

/// The layer of case.json, whose operands have the shapes that follow from it.
ConvShape shape_of_layer(const OperatorJson& file, const Tensor4& x, const Tensor4& w, const Tensor4& dy) {
  constexpr std::int64_t kMost = 1 << 20;
  const std::int64_t rows = file.integer("rows", 1, kMost), inputs = file.integer("in_features", 1, kMost),
                     outputs = file.integer("out_features", 1, kMost);
  require_shape(x, {rows, inputs, 1, 1});
  require_shape(w, {outputs, inputs, 1, 1});
  require_shape(dy, {rows, outputs, 1, 1});
  return matmul_shape(rows, outputs, inputs);
}

void read_bias_kind(const OperatorJson& file, const std::vector<std::string>& inputs, OperatorCase& result) {
  const bool none = file.is_text("bias", "none");
  result.bias_quantised = file.is_text("bias", "quantised");
  if (!none && !result.bias_quantised && !file.is_text("bias", "float32")) {
    file.fail("bias", "none, float32 or quantised");
  }
  const bool given = std::find(inputs.begin(), inputs.end(), "bias") != inputs.end();
  if (given == none) file.fail("inputs", none ? "no bias, for bias is none" : "bias among them");
}

}  // namespace

OperatorCase read_operator_case(const std::filesystem::path& case_dir) {
  const OperatorJson file(case_dir / "case.json");
  OperatorCase result;
  result.linear = file.is_text("op", "linear");
  std::vector<std::string> keys{"kind",  "op",    "quantizer",       "bits",   "grad_bits", "inputs",
                                "exact", "close", "close_tolerance", "comment"};
  for (const char* key : {"layout", "weight_layout", "stride", "padding", "groups"}) {
    if (!result.linear) keys.push_back(key);
  }
  for (const char* key : {"rows", "in_features", "out_features", "bias"}) {
    if (result.linear) keys.push_back(key);
  }
  file.only_keys(keys);
  file.require_text("kind", "operator");
  file.require_text("quantizer", "minmax-affine");
  if (!result.linear) {
    if (!file.is_text("op", "conv2d")) file.fail("op", "conv2d, linear, matmul, adamw, sgd_clipped or swa_average");
    file.require_text("layout", "NCHW");
    file.require_text("weight_layout", "OIHW");
  }
  const auto bits = [&](const char* key) {
    return BitWidth::integer(static_cast<int>(file.integer(key, BitWidth::kMinBits, BitWidth::kMaxBits)));
  };
  result.width = bits("bits");
  result.gradient_width = bits("grad_bits");
  std::vector<std::string> known_inputs{"x", "w", "dy", "noise"};
  if (result.linear) known_inputs.push_back("bias");
  const auto inputs = file.names("inputs", known_inputs);
  for (const char* name : {"x", "w", "dy"}) {
    if (std::find(inputs.begin(), inputs.end(), name) == inputs.end()) file.fail("inputs", "x, w and dy among them");
  }

  std::vector<std::string> known_exact{"qx", "qw", "qg", "lo_x", "s_x", "lo_w", "s_w", "lo_g", "s_g"};
  for (const char* name : {"qw_requantised", "lo_w_requantised", "s_w_requantised", "accumulators_y", "accumulators_dw",
                           "accumulators_dx_requantised"}) {
    known_exact.push_back(name);
  }
  std::vector<std::string> known_close{"y", "dx", "dw", "dx_requantised"};
  if (result.linear) {
    read_bias_kind(file, inputs, result);
    known_close.push_back("dbias");
    for (const char* name : {"qbias", "lo_bias", "s_bias"}) {
      if (result.bias_quantised) known_exact.push_back(name);
    }
  }
  const auto exact = file.names("exact", known_exact);
  const auto close = file.names("close", known_close);
  std::vector<std::string> arrays;
  for (const auto* names : {&inputs, &exact, &close}) {
    for (const auto& name : *names) arrays.push_back(name + ".npy");
  }
  if (const std::string missing = missing_files(case_dir, arrays); !missing.empty()) {
    throw std::runtime_error((case_dir / "case.json").string() + ": " + missing);
  }
  const Tensor4 x = read_tensor(case_dir / "x.npy", result.linear);
  const Tensor4 w = read_tensor(case_dir / "w.npy", result.linear);
  const Tensor4 dy = read_tensor(case_dir / "dy.npy", result.linear);
  result.shape =
      result.linear ? shape_of_layer(file, x, w, dy) : shape_of(file, case_dir, arrays, {x.shape, w.shape, dy.shape});
  for (const Tensor4* operand : {&x, &w, &dy}) require_finite(*operand);
  result.x = to_channels_last(x);
  result.w = to_channels_last(w);
  result.dy = to_channels_last(dy);
  if (std::find(inputs.begin(), inputs.end(), "noise") != inputs.end()) {
    const Tensor4 noise = read_tensor(case_dir / "noise.npy", result.linear);
    require_shape(noise, dy.shape);
    require_noise(noise);
    result.noise = to_channels_last(noise);
  }

  if (result.linear && std::find(inputs.begin(), inputs.end(), "bias") != inputs.end()) {
    const NpyArray bias = read_npy(case_dir / "bias.npy");
    if (bias.type != NpyType::kFloat32 || bias.shape != Shape{result.shape.o}) {
      throw std::runtime_error((case_dir / "bias.npy").string() + ": " + npy_descr(bias.type) + " of shape " +
                               bias.shape_text() + "; expected <f4 of shape " + npy_shape_text({result.shape.o}));
    }
    result.bias = bias.values<float>();
  }
  result.close_tolerance = file.bound("close_tolerance");
  const auto add = [&](const std::string& name, bool is_exact) {
    result.recorded.push_back({name, is_exact, read_npy(case_dir / (name + ".npy"))});
  };
  for (const auto& name : exact) add(name, true);
  for (const auto& name : close) add(name, false);
  return result;
}

}  // namespace bitcycle
