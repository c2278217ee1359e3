// SPDX-License-Identifier: Apache-2.0
// The images of a folder of photographs: read, decoded, cropped and scaled when they are asked for.
#pragma once

#include <memory>

#include "nn/data/image_folder.h"
#include "nn/data/image_source.h"

namespace bitcycle {

/// Images of size x size pixels; evaluation scales the short side to `resize`.
std::shared_ptr<const ImageSource> folder_source(ImageFolder folder, std::int64_t size, std::int64_t resize);

}  // namespace bitcycle
