// SPDX-License-Identifier: Apache-2.0
// From JPEG files to images of a network: decoding, random box, scaling to 224 x 224 and flip, of 500 x 375 files.
// BITCYCLE_JPEG_FOLDER names a folder that holds train/ and val/; bench/peers/jpeg_pipeline.py makes one and times
// Pillow with the same operations.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/data/batch_stream.h"
#include "nn/data/folder_source.h"
#include "nn/data/image_folder.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kSize = 224, kResize = 256, kBatch = 32;

/// Batches of training images, range(0) worker threads.
void training_images(benchmark::State& state) {
  const char* folder = std::getenv("BITCYCLE_JPEG_FOLDER");
  if (folder == nullptr) return state.SkipWithError("set BITCYCLE_JPEG_FOLDER to a folder with train/ and val/");
  ImageFolder index = read_image_folder(folder);
  const std::int64_t count = index.train.count();
  const auto source = folder_source(std::move(index), kSize, kResize);
  const auto images_of = [count](std::int64_t number, std::vector<ImageIndex>& images) {
    for (std::int64_t i = 0; i < kBatch; ++i) {
      const std::int64_t position = number * kBatch + i;
      images.push_back({static_cast<std::uint32_t>(position % count), static_cast<std::uint32_t>(position / count)});
    }
  };
  BatchStream stream(*source, {true, 1}, ImagePart::kTrain, images_of, kBatch, kSize * kSize * 3,
                     static_cast<int>(state.range(0)), 2);
  std::int64_t number = 0;
  for (auto _ : state) benchmark::DoNotOptimize(stream.get(number++));
  state.SetItemsProcessed(number * kBatch);
  state.counters["per_thread"] = benchmark::Counter(
      static_cast<double>(number * kBatch) / static_cast<double>(state.range(0)), benchmark::Counter::kIsRate);
}
BENCHMARK(training_images)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(4.0);

}  // namespace
}  // namespace bitcycle

BENCHMARK_MAIN();
