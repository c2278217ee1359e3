// SPDX-License-Identifier: Apache-2.0
// Computes a recorded operator again on a backend, compares, and writes what was computed.
#include "nn/train/replay_operator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/io/layout.h"
#include "nn/io/npy.h"
#include "nn/train/operator_case.h"

namespace bitcycle {
namespace {

constexpr double kCloseTolerance = 1e-6;
constexpr double kSharedGrid16Tolerance = 1e-4;

/// Everything that a case can be asked for, by the name of its array; NCHW and OIHW.
using Results = std::map<std::string, NpyArray>;

template <typename T>
Buffer upload(Backend& backend, const std::vector<T>& values) {
  Buffer buffer(backend, values.size() * sizeof(T));
  if (!values.empty()) backend.to_device(buffer.as<T>(), values.data(), buffer.bytes());
  return buffer;
}

template <typename T>
std::vector<T> download(Backend& backend, const void* device, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  backend.synchronise();
  if (count != 0) backend.to_host(values.data(), device, values.size() * sizeof(T));
  return values;
}

/// One run of the case on a backend.
class OperatorReplay {
 public:
  OperatorReplay(const OperatorCase& source, Backend& backend) : case_(source), backend_(backend), s_(source.shape) {}

  Results run() {
    prepare();
    forward();
    backward(ErrorWeights::kShared, 16, "dx", true);
    backward(ErrorWeights::kShared, 24, "dx_grid24", false);
    backward(ErrorWeights::kRequantised, 16, "dx_requantised", false);
    return std::move(results_);
  }

 private:
  void prepare() {
    x_ = upload(backend_, case_.x);
    w_ = upload(backend_, case_.w);
    dy_ = upload(backend_, case_.dy);
    noise_ = upload(backend_, case_.noise);
    weights_ = backend_.make_weights(s_);
    const auto bytes = [](BitWidth width, std::int64_t size) {
      return static_cast<std::size_t>(size) * bytes_of(width.container());
    };
    qx_ = Buffer(backend_, bytes(case_.width, s_.input_size()));
    qg_ = Buffer(backend_, bytes(case_.gradient_width, s_.output_size()));
    ranges_ = Buffer(backend_, 2 * sizeof(Range));
    affines_ = Buffer(backend_, 2 * sizeof(Affine));
    running_ = Buffer(backend_, 2 * sizeof(float));
  }

  Operand x_operand() { return {qx_.as<void>(), affines_.as<Affine>(), case_.width}; }
  Operand g_operand() { return {qg_.as<void>(), affines_.as<Affine>() + 1, case_.gradient_width}; }

  void quantise_weights(ErrorWeights reading, int grid_bits) {
    QuantiseWeights args;
    args.master = w_.as<float>();
    args.width = case_.width;
    args.reading = reading;
    args.error_grid_bits = grid_bits;
    backend_.quantise_weights(args, *weights_);
  }

  void forward() {
    quantise_weights(ErrorWeights::kShared, 16);
    backend_.tensor_range(x_.as<float>(), s_.input_size(), ranges_.as<Range>());
    ActivationScale scale;
    scale.now = ranges_.as<Range>();
    scale.running = running_.as<float>();
    scale.width = case_.width;
    scale.affine = affines_.as<Affine>();
    backend_.activation_scale(scale);
    Buffer y(backend_, static_cast<std::size_t>(s_.output_size()) * sizeof(float));
    ConvForward args;
    args.input.x = x_.as<float>();
    args.codes = x_operand();
    args.weights = weights_.get();
    args.shape = s_;
    args.y = y.as<float>();
    args.input_range = ranges_.as<Range>();
    backend_.conv_forward(args);

    add_output("y", download<float>(backend_, y.as<float>(), s_.output_size()));
    add_codes("qx", qx_.as<void>(), case_.width, {s_.n, s_.c, s_.h, s_.w});
    add_affine("x", affines_.as<Affine>(), case_.width, 1, {});
    add_weight_codes("qw", weights_->codes);
    add_affine("w", weights_->affine.as<Affine>(), case_.width, s_.o, {s_.o});
    add_accumulators("accumulators_y", Pass::kForward);
  }

  void backward(ErrorWeights reading, int grid_bits, const std::string& dx_name, bool first) {
    quantise_weights(reading, grid_bits);
    ConvBackward args;
    args.gradient.u = dy_.as<float>();
    if (first) {
      backend_.gradient_scale(args.gradient, s_.n * s_.out_h() * s_.out_w(), s_.o, case_.gradient_width, MinScale{},
                              false, ranges_.as<Range>() + 1, affines_.as<Affine>() + 1);
    }
    Buffer dx(backend_, static_cast<std::size_t>(s_.input_size()) * sizeof(float));
    Buffer dw(backend_, static_cast<std::size_t>(s_.weight_size()) * sizeof(float));
    args.g = g_operand();
    args.g_range = ranges_.as<Range>() + 1;
    args.stochastic = !case_.noise.empty();
    args.given_noise = case_.noise.empty() ? nullptr : noise_.as<float>();
    args.x = x_operand();
    args.x_range = ranges_.as<Range>();
    args.weights = weights_.get();
    args.shape = s_;
    args.dw = first ? dw.as<float>() : nullptr;
    args.dx = dx.as<float>();
    backend_.conv_backward(args);

    add_input(dx_name, download<float>(backend_, dx.as<float>(), s_.input_size()));
    if (first) {
      add_weight_shaped("dw", download<float>(backend_, dw.as<float>(), s_.weight_size()));
      add_codes("qg", qg_.as<void>(), case_.gradient_width, {s_.n, s_.o, s_.out_h(), s_.out_w()});
      add_affine("g", affines_.as<Affine>() + 1, case_.gradient_width, 1, {});
      add_accumulators("accumulators_dw", Pass::kWeightGradient);
    }
    add_accumulators("accumulators_" + dx_name, Pass::kError);
    if (reading == ErrorWeights::kRequantised) {
      add_weight_codes("qw_requantised", weights_->error_codes);
      add_affine("w_requantised", weights_->error_affine.as<Affine>(), case_.width, s_.c, {s_.c});
    } else {
      add_weight_shaped("qw_grid" + std::to_string(grid_bits),
                        download<std::int32_t>(backend_, weights_->error_codes.as<void>(), s_.weight_size()));
      const auto grid = download<Affine>(backend_, weights_->error_affine.as<void>(), 1);
      add("step_grid" + std::to_string(grid_bits), {}, std::vector<double>{grid[0].step});
    }
  }

  template <typename T>
  void add(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
    results_[name] = make_npy<T>(shape, std::span<const T>(values));
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
  void add_codes(const std::string& name, const void* codes, BitWidth width, const std::vector<std::int64_t>& shape) {
    const std::int64_t size = shape[0] * shape[1] * shape[2] * shape[3];
    switch (width.container()) {
      case Container::kUint8: add_channels_first(name, shape, download<std::uint8_t>(backend_, codes, size)); break;
      case Container::kUint16: add_channels_first(name, shape, download<std::uint16_t>(backend_, codes, size)); break;
      default: add_channels_first(name, shape, download<std::uint32_t>(backend_, codes, size));
    }
  }

  /// Weight codes are 32-bit in memory; files have the container of their width.
  void add_weight_codes(const std::string& name, const Buffer& codes) {
    const auto wide = download<std::uint32_t>(backend_, codes.as<void>(), s_.weight_size());
    switch (case_.width.container()) {
      case Container::kUint8: add_weight_shaped(name, std::vector<std::uint8_t>(wide.begin(), wide.end())); break;
      case Container::kUint16: add_weight_shaped(name, std::vector<std::uint16_t>(wide.begin(), wide.end())); break;
      default: add_weight_shaped(name, wide);
    }
  }

  /// lo_<operand> and s_<operand>: binary32 up to 16 bits, binary64 above.
  void add_affine(const std::string& operand, const Affine* affine, BitWidth width, std::int64_t count,
                  const std::vector<std::int64_t>& shape) {
    std::vector<double> lo, step;
    for (const Affine& record : download<Affine>(backend_, affine, count)) {
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
  void add_accumulators(const std::string& name, Pass pass) {
    const std::int64_t sizes[] = {s_.output_size(), s_.input_size(), s_.weight_size()};
    const std::int64_t size = sizes[static_cast<std::size_t>(pass)];
    Buffer buffer(backend_, static_cast<std::size_t>(size) * sizeof(Int128));
    ConvAccumulators args;
    args.pass = pass;
    args.shape = s_;
    args.x = x_operand();
    args.g = g_operand();
    args.weights = weights_.get();
    args.sums = buffer.as<Int128>();
    backend_.conv_accumulators(args);
    const auto sums = download<Int128>(backend_, buffer.as<void>(), size);
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
  Backend& backend_;
  const ConvShape& s_;
  std::unique_ptr<QuantisedWeights> weights_;
  Buffer x_, w_, dy_, noise_, qx_, qg_, ranges_, affines_, running_;
  Results results_;
};

/// Largest |computed - recorded|, over the largest |recorded| where `relative` and that is not 0.
double largest_deviation(const std::vector<double>& recorded, const std::vector<double>& computed, bool relative) {
  double deviation = 0.0, magnitude = 0.0;
  for (std::size_t e = 0; e < recorded.size(); ++e) {
    const double difference = std::fabs(computed[e] - recorded[e]);
    // A NaN in either is a deviation that no tolerance meets.
    deviation = difference <= deviation ? deviation : (std::isnan(difference) ? INFINITY : difference);
    magnitude = std::max(magnitude, std::fabs(recorded[e]));
  }
  return relative && magnitude > 0.0 ? deviation / magnitude : deviation;
}

ReplayLine compare(const RecordedArray& recorded, const NpyArray& computed, const std::string& name, double tolerance) {
  if (recorded.array.shape != computed.shape) {
    throw std::runtime_error("array '" + recorded.name + "' has shape " + recorded.array.shape_text() +
                             ", the case makes " + computed.shape_text());
  }
  ReplayLine line;
  line.name = name;
  line.tolerance = tolerance;
  const std::vector<double> a = recorded.array.as_doubles();
  const std::vector<double> b = computed.as_doubles();
  line.deviation = largest_deviation(a, b, !recorded.exact);
  line.ok = line.deviation <= tolerance;
  if (recorded.exact) {
    std::size_t different = 0;
    for (std::size_t e = 0; e < a.size(); ++e) different += a[e] != b[e] || std::signbit(a[e]) != std::signbit(b[e]);
    line.ok = different == 0;
    line.note = line.ok ? "equal bits" : std::to_string(different) + " of " + std::to_string(a.size()) + " differ";
  }
  return line;
}

}  // namespace

ReplayReport replay_operator(const std::filesystem::path& case_dir, Backend& backend,
                             const std::optional<std::filesystem::path>& out_dir) {
  const OperatorCase source = read_operator_case(case_dir);
  const Results results = OperatorReplay(source, backend).run();

  const double close = source.close_tolerance.value_or(kCloseTolerance);
  ReplayReport report;
  report.kind = "operator";
  for (const RecordedArray& recorded : source.recorded) {
    const NpyArray& computed = results.at(recorded.name);
    if (recorded.exact) {
      report.lines.push_back(compare(recorded, computed, recorded.name, 0.0));
    } else if (recorded.name == "dx") {
      report.lines.push_back(compare(recorded, computed, "dx (16-bit grid)", std::max(close, kSharedGrid16Tolerance)));
      report.lines.push_back(compare(recorded, results.at("dx_grid24"), "dx (24-bit grid)", close));
    } else {
      report.lines.push_back(compare(recorded, computed, recorded.name, close));
    }
  }
  if (out_dir) {
    std::filesystem::create_directories(*out_dir);
    for (const auto& [name, array] : results) write_npy(*out_dir / (name + ".npy"), array);
  }
  return report;
}

}  // namespace bitcycle
