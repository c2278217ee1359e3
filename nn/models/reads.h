// SPDX-License-Identifier: Apache-2.0
// What a family of models reads.
#pragma once

#include <cstdint>

namespace bitcycle {

enum class Reads : std::uint8_t {
  kImages,
  kStreams,    // words of contiguous streams; the state is carried from step to step
  kSequences,  // words of blocks that know nothing of each other
};

}  // namespace bitcycle
