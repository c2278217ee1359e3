// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent with momentum and weight decay, one element (docs/numerics.md, 9.1).
#pragma once

#include "sim/number/host_device.h"

namespace bitcycle {

/// d = g + wd*w; m = mu*m + d; w = w - lr*m; every operation rounded to binary32.
BITCYCLE_HD void sgd_element(float g, float& m, float& w, float lr, float mu, float wd) {
  const float decay = wd * w;
  const float d = g + decay;
  const float kept = mu * m;
  m = kept + d;
  const float change = lr * m;
  w = w - change;
}

}  // namespace bitcycle
