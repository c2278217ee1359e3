// SPDX-License-Identifier: Apache-2.0
// The official binary files of CIFAR-10 and CIFAR-100: records of label bytes and 3072 pixel bytes, planes R G B.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "nn/data/dataset.h"

namespace bitcycle {

/// One file format: how many label bytes, and which of them is the label.
struct CifarFormat {
  std::string name;  // cifar10, cifar100
  std::int64_t classes = 10;
  std::int64_t label_bytes = 1;
  std::int64_t label_index = 0;
  std::int64_t record_size() const { return label_bytes + 3072; }
};
CifarFormat cifar_format(const std::string& name);

/// Appends the records of one file. Throws std::runtime_error with origin and record: an incomplete last
/// record, no record, a label out of range.
void append_records(std::string_view bytes, const CifarFormat& format, const std::string& origin, ImageSet& set);

/// Training and test set of a folder: the official files directly in it, or in the folder that the official
/// archive unpacks to. Throws naming what was looked for and where the set is to be had.
Dataset load_cifar(const std::filesystem::path& folder, const std::string& name);

}  // namespace bitcycle
