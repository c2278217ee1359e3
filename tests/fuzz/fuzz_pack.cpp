// SPDX-License-Identifier: Apache-2.0
// Any bytes as a pack, and as the index of a pack whose checksums are right: its first pictures are read, or it is
// refused with a std::runtime_error.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "nn/data/pack.h"

namespace {

using bitcycle::ImagePart;

constexpr std::int64_t kImage = 4;  // pixels a side

template <typename T>
void put(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void read(const std::string& path, std::string_view file) {
  try {
    bitcycle::PackIndex index = bitcycle::read_pack_index(path);
    if (index.resize < kImage || index.resize > 1024) return;  // refused by who opens a pack; large ones take long
    for (auto* list : {&index.train, &index.test}) {
      for (auto& entry : *list) {
        const bitcycle::Digest128 digest = bitcycle::digest_of(file.data() + entry.offset, entry.bytes());
        std::memcpy(&entry.check, digest.bytes.data(), sizeof entry.check);
      }
    }
    std::vector<std::uint8_t> image(3 * kImage * kImage);
    const bool has_train = !index.train.empty(), has_test = !index.test.empty();
    const auto source = bitcycle::pack_source(path, index, kImage);
    const auto reader = source->reader({true, 5});
    if (has_train) reader->read(ImagePart::kTrain, 0, 1, image.data());
    if (has_test) reader->read(ImagePart::kTest, 0, 1, image.data());
  } catch (const std::runtime_error&) {
  }
}

void read_as_file(std::string_view bytes) {
  static const int file = memfd_create("pack", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  const auto size = static_cast<ssize_t>(bytes.size());
  if (ftruncate(file, 0) != 0 || pwrite(file, bytes.data(), bytes.size(), 0) != size) std::abort();
  read(path, bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read_as_file(bytes);
  std::string file = "bitcycle pack 1\n" + std::string(192, 'x');
  const std::uint64_t offset = file.size(), length = bytes.size();
  file += bytes;
  put(file, offset);
  put(file, length);
  const bitcycle::Digest128 digest = bitcycle::digest_of(bytes.data(), bytes.size());
  file.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  file += "packend\n";
  read_as_file(file);
  return 0;
}
