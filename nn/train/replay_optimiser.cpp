// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <span>

#include "nn/io/atomic_file.h"
#include "nn/io/npy.h"
#include "nn/run/swa_average.h"
#include "nn/train/operator_comparison.h"
#include "nn/train/replay_pairs.h"
#include "sim/program/program.h"

namespace bitcycle {
namespace {

using Values = std::vector<float>;

/// What an optimiser's case has: parameters, and the gradients of every step.
struct OptimiserCase {
  Values p, g;
  std::int64_t size = 0, steps = 0;
};

OptimiserCase read_optimiser(const CaseFile& file, const std::vector<std::string>& inputs,
                             const std::vector<std::string>& close) {
  std::vector<std::string> files;
  for (const auto* names : {&inputs, &close}) {
    for (const auto& name : *names) files.push_back(name + ".npy");
  }
  file.need_files(files);
  const NpyArray p = read_npy(file.folder() / "p.npy"), g = read_npy(file.folder() / "g.npy");
  if (p.type != NpyType::kFloat32 || g.type != NpyType::kFloat32 || p.shape.size() != 1 || g.shape.size() != 2 ||
      g.shape[1] != p.shape[0] || p.shape[0] < 1) {
    file.fail("p.npy is " + p.shape_text() + " and g.npy " + g.shape_text() +
              "; expected <f4 of shapes (n) and (steps, n)");
  }
  return {p.values<float>(), g.values<float>(), p.shape[0], g.shape[0]};
}

/// Steps of a program with one optimiser, on any device.
class OptimiserReplay {
 public:
  OptimiserReplay(const OptimiserCase& source, const std::vector<std::int64_t>& sizes) : case_(source), p_("case", 1) {
    rate_ = single("rate", Element::kFloat32, Lifetime::kInput);
    step_ = single("step", Element::kUint32, Lifetime::kInput);
    std::int64_t first = 0;
    for (const std::int64_t size : sizes) {
      const std::string number = std::to_string(parts_.size());
      const auto add = [&](const std::string& name, Lifetime lifetime) {
        return p_.add({name + number, Element::kFloat32, {size}, lifetime, -1});
      };
      // Lists lie side by side in memory of a step: gradients are copied there, as a step makes them.
      const Tensor input = add("g", Lifetime::kInput), gradient = add("gradient", Lifetime::kStep);
      p_.add(Site{"case", std::nullopt}, ops::Scale{input, 1.0F, gradient});
      parts_.push_back({first, size, input, gradient, add("p", Lifetime::kState), add("m", Lifetime::kState),
                        add("v", Lifetime::kState)});
      first += size;
    }
  }

  struct Part {
    std::int64_t first, size;
    Tensor input, gradient, parameter, moment, square;
  };
  const std::vector<Part>& parts() const { return parts_; }
  std::vector<Tensor> all(Tensor Part::*which) const {
    std::vector<Tensor> tensors;
    for (const Part& part : parts_) tensors.push_back(part.*which);
    return tensors;
  }
  Tensor rate() const { return rate_; }
  Tensor step() const { return step_; }
  Tensor single(const std::string& name, Element element, Lifetime lifetime) {
    return p_.add({name, element, {}, lifetime, -1});
  }
  template <typename Op>
  void optimiser(const Op& op) {
    p_.add(Site{"case", std::nullopt}, op);
  }

  /// rate_of(step) and look(step) around every step.
  void run(Device& device, const std::function<float(std::int64_t)>& rate_of,
           const std::function<void(Executable&)>& look) {
    state_ = device.make_state(p_);
    for (const Part& part : parts_) state_->write(p_.spec(part.parameter).name, case_.p.data() + part.first);
    const auto executable = device.compile(p_, {state_, {}});
    for (std::int64_t t = 0; t < case_.steps; ++t) {
      StepInputs inputs(p_);
      inputs.set(rate_, rate_of(t));
      inputs.set(step_, static_cast<std::uint32_t>(t));
      for (const Part& part : parts_) inputs.point(part.input, case_.g.data() + t * case_.size + part.first);
      executable->run(inputs);
      look(*executable);
    }
  }
  Values read(Tensor Part::*which) {
    Values values(static_cast<std::size_t>(case_.size));
    for (const Part& part : parts_) state_->read(p_.spec(part.*which).name, values.data() + part.first);
    return values;
  }

 private:
  const OptimiserCase& case_;
  Program p_;
  Tensor rate_, step_;
  std::vector<Part> parts_;
  std::shared_ptr<State> state_;
};

template <typename T>
NpyArray npy_of(const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
  return make_npy<T>(shape, std::span<const T>(values));
}

ReplayReport report_of(const CaseFile& file, const std::vector<std::string>& close, const OperatorResults& results,
                       const std::optional<std::filesystem::path>& out_dir) {
  const double tolerance = file.tolerance("close_tolerance", kCloseTolerance).value_or(kCloseTolerance);
  ReplayReport report;
  report.kind = "operator";
  for (const auto& name : close) {
    const RecordedArray recorded{name, false, read_npy(file.folder() / (name + ".npy"))};
    report.lines.push_back(compare_array(file.folder(), recorded, results.at(name), name, tolerance));
  }
  if (out_dir) {
    make_folder(*out_dir);
    for (const auto& [name, array] : results) write_npy(*out_dir / (name + ".npy"), array);
  }
  return report;
}

}  // namespace

ReplayReport replay_adamw(const CaseFile& file, Device& device, const std::optional<std::filesystem::path>& out_dir) {
  file.only_keys(
      {"kind", "op", "betas", "eps", "weight_decay", "inputs", "exact", "close", "close_tolerance", "comment"});
  const auto inputs = file.names("inputs", {"p", "g", "lr"});
  const auto close = file.names("close", {"p_after", "m_after", "v_after"});
  OptimiserCase source = read_optimiser(file, inputs, close);
  const Values rates = read_npy(file.folder() / "lr.npy").values<float>();
  if (static_cast<std::int64_t>(rates.size()) != source.steps)
    file.fail("lr.npy has not one rate for each step of g.npy");
  ops::Adamw op;
  const auto betas = file.list_of_numbers("betas");
  if (betas.size() != 2) file.fail("betas are not two numbers");
  op.rule = {betas[0], betas[1], file.number("eps"), file.number("weight_decay"), 0.0};
  OptimiserReplay replay(source, {source.size});
  using Part = OptimiserReplay::Part;
  op.gradients = replay.all(&Part::gradient);
  op.moments = replay.all(&Part::moment);
  op.squares = replay.all(&Part::square);
  op.parameters = replay.all(&Part::parameter);
  op.rate = replay.rate();
  op.step = replay.step();
  replay.optimiser(op);
  Values after;
  replay.run(
      device, [&](std::int64_t t) { return rates[static_cast<std::size_t>(t)]; },
      [&](Executable&) {
        const Values p = replay.read(&Part::parameter);
        after.insert(after.end(), p.begin(), p.end());
      });
  OperatorResults results;
  results["p_after"] = npy_of<float>({source.steps, source.size}, after);
  results["m_after"] = npy_of<float>({source.size}, replay.read(&Part::moment));
  results["v_after"] = npy_of<float>({source.size}, replay.read(&Part::square));
  return report_of(file, close, results, out_dir);
}

ReplayReport replay_sgd_clipped(const CaseFile& file, Device& device,
                                const std::optional<std::filesystem::path>& out_dir) {
  file.only_keys({"kind", "op", "lr", "clip", "inputs", "exact", "close", "close_tolerance", "comment"});
  const auto inputs = file.names("inputs", {"p", "g", "sizes"});
  const auto close = file.names("close", {"norm", "p_after"});
  OptimiserCase source = read_optimiser(file, inputs, close);
  const auto sizes = read_npy(file.folder() / "sizes.npy").values<std::int64_t>();
  std::int64_t sum = 0;
  for (const std::int64_t size : sizes) {
    if (size < 1 || size > source.size) file.fail("sizes.npy holds " + std::to_string(size));
    sum += size;
  }
  if (sum != source.size)
    file.fail("sizes.npy adds up to " + std::to_string(sum) + ", p.npy has " + std::to_string(source.size) +
              " elements");
  OptimiserReplay replay(source, sizes);
  using Part = OptimiserReplay::Part;
  ops::SgdClipped op;
  op.gradients = replay.all(&Part::gradient);
  op.parameters = replay.all(&Part::parameter);
  op.rate = replay.rate();
  op.clip = file.number("clip");
  if (!(op.clip > 0.0)) file.fail("clip is not above 0");
  op.norm = replay.single("norm", Element::kFloat64, Lifetime::kReport);
  replay.optimiser(op);
  Values after;
  std::vector<double> norms;
  const auto rate = static_cast<float>(file.number("lr"));
  replay.run(
      device, [&](std::int64_t) { return rate; },
      [&](Executable& executable) {
        const Values p = replay.read(&Part::parameter);
        after.insert(after.end(), p.begin(), p.end());
        executable.read(op.norm, &norms.emplace_back());
      });
  OperatorResults results;
  results["norm"] = npy_of<double>({source.steps}, norms);
  results["p_after"] = npy_of<float>({source.steps, source.size}, after);
  return report_of(file, close, results, out_dir);
}

ReplayReport replay_swa_average(const CaseFile& file, const std::optional<std::filesystem::path>& out_dir) {
  file.only_keys({"kind", "op", "inputs", "exact", "close", "close_tolerance", "comment"});
  const std::vector<std::string> inputs{"points", "batch_means", "batch_variances", "batch_sizes"};
  const auto given = file.names("inputs", inputs);
  const auto close = file.names("close", {"average", "running_mean", "running_var"});
  std::vector<std::string> files;
  for (const auto* names : {&given, &close}) {
    for (const auto& name : *names) files.push_back(name + ".npy");
  }
  file.need_files(files);
  const auto table = [&](const char* name) {
    NpyArray array = read_npy(file.folder() / (std::string(name) + ".npy"));
    if (array.type != NpyType::kFloat32 || array.shape.size() != 2 || array.shape[0] < 1 || array.shape[1] < 1) {
      file.fail(std::string(name) + ".npy is " + array.shape_text() + "; expected <f4 of two dimensions");
    }
    return array;
  };
  const NpyArray points = table("points"), means = table("batch_means"), variances = table("batch_variances");
  const auto sizes = read_npy(file.folder() / "batch_sizes.npy").values<std::int64_t>();
  const auto batches = static_cast<std::int64_t>(sizes.size());
  if (means.shape != variances.shape || means.shape[0] != batches ||
      std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < 1 || size > 1'000'000'000; })) {
    file.fail("batch_sizes.npy has not one number above 0 for each row of batch_means.npy and batch_variances.npy");
  }
  const Values all = points.values<float>(), of_means = means.values<float>(), of_variances = variances.values<float>();
  Values average(static_cast<std::size_t>(points.shape[1]));
  for (std::size_t i = 0; i < all.size(); ++i) {
    float& mean = average[i % average.size()];
    mean = swa_average(mean, all[i], static_cast<std::int64_t>(i / average.size()));
  }
  const auto channels = static_cast<std::size_t>(means.shape[1]);
  SwaStatistics mean(channels, 0.0), variance(channels, 1.0);
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    mean.add(of_means.data() + k * channels, 1.0, sizes[k]);
    variance.add(of_variances.data() + k * channels, 1.0, sizes[k]);
  }
  OperatorResults results;
  results["average"] = npy_of<float>({points.shape[1]}, average);
  results["running_mean"] = npy_of<float>({means.shape[1]}, mean.values());
  results["running_var"] = npy_of<float>({means.shape[1]}, variance.values());
  return report_of(file, close, results, out_dir);
}

}  // namespace bitcycle
