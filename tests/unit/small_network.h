// SPDX-License-Identifier: Apache-2.0
// A small network that has every kind of connection (stem, identity shortcut, projected shortcut, pool, classifier) on
// 8x8 images, and the same network in binary64, written independently as plain formulas.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/models/state.h"
#include "sim/number/philox.h"

namespace bitcycle::test {

constexpr std::int64_t kSmallSide = 8, kSmallChannels = 3, kSmallClasses = 5;

inline std::unique_ptr<builder::NetworkProgram> small_network(builder::Options options) {
  using namespace builder;
  Builder b("small", std::move(options));
  const auto block = [&b](Value* x, const char* conv_name, const char* norm, std::int64_t channels,
                          std::int64_t kernel = 3, std::int64_t stride = 1) {
    return batch_norm(b, conv(b, x, {conv_name, channels, kernel, stride, kernel / 2, 1}), norm);
  };
  Value* x = relu(b, block(b.images(kSmallSide, kSmallSide, kSmallChannels), "conv1", "bn1", 4));
  Value* hidden = relu(b, block(x, "a.conv1", "a.bn1", 4));
  x = relu(b, add(b, block(hidden, "a.conv2", "a.bn2", 4), x));
  hidden = relu(b, block(x, "b.conv1", "b.bn1", 6, 3, 2));
  Value* main = block(hidden, "b.conv2", "b.bn2", 6);
  x = relu(b, add(b, main, block(x, "b.downsample", "b.bn3", 6, 1, 2)));
  softmax_loss(b, linear(b, average_pool(b, x, "pool"), "fc", kSmallClasses));
  return b.finish();
}

/// Of `batch` samples, every layer at this width, to nearest, with an optimiser.
inline builder::Options small_options(std::int64_t batch, LayerWidths widths) {
  builder::Options options;
  options.batch = batch;
  options.quantisation.stochastic = false;
  options.widest = [widths](const std::string&) { return widths; };
  options.sgd = builder::Options::Sgd{};
  return options;
}

struct SmallBatch {
  std::int64_t n;
  std::vector<float> x;  // (n, 8, 8, 3)
  std::vector<std::int32_t> labels;
};

inline SmallBatch small_batch(std::int64_t n, std::uint64_t seed) {
  SmallBatch batch{n, {}, {}};
  const auto stream = philox_stream(seed, 0, RandomPurpose::kSyntheticData, 7);
  const auto elements = static_cast<std::uint64_t>(n * kSmallSide * kSmallSide * kSmallChannels);
  for (std::uint64_t i = 0; i < elements; ++i) batch.x.push_back(4.0F * rounding_noise(philox_word(stream, i)));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto word = philox_word(stream, elements + static_cast<std::uint64_t>(i));
    batch.labels.push_back(static_cast<std::int32_t>(bounded(word, kSmallClasses)));
  }
  return batch;
}

/// Parameters by name, canonical order, binary64.
using Parameters64 = std::map<std::string, std::vector<double>>;

inline Parameters64 parameters64(StateArenas& state) {
  Parameters64 all;
  for (const auto& tensor : save_state(state)) all[tensor.name].assign(tensor.data.begin(), tensor.data.end());
  return all;
}

/// Mean loss of the small network in training mode, binary64, from the definitions.
class SmallNetwork64 {
 public:
  explicit SmallNetwork64(const SmallBatch& batch) : batch_(batch) {}

  double loss(const Parameters64& p) const {
    Tensor x{batch_.n, kSmallChannels, kSmallSide, {}};
    x.data.resize(batch_.x.size());
    for (std::int64_t n = 0; n < x.n; ++n)
      for (std::int64_t h = 0; h < x.side; ++h)
        for (std::int64_t w = 0; w < x.side; ++w)
          for (std::int64_t c = 0; c < x.c; ++c)
            x.at(n, c, h, w) = batch_.x[static_cast<std::size_t>(((n * x.side + h) * x.side + w) * x.c + c)];
    x = relu(norm(conv(x, p.at("conv1.weight"), 4, 3, 1, 1), p, "bn1"));
    Tensor h = relu(norm(conv(x, p.at("a.conv1.weight"), 4, 3, 1, 1), p, "a.bn1"));
    x = relu(add(norm(conv(h, p.at("a.conv2.weight"), 4, 3, 1, 1), p, "a.bn2"), x));
    h = relu(norm(conv(x, p.at("b.conv1.weight"), 6, 3, 2, 1), p, "b.bn1"));
    x = relu(add(norm(conv(h, p.at("b.conv2.weight"), 6, 3, 1, 1), p, "b.bn2"),
                 norm(conv(x, p.at("b.downsample.weight"), 6, 1, 2, 0), p, "b.bn3")));
    double total = 0.0;
    for (std::int64_t n = 0; n < x.n; ++n) {
      std::vector<double> logits;
      for (std::int64_t j = 0; j < kSmallClasses; ++j) {
        double z = p.at("fc.bias")[static_cast<std::size_t>(j)];
        for (std::int64_t c = 0; c < x.c; ++c) {
          double mean = 0.0;
          for (std::int64_t i = 0; i < x.side * x.side; ++i) mean += x.at(n, c, i / x.side, i % x.side);
          mean /= static_cast<double>(x.side * x.side);
          z += mean * p.at("fc.weight")[static_cast<std::size_t>(j * x.c + c)];
        }
        logits.push_back(z);
      }
      double sum = 0.0;
      for (const double z : logits) sum += std::exp(z);
      total += std::log(sum) - logits[static_cast<std::size_t>(batch_.labels[static_cast<std::size_t>(n)])];
    }
    return total / static_cast<double>(x.n);
  }

 private:
  struct Tensor {
    std::int64_t n, c, side;
    std::vector<double> data;
    double& at(std::int64_t nn, std::int64_t cc, std::int64_t h, std::int64_t w) {
      return data[static_cast<std::size_t>(((nn * c + cc) * side + h) * side + w)];
    }
  };

  static Tensor conv(Tensor x, const std::vector<double>& weight, std::int64_t channels, std::int64_t k,
                     std::int64_t stride, std::int64_t padding) {
    Tensor y{x.n, channels, (x.side + 2 * padding - k) / stride + 1, {}};
    y.data.resize(static_cast<std::size_t>(y.n * y.c * y.side * y.side));
    for (std::int64_t n = 0; n < y.n; ++n)
      for (std::int64_t o = 0; o < y.c; ++o)
        for (std::int64_t h = 0; h < y.side; ++h)
          for (std::int64_t w = 0; w < y.side; ++w) {
            double sum = 0.0;
            for (std::int64_t c = 0; c < x.c; ++c)
              for (std::int64_t kh = 0; kh < k; ++kh)
                for (std::int64_t kw = 0; kw < k; ++kw) {
                  const std::int64_t row = h * stride - padding + kh, column = w * stride - padding + kw;
                  if (row < 0 || row >= x.side || column < 0 || column >= x.side) continue;
                  sum += x.at(n, c, row, column) * weight[static_cast<std::size_t>(((o * x.c + c) * k + kh) * k + kw)];
                }
            y.at(n, o, h, w) = sum;
          }
    return y;
  }

  static Tensor norm(Tensor y, const Parameters64& p, const std::string& name) {
    const double count = static_cast<double>(y.n * y.side * y.side);
    for (std::int64_t c = 0; c < y.c; ++c) {
      double mean = 0.0, variance = 0.0;
      const auto each = [&](auto&& f) {
        for (std::int64_t n = 0; n < y.n; ++n)
          for (std::int64_t i = 0; i < y.side * y.side; ++i) f(y.at(n, c, i / y.side, i % y.side));
      };
      each([&](double& v) { mean += v / count; });
      each([&](double& v) { variance += (v - mean) * (v - mean) / count; });
      const double scale = p.at(name + ".weight")[static_cast<std::size_t>(c)] / std::sqrt(variance + 1e-5);
      each([&](double& v) { v = (v - mean) * scale + p.at(name + ".bias")[static_cast<std::size_t>(c)]; });
    }
    return y;
  }

  static Tensor relu(Tensor x) {
    for (auto& v : x.data) v = v > 0.0 ? v : 0.0;
    return x;
  }

  static Tensor add(Tensor a, const Tensor& b) {
    for (std::size_t i = 0; i < a.data.size(); ++i) a.data[i] += b.data[i];
    return a;
  }

  const SmallBatch& batch_;
};

}  // namespace bitcycle::test
