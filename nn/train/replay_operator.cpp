// SPDX-License-Identifier: Apache-2.0
// Computes a recorded operator again on a device, compares, and writes what was computed.
#include "nn/train/replay_operator.h"

#include <algorithm>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/io/atomic_file.h"
#include "nn/io/layout.h"
#include "nn/io/npy.h"
#include "nn/train/operator_case.h"
#include "nn/train/operator_comparison.h"
#include "nn/train/replay_pairs.h"
#include "sim/ops/accumulator.h"
#include "sim/ops/error_weights.h"
#include "sim/program/program.h"

namespace bitcycle {
namespace {

constexpr double kSharedGrid16Tolerance = 1e-4;

/// NCHW and OIHW; of a linear layer (rows, channels) and (outputs, inputs).
using Results = OperatorResults;

/// The convolution's nodes, and the tensors that the case can be asked for.
struct CaseProgram {
  explicit CaseProgram(const ConvShape& shape) : program("case", shape.n) {}
  Program program;
  Tensor x, w, dy, noise, width, gradient_width;  // given
  ops::Quantised qx, qw, qg, error_w;             // codes and grids
  Tensor y, dw, dx, y_sums, dw_sums, dx_sums;     // results and their exact sums
  Tensor bias, dbias;                             // of a layer that has one
  ops::Quantised qbias;                           // where it is quantised
  std::vector<Tensor> kept;
};

/// Writes the program of one variant of the error pass.
class CaseWriter {
 public:
  CaseWriter(const OperatorCase& source, ErrorWeights error_weights, int grid_bits)
      : case_(source), s_(source.shape), p_(s_) {
    p_.width = tensor("width", Element::kBitWidth, {}, Lifetime::kInput);
    p_.gradient_width = tensor("gradient width", Element::kBitWidth, {}, Lifetime::kInput);
    p_.x = samples("x", Element::kFloat32, {s_.n, s_.h, s_.w, s_.c}, Lifetime::kInput);
    p_.w = tensor("w", Element::kFloat32, weight_shape(), Lifetime::kState);
    p_.dy = samples("dy", Element::kFloat32, {s_.n, s_.out_h(), s_.out_w(), s_.o}, Lifetime::kInput);
    const ops::Contraction forward = ops::conv_forward(s_), error = ops::conv_error(s_),
                           weight_gradient = ops::conv_weight_gradient(s_);
    p_.qx = activation();
    p_.qw = weights(Pass::kForward, "qw", ops::by_output_channel());
    p_.y = product(forward, p_.qx, p_.qw, case_.bias.empty() ? "y" : "products");
    if (!case_.bias.empty()) p_.y = add_bias(p_.y);
    p_.qg = gradient();
    if (!case_.bias.empty()) bias_gradient();
    p_.dw = product(weight_gradient, p_.qx, p_.qg, "dw");
    p_.error_w = error_weights == ErrorWeights::kRequantised
                     ? weights(Pass::kError, "error w", ops::by_input_channel(s_.groups))
                     : shared(grid_bits);
    p_.dx = product(error, p_.qg, p_.error_w, "dx");
    p_.y_sums = sums(forward, p_.qx, p_.qw, "y accumulators");
    p_.dw_sums = sums(weight_gradient, p_.qx, p_.qg, "dw accumulators");
    p_.dx_sums = sums(error, p_.qg, p_.error_w, "dx accumulators");
    for (const auto& operand : {p_.qx, p_.qw, p_.qg, p_.error_w}) {
      p_.kept.push_back(operand.codes);
      p_.kept.push_back(operand.grid);
    }
    for (const Tensor result :
         {p_.y, p_.dw, p_.dx, p_.y_sums, p_.dw_sums, p_.dx_sums, p_.dbias, p_.qbias.codes, p_.qbias.grid}) {
      if (result) p_.kept.push_back(result);
    }
  }
  CaseProgram result() { return std::move(p_); }

 private:
  static constexpr const char* kLayer = "case";
  Tensor tensor(const std::string& name, Element element, std::vector<std::int64_t> shape = {},
                Lifetime lifetime = Lifetime::kStep, int sample_axis = -1) {
    return p_.program.add({name, element, std::move(shape), lifetime, sample_axis});
  }
  Tensor samples(const std::string& name, Element element, std::vector<std::int64_t> shape,
                 Lifetime lifetime = Lifetime::kStep) {
    return tensor(name, element, std::move(shape), lifetime, 0);
  }
  template <typename Op>
  void write(Pass pass, const Op& op) {
    p_.program.add(Site{kLayer, pass}, op);
  }
  std::vector<std::int64_t> weight_shape() const { return {s_.o, s_.kh, s_.kw, s_.c_per_group()}; }
  static Element codes_element(BitWidth width) {
    return width.bits() <= 8 ? Element::kCodes8 : (width.bits() <= 16 ? Element::kCodes16 : Element::kCodes32);
  }

  ops::Quantised activation() {
    const Tensor range = tensor("x range", Element::kRange),
                 running = tensor("running", Element::kFloat32, {2}, Lifetime::kState);
    write(Pass::kForward, ops::Range{p_.x, range, ops::one_group()});
    write(Pass::kForward, ops::RunningRange{range, running});
    ops::Quantise quantise;
    quantise.x = p_.x;
    quantise.grid = tensor("x grid", Element::kGrid);
    quantise.width = p_.width;
    write(Pass::kForward, ops::FitGrid{range, p_.width, quantise.grid, MinScale{}});
    quantise.codes = samples("qx", codes_element(case_.width), {s_.n, s_.h, s_.w, s_.c});
    write(Pass::kForward, quantise);
    return quantise.result();
  }
  ops::Quantised weights(Pass pass, const std::string& name, const ops::Groups& groups) {
    const std::int64_t count = groups.count(weight_shape());
    const Tensor ranges = tensor(name + " ranges", Element::kRange, {count});
    write(pass, ops::Range{p_.w, ranges, groups});
    ops::Quantise quantise;
    quantise.x = p_.w;
    quantise.grid = tensor(name + " grid", Element::kGrid, {count});
    quantise.width = p_.width;
    quantise.groups = groups;
    write(pass, ops::FitGrid{ranges, p_.width, quantise.grid, MinScale{}});
    quantise.codes = tensor(name, codes_element(case_.width), weight_shape());
    write(pass, quantise);
    return quantise.result();
  }
  ops::Quantised shared(int bits) {
    ops::ErrorCodes codes;
    codes.weights = p_.qw;
    codes.bits = bits;
    codes.codes = tensor("error w", Element::kInt32, weight_shape());
    codes.grid = tensor("error w grid", Element::kGrid);
    write(Pass::kError, codes);
    return codes.result();
  }
  ops::Quantised gradient() {
    const Tensor range = tensor("dy range", Element::kRange);
    write(Pass::kError, ops::Range{p_.dy, range, ops::one_group()});
    ops::Quantise quantise;
    quantise.x = p_.dy;
    quantise.grid = tensor("dy grid", Element::kGrid);
    quantise.width = p_.gradient_width;
    write(Pass::kError, ops::FitGrid{range, p_.gradient_width, quantise.grid, MinScale{}});
    quantise.codes = samples("qg", codes_element(case_.gradient_width), {s_.n, s_.out_h(), s_.out_w(), s_.o});
    if (!case_.noise.empty()) {
      p_.noise = samples("noise", Element::kFloat32, {s_.n, s_.out_h(), s_.out_w(), s_.o}, Lifetime::kInput);
      quantise.rounding = ops::Quantise::Rounding::kGivenNoise;
      quantise.noise = p_.noise;
    }
    write(Pass::kError, quantise);
    return quantise.result();
  }

  /// y = fl(products + bias), the bias or its values on a grid of its own.
  Tensor add_bias(Tensor products) {
    p_.bias = tensor("bias", Element::kFloat32, {s_.o}, Lifetime::kState);
    Tensor values = p_.bias;
    if (case_.bias_quantised) {
      const Tensor range = tensor("bias range", Element::kRange);
      write(Pass::kForward, ops::Range{p_.bias, range, ops::one_group()});
      ops::Quantise quantise;
      quantise.x = p_.bias;
      quantise.grid = tensor("bias grid", Element::kGrid);
      quantise.width = p_.width;
      write(Pass::kForward, ops::FitGrid{range, p_.width, quantise.grid, MinScale{}});
      quantise.codes = tensor("qbias", codes_element(case_.width), {s_.o});
      write(Pass::kForward, quantise);
      p_.qbias = quantise.result();
      values = tensor("bias values", Element::kFloat32, {s_.o});
      write(Pass::kForward, ops::Dequantise{p_.qbias, values});
    }
    const Tensor y = samples("y", Element::kFloat32, {s_.n, s_.out_h(), s_.out_w(), s_.o});
    write(Pass::kForward, ops::AddBias{products, values, y});
    return y;
  }
  /// The column sum of the quantised gradient.
  void bias_gradient() {
    const Tensor values = samples("dy values", Element::kFloat32, {s_.n, s_.out_h(), s_.out_w(), s_.o});
    write(Pass::kWeightGradient, ops::Dequantise{p_.qg, values});
    const Tensor bound = tensor("dy magnitude", Element::kFloat32);
    write(Pass::kWeightGradient, ops::Magnitude{values, bound});
    p_.dbias = tensor("dbias", Element::kFloat32, {s_.o});
    write(Pass::kWeightGradient, ops::BiasGradient{values, bound, p_.dbias});
  }

  Tensor sums(const ops::Contraction& over, const ops::Quantised& lhs, const ops::Quantised& rhs,
              const std::string& name) {
    ops::Product exact;
    exact.lhs = lhs;
    exact.rhs = rhs;
    exact.over = over;
    exact.sums =
        tensor(name, Element::kInt128, over.out_shape(), Lifetime::kStep, over.pass == Pass::kWeightGradient ? -1 : 0);
    write(over.pass, exact);
    return exact.sums;
  }
  /// The sums, and what is made of them with one rounding.
  Tensor product(const ops::Contraction& over, const ops::Quantised& lhs, const ops::Quantised& rhs,
                 const std::string& name) {
    const int axis = over.pass == Pass::kWeightGradient ? -1 : 0;
    const auto widest = [&](const ops::Quantised& of) {
      return of.width == p_.gradient_width ? case_.gradient_width : (of.width ? case_.width : BitWidth::integer(24));
    };
    ops::Product exact;
    exact.lhs = lhs;
    exact.rhs = rhs;
    exact.over = over;
    exact.sums = tensor(name + " sums", ops::sum_element(widest(lhs), widest(rhs), over.depth()), over.out_shape(),
                        Lifetime::kStep, axis);
    write(over.pass, exact);
    using Side = ops::CodeSums::Side;
    ops::Rescale rescale;
    rescale.over = over;
    rescale.sums = exact.sums;
    if (rhs.width) {
      rescale.lhs_sums = tensor(name + " lhs sums", Element::kInt64, over.lhs_sums_shape(), Lifetime::kStep, axis);
      write(over.pass, ops::CodeSums{Side::kLhs, lhs, over, rescale.lhs_sums});
    }
    rescale.rhs_sums = tensor(name + " rhs sums", Element::kInt64, over.rhs_sums_shape());
    write(over.pass, ops::CodeSums{Side::kRhs, rhs, over, rescale.rhs_sums});
    rescale.lhs_grid = lhs.grid;
    rescale.rhs_grid = rhs.grid;
    rescale.y = tensor(name, Element::kFloat32, over.out_shape(), Lifetime::kStep, axis);
    write(over.pass, rescale);
    return rescale.y;
  }

  const OperatorCase& case_;
  const ConvShape& s_;
  CaseProgram p_;
};

/// One run of the case on a device.
class OperatorReplay {
 public:
  OperatorReplay(const OperatorCase& source, Device& device) : case_(source), device_(device), s_(source.shape) {}

  Results run() {
    error_pass(ErrorWeights::kShared, 16, "dx", true);
    error_pass(ErrorWeights::kShared, 24, "dx_grid24", false);
    error_pass(ErrorWeights::kRequantised, 16, "dx_requantised", false);
    return std::move(results_);
  }

 private:
  void error_pass(ErrorWeights error_weights, int grid_bits, const std::string& dx_name, bool first) {
    const CaseProgram p = CaseWriter(case_, error_weights, grid_bits).result();
    const auto state = device_.make_state(p.program);
    state->write("w", case_.w.data());
    if (p.bias) state->write("bias", case_.bias.data());
    const auto executable = device_.compile(p.program, {state, p.kept});
    StepInputs inputs(p.program);
    inputs.set(p.width, case_.width);
    inputs.set(p.gradient_width, case_.gradient_width);
    inputs.point(p.x, case_.x.data());
    inputs.point(p.dy, case_.dy.data());
    if (p.noise) inputs.point(p.noise, case_.noise.data());
    executable->run(inputs);
    program_ = &p.program;
    executable_ = executable.get();
    if (first) {
      add_output("y", read<float>(p.y));
      add_codes("qx", p.qx.codes, case_.width, {s_.n, s_.c, s_.h, s_.w});
      add_grid("x", p.qx.grid, case_.width, {});
      add_codes("qw", p.qw.codes, case_.width, {s_.o, s_.c_per_group(), s_.kh, s_.kw});
      add_grid("w", p.qw.grid, case_.width, {s_.o});
      add_accumulators("accumulators_y", Pass::kForward, p.y_sums);
      add_weight_shaped("dw", read<float>(p.dw));
      add_codes("qg", p.qg.codes, case_.gradient_width, {s_.n, s_.o, s_.out_h(), s_.out_w()});
      add_grid("g", p.qg.grid, case_.gradient_width, {});
      add_accumulators("accumulators_dw", Pass::kWeightGradient, p.dw_sums);
      if (p.dbias) add("dbias", {s_.o}, read<float>(p.dbias));
      if (p.qbias.codes) {
        add_codes("qbias", p.qbias.codes, case_.width, {s_.o, 1, 1, 1});
        add_grid("bias", p.qbias.grid, case_.width, {});
      }
    }
    add_input(dx_name, read<float>(p.dx));
    add_accumulators("accumulators_" + dx_name, Pass::kError, p.dx_sums);
    if (error_weights == ErrorWeights::kRequantised) {
      add_codes("qw_requantised", p.error_w.codes, case_.width, {s_.o, s_.c_per_group(), s_.kh, s_.kw});
      add_grid("w_requantised", p.error_w.grid, case_.width, {s_.c});
    } else {
      add_weight_shaped("qw_grid" + std::to_string(grid_bits), read<std::int32_t>(p.error_w.codes));
      add("step_grid" + std::to_string(grid_bits), {}, std::vector<double>{read<Affine>(p.error_w.grid)[0].step});
    }
  }

  template <typename T>
  std::vector<T> read(Tensor tensor) {
    std::vector<T> values(static_cast<std::size_t>(program_->spec(tensor).size()));
    executable_->read(tensor, values.data());
    return values;
  }

  template <typename T>
  void add(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
    std::vector<std::int64_t> in_files = shape;
    if (case_.linear && shape.size() == 4) in_files.resize(name == "qbias" ? 1 : 2);
    results_[name] = make_npy<T>(in_files, std::span<const T>(values));
  }
  template <typename T>
  void add_channels_first(const std::string& name, const std::vector<std::int64_t>& shape,
                          const std::vector<T>& values) {
    add(name, shape, channels_first(values, shape[1], shape[2] * shape[3]));
  }
  template <typename T>
  void add_input(const std::string& name, const std::vector<T>& values) {
    add_channels_first(name, {s_.n, s_.c, s_.h, s_.w}, values);
  }
  template <typename T>
  void add_output(const std::string& name, const std::vector<T>& values) {
    add_channels_first(name, {s_.n, s_.o, s_.out_h(), s_.out_w()}, values);
  }
  template <typename T>
  void add_weight_shaped(const std::string& name, const std::vector<T>& values) {
    add_channels_first(name, {s_.o, s_.c_per_group(), s_.kh, s_.kw}, values);
  }

  /// Codes in the container of their width.
  void add_codes(const std::string& name, Tensor codes, BitWidth width, const std::vector<std::int64_t>& shape) {
    switch (width.container()) {
      case Container::kUint8: add_channels_first(name, shape, read<std::uint8_t>(codes)); break;
      case Container::kUint16: add_channels_first(name, shape, read<std::uint16_t>(codes)); break;
      default: add_channels_first(name, shape, read<std::uint32_t>(codes));
    }
  }

  /// lo_<operand> and s_<operand>: binary32 up to 16 bits, binary64 above.
  void add_grid(const std::string& operand, Tensor grid, BitWidth width, const std::vector<std::int64_t>& shape) {
    std::vector<double> lo, step;
    for (const Affine& record : read<Affine>(grid)) {
      lo.push_back(record.lo);
      step.push_back(record.step);
    }
    const auto write = [&](const std::string& name, const std::vector<double>& values) {
      if (width.is_narrow()) {
        std::vector<float> narrow;
        for (const double value : values) narrow.push_back(static_cast<float>(value));
        add(name, shape, narrow);
      } else {
        add(name, shape, values);
      }
    };
    write("lo_" + operand, lo);
    write("s_" + operand, step);
  }

  /// The exact sums: int64 where all fit, otherwise two arrays with sum = high * 2^32 + low.
  void add_accumulators(const std::string& name, Pass pass, Tensor tensor) {
    const auto sums = read<Int128>(tensor);
    const auto add_shaped = [&](const std::string& part, const auto& values) {
      if (pass == Pass::kForward) add_output(part, values);
      if (pass == Pass::kError) add_input(part, values);
      if (pass == Pass::kWeightGradient) add_weight_shaped(part, values);
    };
    std::vector<std::int64_t> whole, high;
    std::vector<std::uint32_t> low;
    bool fits = true;
    for (const Int128 sum : sums) {
      whole.push_back(static_cast<std::int64_t>(sum));
      high.push_back(static_cast<std::int64_t>(sum >> 32));
      low.push_back(static_cast<std::uint32_t>(sum & 0xFFFFFFFF));
      fits = fits && whole.back() == sum;
    }
    if (fits) {
      add_shaped(name, whole);
    } else {
      add_shaped(name + "_high", high);
      add_shaped(name + "_low", low);
    }
  }

  const OperatorCase& case_;
  Device& device_;
  const ConvShape& s_;
  const Program* program_ = nullptr;
  Executable* executable_ = nullptr;
  Results results_;
};

}  // namespace

ReplayReport replay_operator(const std::filesystem::path& case_dir, Device& device,
                             const std::optional<std::filesystem::path>& out_dir) {
  const CaseFile file(case_dir);
  const std::string op = file.has("op") ? file.text("op") : "";
  if (op == "matmul") return replay_matmul(file, device, out_dir);
  if (op == "adamw") return replay_adamw(file, device, out_dir);
  if (op == "sgd_clipped") return replay_sgd_clipped(file, device, out_dir);
  if (op == "swa_average") return replay_swa_average(file, out_dir);
  const OperatorCase source = read_operator_case(case_dir);
  if (out_dir) make_folder(*out_dir);  // what cannot be written is said before anything is computed
  const Results results = OperatorReplay(source, device).run();

  const double close = source.close_tolerance.value_or(kCloseTolerance);
  ReplayReport report;
  report.kind = "operator";
  report.gradient_rounding = source.noise.empty() ? "to nearest, for the case has no array 'noise'"
                                                  : "with the noise of " + (case_dir / "noise.npy").string();
  for (const RecordedArray& recorded : source.recorded) {
    const NpyArray& computed = results.at(recorded.name);
    if (recorded.exact) {
      report.lines.push_back(compare_array(case_dir, recorded, computed, recorded.name, 0.0));
    } else if (recorded.name == "dx") {
      report.lines.push_back(
          compare_array(case_dir, recorded, computed, "dx (16-bit grid)", std::max(close, kSharedGrid16Tolerance)));
      report.lines.push_back(compare_array(case_dir, recorded, results.at("dx_grid24"), "dx (24-bit grid)", close));
    } else {
      report.lines.push_back(compare_array(case_dir, recorded, computed, recorded.name, close));
    }
  }
  if (out_dir) {
    for (const auto& [name, array] : results) write_npy(*out_dir / (name + ".npy"), array);
  }
  return report;
}

}  // namespace bitcycle
