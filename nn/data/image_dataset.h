// SPDX-License-Identifier: Apache-2.0
// data.name: imagefolder: a folder of photographs, or a pack of one. Their images are streamed.
#pragma once

#include "nn/config/config.h"
#include "nn/data/dataset.h"

namespace bitcycle {

/// Index, labels and source of data.path. The checksum stands for names and sizes of all files and for the decoder's
/// version; of a pack it is the pack's digest. Throws std::runtime_error with what is wrong and the remedy.
Dataset load_image_dataset(const DataConfig& data);

}  // namespace bitcycle
