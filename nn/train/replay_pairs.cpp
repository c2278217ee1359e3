// SPDX-License-Identifier: Apache-2.0
#include "nn/train/replay_pairs.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "nn/io/atomic_file.h"
#include "nn/io/npy.h"
#include "nn/train/operator_comparison.h"
#include "sim/ops/accumulator.h"
#include "sim/program/program.h"

namespace bitcycle {
namespace {

using Shape = std::vector<std::int64_t>;

/// Finite values of a shape; without one, of whatever shape has three axes.
NpyArray read_values(const CaseFile& file, const std::string& name, const Shape& wanted = {}) {
  NpyArray array = read_npy(file.folder() / (name + ".npy"));
  NpyArray expected;
  expected.shape = wanted;
  if (array.type != NpyType::kFloat32 || (wanted.empty() ? array.shape.size() != 3 : array.shape != wanted)) {
    file.fail(name + ".npy is " + npy_descr(array.type) + " of shape " + array.shape_text() + "; expected <f4 " +
              (wanted.empty() ? "with three axes" : "of shape " + expected.shape_text()));
  }
  for (const float value : array.values<float>()) {
    if (!std::isfinite(value)) file.fail(name + ".npy holds a value that is not finite, which has no code");
  }
  return array;
}

struct PairCase {
  ops::PairShape shape;
  bool transposed = false;      // the results of the forward pass are pairs
  std::string masked = "none";  // lhs, y or none
  BitWidth width, gradient_width;
  Shape lhs_shape, rhs_shape, y_shape;
  std::vector<float> lhs, rhs, dy, noise;
  double tolerance = kCloseTolerance;
  std::vector<RecordedArray> recorded;
};

void read_mask(const CaseFile& file, PairCase& result) {
  result.masked = file.text("masked");
  const std::string pairs = result.transposed ? "y" : "lhs";
  if (result.masked == "none") return;
  if (result.masked != pairs) {
    file.fail("masked is '" + result.masked + "': none, or " + pairs + ", which holds the pairs of this product");
  }
  ops::PairShape& s = result.shape;
  s.causal = true;
  const NpyArray mask = read_npy(file.folder() / "mask.npy");
  if (mask.type != NpyType::kUint8 || mask.shape != Shape{s.m, s.n}) {
    file.fail("mask.npy is " + npy_descr(mask.type) + " of shape " + mask.shape_text() + ", the pairs are (" +
              std::to_string(s.m) + ", " + std::to_string(s.n) + ")");
  }
  const auto exists = mask.values<std::uint8_t>();
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) {
      if ((exists[static_cast<std::size_t>(i * s.n + j)] != 0) != (s.n >= s.m && j < s.columns_of(i))) {
        file.fail("mask.npy is not causal: pair (" + std::to_string(i) + ", " + std::to_string(j) +
                  ") exists where its column is at most row + columns - rows, and nowhere else");
      }
    }
  }
}

PairCase read_case(const CaseFile& file) {
  file.only_keys({"kind", "op", "quantizer", "bits", "grad_bits", "transpose_rhs", "masked", "inputs", "exact", "close",
                  "close_tolerance", "comment"});
  if (file.text("quantizer") != "minmax-affine") file.fail("quantizer is not minmax-affine");
  PairCase result;
  const auto width = [&](const char* key) {
    return BitWidth::integer(static_cast<int>(file.integer(key, BitWidth::kMinBits, BitWidth::kMaxBits)));
  };
  result.width = width("bits");
  result.gradient_width = width("grad_bits");
  result.transposed = file.boolean("transpose_rhs");
  const auto inputs = file.names("inputs", {"lhs", "rhs", "dy", "noise", "mask"});
  const auto exact = file.names("exact", {"qlhs", "qrhs", "qg", "lo_lhs", "s_lhs", "lo_rhs", "s_rhs", "lo_g", "s_g",
                                          "accumulators_y", "accumulators_dlhs", "accumulators_drhs"});
  const auto close = file.names("close", {"y", "dlhs", "drhs"});
  std::vector<std::string> files{"lhs.npy", "rhs.npy", "dy.npy"};
  for (const auto* names : {&inputs, &exact, &close}) {
    for (const auto& name : *names) files.push_back(name + ".npy");
  }
  file.need_files(files);
  const NpyArray lhs = read_values(file, "lhs"), rhs = read_values(file, "rhs");
  ops::PairShape& s = result.shape;
  const std::int64_t depth = lhs.shape[2], outputs = rhs.shape[result.transposed ? 1 : 2];
  s.samples = lhs.shape[0];
  s.m = lhs.shape[1];
  s.n = result.transposed ? outputs : depth;
  s.d = result.transposed ? depth : outputs;
  const Shape rhs_shape = result.transposed ? Shape{s.samples, outputs, depth} : Shape{s.samples, depth, outputs};
  if (rhs.shape != rhs_shape) {
    file.fail("rhs.npy is " + rhs.shape_text() + ", which lhs.npy of " + lhs.shape_text() + " cannot be multiplied by");
  }
  result.lhs_shape = lhs.shape;
  result.rhs_shape = rhs.shape;
  result.y_shape = {s.samples, s.m, outputs};
  result.lhs = lhs.values<float>();
  result.rhs = rhs.values<float>();
  result.dy = read_values(file, "dy", result.y_shape).values<float>();
  if (std::find(inputs.begin(), inputs.end(), "noise") != inputs.end()) {
    result.noise = read_values(file, "noise", result.y_shape).values<float>();
    for (const float u : result.noise) {
      if (!(u >= -0.5F && u < 0.5F)) file.fail("noise.npy holds a value outside of -0.5 .. 0.5");
    }
  }
  read_mask(file, result);
  result.tolerance = file.tolerance("close_tolerance", kCloseTolerance).value_or(kCloseTolerance);
  for (const auto& name : exact) result.recorded.push_back({name, true, read_npy(file.folder() / (name + ".npy"))});
  for (const auto& name : close) result.recorded.push_back({name, false, read_npy(file.folder() / (name + ".npy"))});
  return result;
}

/// The three products as a program, run once.
class PairReplay {
 public:
  PairReplay(const PairCase& source, Device& device) : case_(source), p_("case", source.shape.samples) {
    write();
    std::vector<Tensor> kept;
    for (const auto& result : results_) kept.push_back(result.tensor);
    state_ = device.make_state(p_);
    executable_ = device.compile(p_, {state_, kept});
    StepInputs inputs(p_);
    inputs.set(width_, case_.width);
    inputs.set(gradient_width_, case_.gradient_width);
    inputs.point(lhs_, case_.lhs.data());
    inputs.point(rhs_, case_.rhs.data());
    inputs.point(dy_, case_.dy.data());
    if (noise_) inputs.point(noise_, case_.noise.data());
    executable_->run(inputs);
  }

  OperatorResults results() {
    OperatorResults all;
    for (const Result& result : results_) add(result, all);
    return all;
  }

 private:
  enum class What : std::uint8_t { kCodes, kGrid, kSums, kValues };
  struct Result {
    std::string name;
    Tensor tensor;
    What what = What::kValues;
    Shape shape;
    BitWidth width = BitWidth::float32();
    bool pairs = false;
  };

  Tensor samples(const std::string& name, Element element, const Shape& shape, Lifetime lifetime = Lifetime::kStep) {
    return p_.add({name, element, shape, lifetime, 0});
  }
  Tensor single(const std::string& name, Element element, Lifetime lifetime = Lifetime::kStep) {
    return p_.add({name, element, {}, lifetime, -1});
  }
  template <typename Op>
  void node(const Op& op) {
    p_.add(Site{"case", Pass::kForward}, op);
  }

  ops::Quantised operand(const std::string& name, Tensor x, const Shape& shape, bool pairs, bool gradient) {
    const Tensor range = single(name + " range", Element::kRange);
    if (pairs) {
      node(ops::PairRange{x, case_.shape, case_.masked == "lhs" && !gradient, range});
    } else {
      node(ops::Range{x, range, ops::one_group()});
    }
    const BitWidth width = gradient ? case_.gradient_width : case_.width;
    ops::Quantise quantise;
    quantise.x = x;
    quantise.width = gradient ? gradient_width_ : width_;
    quantise.grid = single(name + " grid", Element::kGrid);
    node(ops::FitGrid{range, quantise.width, quantise.grid, MinScale{}});
    const Element codes[] = {Element::kCodes8, Element::kCodes16, Element::kCodes32};
    quantise.codes = samples("q" + name, codes[static_cast<int>(width.container())], shape);
    if (gradient && !case_.noise.empty()) {
      quantise.rounding = ops::Quantise::Rounding::kGivenNoise;
      quantise.noise = noise_;
    }
    node(quantise);
    results_.push_back({"q" + name, quantise.codes, What::kCodes, shape, width, pairs});
    results_.push_back({name, quantise.grid, What::kGrid, {}, width});
    return quantise.result();
  }

  void product(const std::string& name, ops::PairForm form, const ops::Quantised& lhs, const ops::Quantised& rhs,
               const Shape& shape) {
    const ops::PairContraction over{form, case_.shape};
    ops::PairProduct exact{lhs, rhs, over, samples(name + " sums", Element::kInt128, shape)};
    node(exact);
    const Tensor y = samples(name, Element::kFloat32, shape);
    node(ops::PairRescale{lhs, rhs, over, exact.sums, y});
    const bool pairs = form == ops::PairForm::kPairs;
    results_.push_back({"accumulators_" + name, exact.sums, What::kSums, shape, BitWidth::float32(), pairs});
    results_.push_back({name, y, What::kValues, shape, BitWidth::float32(), pairs});
  }

  void write() {
    using Form = ops::PairForm;
    width_ = single("width", Element::kBitWidth, Lifetime::kInput);
    gradient_width_ = single("gradient width", Element::kBitWidth, Lifetime::kInput);
    lhs_ = samples("lhs", Element::kFloat32, case_.lhs_shape, Lifetime::kInput);
    rhs_ = samples("rhs", Element::kFloat32, case_.rhs_shape, Lifetime::kInput);
    dy_ = samples("dy", Element::kFloat32, case_.y_shape, Lifetime::kInput);
    if (!case_.noise.empty()) noise_ = samples("noise", Element::kFloat32, case_.y_shape, Lifetime::kInput);
    const bool scores = case_.transposed;
    const ops::Quantised lhs = operand("lhs", lhs_, case_.lhs_shape, !scores, false);
    const ops::Quantised rhs = operand("rhs", rhs_, case_.rhs_shape, false, false);
    product("y", scores ? Form::kPairs : Form::kRows, lhs, rhs, case_.y_shape);
    const ops::Quantised g = operand("g", dy_, case_.y_shape, scores, true);
    product("dlhs", scores ? Form::kRows : Form::kPairs, g, rhs, case_.lhs_shape);
    if (scores) {
      product("drhs", Form::kColumns, g, lhs, case_.rhs_shape);
    } else {
      product("drhs", Form::kColumns, lhs, g, case_.rhs_shape);
    }
  }

  template <typename T>
  std::vector<T> read(const Result& of) {
    std::vector<T> values(static_cast<std::size_t>(p_.spec(of.tensor).size()));
    executable_->read(of.tensor, values.data());
    if (!of.pairs) return values;
    const ops::PairShape& s = case_.shape;
    for (std::size_t e = 0; e < values.size(); ++e) {
      const auto at = static_cast<std::int64_t>(e) % (s.m * s.n);
      if (at % s.n >= s.columns_of(at / s.n)) values[e] = T{};
    }
    return values;
  }
  template <typename T>
  static NpyArray npy(const Shape& shape, const std::vector<T>& values) {
    return make_npy<T>(shape, std::span<const T>(values));
  }

  void add(const Result& of, OperatorResults& all) {
    switch (of.what) {
      case What::kValues: all[of.name] = npy(of.shape, read<float>(of)); return;
      case What::kSums: {
        std::vector<std::int64_t> sums;
        for (const Int128 sum : read<Int128>(of)) sums.push_back(static_cast<std::int64_t>(sum));
        all[of.name] = npy(of.shape, sums);
        return;
      }
      case What::kGrid: {
        const Affine grid = read<Affine>(of).front();
        const auto write = [&](const std::string& name, double value) {
          all[name] = of.width.is_narrow() ? npy<float>({}, {static_cast<float>(value)}) : npy<double>({}, {value});
        };
        write("lo_" + of.name, grid.lo);
        write("s_" + of.name, grid.step);
        return;
      }
      case What::kCodes:
        switch (of.width.container()) {
          case Container::kUint8: all[of.name] = npy(of.shape, read<std::uint8_t>(of)); return;
          case Container::kUint16: all[of.name] = npy(of.shape, read<std::uint16_t>(of)); return;
          default: all[of.name] = npy(of.shape, read<std::uint32_t>(of)); return;
        }
    }
  }

  const PairCase& case_;
  Program p_;
  Tensor lhs_, rhs_, dy_, noise_, width_, gradient_width_;
  std::vector<Result> results_;
  std::shared_ptr<State> state_;
  std::unique_ptr<Executable> executable_;
};

}  // namespace

ReplayReport replay_matmul(const CaseFile& file, Device& device, const std::optional<std::filesystem::path>& out_dir) {
  const PairCase source = read_case(file);
  if (out_dir) make_folder(*out_dir);
  const OperatorResults results = PairReplay(source, device).results();
  ReplayReport report;
  report.kind = "operator";
  report.gradient_rounding = source.noise.empty() ? "to nearest, for the case has no array 'noise'"
                                                  : "with the noise of " + (file.folder() / "noise.npy").string();
  for (const RecordedArray& recorded : source.recorded) {
    report.lines.push_back(compare_array(file.folder(), recorded, results.at(recorded.name), recorded.name,
                                         recorded.exact ? 0.0 : source.tolerance));
  }
  if (out_dir) {
    for (const auto& [name, array] : results) write_npy(*out_dir / (name + ".npy"), array);
  }
  return report;
}

}  // namespace bitcycle
