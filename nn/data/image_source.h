// SPDX-License-Identifier: Apache-2.0
// ImageSource: the images of a set that does not lie in memory, one at a time. A set of millions of photographs is an
// index; what a step needs of it is made a few batches ahead (batch_stream.h).
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace bitcycle {

/// An image that cannot be read: file, reason, remedy. What was trained before it is not lost.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class ImagePart { kTrain, kTest };

/// How training images are drawn.
struct AugmentRules {
  bool augment = false;
  std::uint64_t seed = 0;
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  /// What one thread needs to read images.
  class Reader {
   public:
    virtual ~Reader() = default;
    /// Image `image` of a part, (height, width, 3) bytes. Training images are augmented, for this epoch. The same bytes
    /// whoever reads and in whatever order. Throws DataError.
    virtual void read(ImagePart part, std::int64_t image, std::uint32_t epoch, std::uint8_t* pixels) = 0;
  };
  virtual std::unique_ptr<Reader> reader(const AugmentRules& rules) const = 0;
};

}  // namespace bitcycle
