// SPDX-License-Identifier: Apache-2.0
#include "nn/run/averaged_network.h"

#include <map>
#include <stdexcept>
#include <string_view>

#include "nn/run/swa_average.h"

namespace bitcycle {
namespace {

/// Epochs of the passes for statistics, so that their augmentation is not that of a training's epoch.
constexpr std::uint32_t kFirstPass = 0x80000000U;
/// A batch adds this share of its statistics to running ones (numerics, 7.4); from zero, it is all that is there.
constexpr double kBatchShare = static_cast<double>(0.1F);

Config in_file_order(Config config) {
  config.data.shuffle = false;
  return config;
}

}  // namespace

AveragedNetwork::AveragedNetwork(const Config& config, const Dataset& dataset, Device& device)
    : config_(in_file_order(config)),
      dataset_(dataset),
      run_(config_, dataset, device, {}, NetworkRun::Purpose::kStatistics) {
  initialise(run_.state(), config.train.seed);
}

void AveragedNetwork::add(StateArenas& training, std::int64_t steps_done) {
  const std::vector<float> points = training.values();
  std::vector<float> values = run_.state().values();
  for (const auto& parameter : run_.state().parameters().all()) {
    if (!parameter.trained) continue;
    for (std::int64_t i = 0; i < parameter.size(); ++i) {
      const auto at = static_cast<std::size_t>(parameter.offset + i);
      values[at] = swa_average(values[at], points[at], models_);
    }
  }
  run_.state().set_values(values);
  ++models_;
  make_statistics(steps_done);
}

void AveragedNetwork::make_statistics(std::int64_t steps_done) {
  struct Statistic {
    std::vector<float> batch, zeros;
    SwaStatistics mean;
  };
  std::map<std::string, Statistic> statistics;
  for (const auto& parameter : run_.state().parameters().all()) {
    const bool variance = parameter.name.ends_with(".running_var");
    if (!variance && !parameter.name.ends_with(".running_mean")) continue;
    const auto size = static_cast<std::size_t>(parameter.size());
    statistics.emplace(parameter.name, Statistic{std::vector<float>(size), std::vector<float>(size),
                                                 SwaStatistics(size, variance ? 1.0 : 0.0)});
  }
  std::vector<State::Read> reads;
  reads.reserve(statistics.size());
  for (auto& [name, statistic] : statistics) reads.push_back({name, statistic.batch.data()});
  const std::int64_t batch = config_.train.batch, batches = (dataset_.train.count + batch - 1) / batch;
  State& state = run_.device_state();
  run_.begin_pass(kFirstPass + static_cast<std::uint32_t>(models_ - 1), batches);
  for (std::int64_t number = 0; number < batches; ++number) {
    for (const auto& [name, statistic] : statistics) state.write(name, statistic.zeros.data());
    run_.start(steps_done - 1, number);
    run_.finish();
    state.read(reads);
    for (auto& [name, statistic] : statistics) statistic.mean.add(statistic.batch.data(), 1.0 / kBatchShare, batch);
  }
  for (const auto& [name, statistic] : statistics) state.write(name, statistic.mean.values().data());
}

std::vector<NamedTensor> AveragedNetwork::save() {
  if (models_ == 0) return {};
  std::vector<NamedTensor> tensors;
  for (auto& tensor : save_state(run_.state())) {
    if (tensor.name.starts_with(momentum_name(""))) continue;
    tensor.name = kAveragedPrefix + tensor.name;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void AveragedNetwork::load(const TensorFile& file, std::int64_t models, const std::string& origin) {
  models_ = models;
  if (models > 0) load_averaged(run_.state(), file, origin);
}

void load_averaged(StateArenas& state, const TensorFile& file, const std::string& origin) {
  TensorFile own;
  for (const auto& tensor : file.tensors) {
    if (!tensor.name.starts_with(kAveragedPrefix)) continue;
    own.tensors.push_back(tensor);
    own.tensors.back().name.erase(0, std::string_view(kAveragedPrefix).size());
  }
  if (own.tensors.empty()) {
    throw std::runtime_error(origin +
                             " holds no averaged parameters: swa.start is not set, or no average was made yet");
  }
  load_weights(state, own, origin + ", averaged parameters");
}

}  // namespace bitcycle
