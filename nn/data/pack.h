// SPDX-License-Identifier: Apache-2.0
// Packs: one file with the pictures of an image folder, decoded and scaled to one short side, for sets that are read
// many times. Decoders of other versions may give other pixels; a pack gives the same ones everywhere.
//
// Layout, numbers little-endian: "bitcycle pack 1\n"; the pictures, (height, width, 3) bytes each; the index: short
// side (u32), classes (u32), each length (u32) and name, images of training (u64) and of evaluation (u64), for each of
// them offset (u64), height, width, label (u32), 0 (u32), the first 8 bytes of the XXH3-128 of its pixels; then, at the
// end: offset and size of the index (u64 each), the XXH3-128 of the index, "packend\n". That digest is the pack's: the
// index holds one of every picture, so it stands for all.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/data/image_folder.h"
#include "nn/data/image_source.h"
#include "sim/number/digest.h"

namespace bitcycle {

struct PackEntry {
  std::uint64_t offset = 0;
  std::uint32_t height = 0, width = 0, label = 0, zero = 0;
  std::uint64_t check = 0;

  std::size_t bytes() const { return std::size_t{3} * height * width; }
};

struct PackIndex {
  std::int64_t resize = 256;
  std::vector<std::string> classes;
  std::vector<PackEntry> train, test;
  Digest128 digest;
};

/// True where the file begins as a pack does.
bool is_pack(const std::filesystem::path& path);
/// Throws std::runtime_error with the path and what is wrong: no pack, cut off, damaged index.
PackIndex read_pack_index(const std::filesystem::path& path);
/// One picture. Throws DataError where it cannot be read or has changed.
void read_packed(int descriptor, const std::filesystem::path& path, const PackEntry& entry,
                 std::vector<std::uint8_t>& pixels);

/// Images of size x size pixels; training images are boxes of the packed pictures.
std::shared_ptr<const ImageSource> pack_source(const std::filesystem::path& path, PackIndex index, std::int64_t size);

/// Packs a folder, whole or not at all. Another pack is replaced, any other file is not. `progress(done, of)` is called
/// now and then; what it throws ends the packing. Throws std::runtime_error naming the first file that cannot be read,
/// and what the writing of files throws.
PackIndex write_pack(const ImageFolder& folder, const std::filesystem::path& out, std::int64_t resize, int threads,
                     const std::function<void(std::int64_t done, std::int64_t of)>& progress);

}  // namespace bitcycle
