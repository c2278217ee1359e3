// SPDX-License-Identifier: Apache-2.0
// Weights that a case describes by a generator, for networks that are too large for a file: element e of a parameter,
// in canonical order, is fl(offset + fl(scale * u)), u = (word >> 8) * 2^-24 - 0.5, word number e of the parameter's
// stream of initial values (docs/numerics.md, 8.4).
#pragma once

#include "nn/io/safetensors.h"
#include "nn/train/case_file.h"

namespace bitcycle {

/// Of the key `init` of a case. Where the case has init_head.safetensors, the first elements must be those. Throws
/// std::runtime_error naming file and key.
TensorFile generated_weights(const CaseFile& file);

}  // namespace bitcycle
