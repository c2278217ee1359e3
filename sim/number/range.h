// SPDX-License-Identifier: Apache-2.0
// The smallest and the largest element of a group.
#pragma once

namespace bitcycle {

/// -0 counted as +0. Of an empty group: 0, 0.
struct Range {
  float lo = 0.0F;
  float hi = 0.0F;
};

}  // namespace bitcycle
