// SPDX-License-Identifier: Apache-2.0
// BatchStream: batches of a set that does not lie in memory, made by worker threads a few batches ahead of the step
// that needs them. What a batch holds depends on its number alone; memory is that of the batches ahead.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "nn/data/image_source.h"
#include "sim/ops/augmentation.h"

namespace bitcycle {

class BatchStream {
 public:
  /// Puts the images of batch `number` into the list, which is empty, or leaves it so behind the last one. Called by
  /// get() alone, in its thread.
  using ImagesOf = std::function<void(std::int64_t number, std::vector<ImageIndex>& images)>;

  /// `source` must live on. At most `most` images a batch, of `image_bytes` each; `ahead` batches are made beside the
  /// one that was handed out.
  BatchStream(const ImageSource& source, const AugmentRules& rules, ImagePart part, ImagesOf images_of,
              std::int64_t most, std::int64_t image_bytes, int workers, std::int64_t ahead);
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  /// The images of a batch, valid until the next call; waits for them. Batches are best asked for one after the other:
  /// any other number begins anew. Throws the DataError of its first image that cannot be read; the stream can still be
  /// used.
  const std::uint8_t* get(std::int64_t number);
  /// Bytes of all batches that are held.
  std::int64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Worker threads of `data.workers`, `asked`: 0 as many as `threads`, which 0 means all cores.
int worker_count(int asked, int threads);

}  // namespace bitcycle
