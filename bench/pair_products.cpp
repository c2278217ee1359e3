// SPDX-License-Identifier: Apache-2.0
// Products of attention as integers, of every pair of widths, in turns on the CPU's kernels and on the reference loops,
// which is what widths above 8 bits ran on once: seconds of a product with its operands' codes, the least of some.
//   bench_pair_products [THREADS [WORDS [HEADS [FEATURES]]]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim/device/kernel_device.h"
#include "sim/number/philox.h"
#include "sim/program/program.h"

namespace bitcycle {
namespace {

constexpr int kTimes = 3;

/// Operands' codes of random values, and their product.
struct PairProgram {
  Program program{"pairs", 1};
  std::vector<std::pair<Tensor, std::vector<std::byte>>> inputs;
  Tensor y;

  PairProgram(const ops::PairContraction& over, int lhs_bits, int rhs_bits) {
    const ops::Quantised lhs = codes("lhs", over.lhs_size(), lhs_bits), rhs = codes("rhs", over.rhs_size(), rhs_bits);
    const Tensor sums = tensor("sums", Element::kInt64, {over.out_size()});
    y = tensor("y", Element::kFloat32, {over.out_size()});
    node(ops::PairProduct{lhs, rhs, over, sums});
    node(ops::PairRescale{lhs, rhs, over, sums, y});
  }
  Tensor tensor(const std::string& name, Element element, std::vector<std::int64_t> shape,
                Lifetime lifetime = Lifetime::kStep) {
    return program.add({name, element, std::move(shape), lifetime, -1});
  }
  template <typename Op>
  void node(const Op& op) {
    program.add(Site{"layer", Pass::kForward}, op);
  }
  ops::Quantised codes(const std::string& name, std::int64_t size, int bits) {
    ops::Quantise op;
    op.x = tensor(name + " values", Element::kFloat32, {size}, Lifetime::kInput);
    const PhiloxStream stream = philox_stream(1, 0, RandomPurpose::kSyntheticData, static_cast<std::uint32_t>(bits));
    std::vector<float> values;
    for (std::int64_t e = 0; e < size; ++e) {
      values.push_back(rounding_noise(philox_word(stream, static_cast<std::uint64_t>(e))));
    }
    input(op.x, values.data(), values.size() * sizeof(float));
    const Tensor range = tensor(name + " range", Element::kRange, {});
    op.grid = tensor(name + " grid", Element::kGrid, {});
    op.width = tensor(name + " width", Element::kBitWidth, {}, Lifetime::kInput);
    const BitWidth width = BitWidth::integer(bits);
    input(op.width, &width, sizeof width);
    op.codes = tensor(name, bits <= 8 ? Element::kCodes8 : Element::kCodes16, {size});
    node(ops::Range{op.x, range, ops::one_group()});
    node(ops::FitGrid{range, op.width, op.grid, MinScale{}});
    node(op);
    return op.result();
  }
  void input(Tensor to, const void* from, std::size_t bytes) {
    inputs.emplace_back(to, std::vector<std::byte>(bytes));
    std::memcpy(inputs.back().second.data(), from, bytes);
  }
};

/// Least seconds, and the product's bytes.
double seconds_of(Device& device, const PairProgram& of, std::vector<std::byte>& result) {
  const auto executable = device.compile(of.program, {device.make_state(of.program), {of.y}});
  StepInputs inputs(of.program);
  for (const auto& [tensor, bytes] : of.inputs) inputs.point(tensor, bytes.data());
  double least = 1e9;
  for (int i = 0; i < kTimes; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    executable->run(inputs);
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  result.resize(of.program.spec(of.y).bytes());
  executable->read(of.y, result.data());
  return least;
}

int measure(int threads, std::int64_t words, std::int64_t heads, std::int64_t features) {
  const ops::PairShape shape{1, heads, words, words, features, true};
  const auto fast = make_cpu_device(Isa::kAuto, threads), plain = make_reference_device();
  std::printf("%s, %d threads; milliseconds\n%-50s %5s %10s %10s %7s\n", shape.text().c_str(), threads, "product",
              "bits", "reference", "kernels", "times");
  for (const auto form : {ops::PairForm::kPairs, ops::PairForm::kRows, ops::PairForm::kColumns}) {
    for (const auto& [lhs, rhs] : {std::pair{8, 8}, {12, 8}, {8, 12}, {16, 16}}) {
      const PairProgram of({form, shape}, lhs, rhs);
      std::vector<std::byte> expected, found;
      const double reference = seconds_of(*plain, of, expected), kernels = seconds_of(*fast, of, found);
      if (expected != found) {
        std::fprintf(stderr, "bench_pair_products: error: %d x %d bits differ from the reference\n", lhs, rhs);
        return 1;
      }
      std::printf("%-50s %2d/%2d %10.2f %10.2f %7.1f\n", ops::PairContraction{form, shape}.text().c_str(), lhs, rhs,
                  1e3 * reference, 1e3 * kernels, reference / kernels);
    }
  }
  return 0;
}

}  // namespace
}  // namespace bitcycle

int main(int count, char** arguments) {
  const auto number = [&](int at, int otherwise) { return count > at ? std::atoi(arguments[at]) : otherwise; };
  return bitcycle::measure(number(1, 2), number(2, 256), number(3, 8), number(4, 64));
}
