// SPDX-License-Identifier: Apache-2.0
#include "nn/data/cifar.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kPixels = 32 * 32;

struct Layout {
  CifarFormat format;
  std::vector<std::string> train, test;
  std::string subfolder;
  std::string source;
};

const Layout& layout_of(const std::string& name) {
  static const std::map<std::string, Layout> layouts{
      {"cifar10",
       {{"cifar10", 10, 1, 0},
        {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
        {"test_batch.bin"},
        "cifar-10-batches-bin",
        "the 'CIFAR-10 binary version' of https://www.cs.toronto.edu/~kriz/cifar.html"}},
      {"cifar100",
       {{"cifar100", 100, 2, 1},
        {"train.bin"},
        {"test.bin"},
        "cifar-100-binary",
        "the 'CIFAR-100 binary version' of https://www.cs.toronto.edu/~kriz/cifar.html"}},
  };
  const auto found = layouts.find(name);
  if (found == layouts.end()) throw std::runtime_error("data set '" + name + "' is not cifar10 or cifar100");
  return found->second;
}

/// XXH3-128 of the official files.
const std::map<std::string, std::string>& official_digests() {
  static const std::map<std::string, std::string> digests{
      {"data_batch_1.bin", "17a1d9684136764641ac9bacc0b7f4a7"},
      {"data_batch_2.bin", "71aea62214a90ef4fe2060fa6cda726a"},
      {"data_batch_3.bin", "0b9e82750fd27dbfb4bded95a257863a"},
      {"data_batch_4.bin", "c8d5fdd3ac8f81bfc1de03fe2464dfde"},
      {"data_batch_5.bin", "4ab45439496c80b8d237593ed2319c8c"},
      {"train.bin", "968bbe363725b43b08b8c1a6b6fdd3bb"},
      {"test.bin", "8c59f79032317776b230695c566d03dd"},
  };
  return digests;
}

void load_files(const std::filesystem::path& folder, const std::vector<std::string>& files, const Layout& layout,
                ImageSet& set, std::vector<std::string>& warnings) {
  set.classes = layout.format.classes;
  set.count = 0;
  for (const auto& file : files) {
    const auto path = folder / file;
    const std::string bytes = read_file(path);
    append_records(bytes, layout.format, path.string(), set);
    const std::string digest = to_text(digest_of(bytes.data(), bytes.size()));
    const auto official = official_digests().find(file);
    if (official == official_digests().end() || official->second != digest) {
      warnings.push_back(path.filename().string() + ": its checksum (XXH3-128 " + digest +
                         ") is not one of a known official file; the run records it");
    }
  }
}

}  // namespace

CifarFormat cifar_format(const std::string& name) { return layout_of(name).format; }

void append_records(std::string_view bytes, const CifarFormat& format, const std::string& origin, ImageSet& set) {
  const auto record_size = static_cast<std::size_t>(format.record_size());
  if (bytes.empty())
    throw std::runtime_error("'" + origin + "' is empty; a " + format.name + " record has " +
                             std::to_string(record_size) + " bytes");
  if (bytes.size() % record_size != 0) {
    throw std::runtime_error(
        "'" + origin + "' has " + std::to_string(bytes.size()) + " bytes, which is no whole number of " + format.name +
        " records of " + std::to_string(record_size) + ": record " + std::to_string(bytes.size() / record_size) +
        " is incomplete (truncated download, or " + (format.name == "cifar10" ? "CIFAR-100" : "CIFAR-10") + " files?)");
  }
  const std::size_t records = bytes.size() / record_size;
  for (std::size_t i = 0; i < records; ++i) {
    const auto* record = reinterpret_cast<const std::uint8_t*>(bytes.data()) + i * record_size;
    const int label = record[format.label_index];
    if (label >= format.classes) {
      throw std::runtime_error("'" + origin + "': record " + std::to_string(i) + " has label " + std::to_string(label) +
                               "; " + format.name + " labels are 0 to " + std::to_string(format.classes - 1) +
                               " (damaged file?)");
    }
    set.labels.push_back(label);
    const std::uint8_t* planes = record + format.label_bytes;
    const std::size_t first = set.pixels.size();
    set.pixels.resize(first + 3 * kPixels);
    for (std::size_t p = 0; p < kPixels; ++p) {
      for (std::size_t c = 0; c < 3; ++c) set.pixels[first + 3 * p + c] = planes[c * kPixels + p];
    }
  }
  set.count += static_cast<std::int64_t>(records);
}

Dataset load_cifar(const std::filesystem::path& given, const std::string& name) {
  const Layout& layout = layout_of(name);
  if (given.empty()) {
    throw std::runtime_error("data.path is not given: data '" + name +
                             "' needs the folder of its files, for example --set data.path=" + layout.subfolder +
                             "; they are " + layout.source);
  }
  if (!std::filesystem::is_directory(given))
    throw std::runtime_error("data.path '" + given.string() + "' is not a folder");
  std::filesystem::path folder = given;
  if (!std::filesystem::exists(folder / layout.train[0]) && std::filesystem::is_directory(folder / layout.subfolder)) {
    folder /= layout.subfolder;
  }
  std::string missing;
  for (const auto* files : {&layout.train, &layout.test}) {
    for (const auto& file : *files) {
      if (!std::filesystem::is_regular_file(folder / file)) missing += (missing.empty() ? "" : ", ") + file;
    }
  }
  if (!missing.empty()) {
    throw std::runtime_error("'" + folder.string() + "' lacks " + missing + "; data '" + name +
                             "' is read from the files of " + layout.source);
  }
  Dataset dataset;
  dataset.name = name;
  load_files(folder, layout.train, layout, dataset.train, dataset.warnings);
  load_files(folder, layout.test, layout, dataset.test, dataset.warnings);
  return dataset;
}

}  // namespace bitcycle
