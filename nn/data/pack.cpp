// SPDX-License-Identifier: Apache-2.0
#include "nn/data/pack.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "nn/data/crop.h"
#include "nn/data/jpeg.h"
#include "nn/data/parallel_images.h"
#include "nn/io/atomic_file.h"

namespace bitcycle {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kBegin = "bitcycle pack 1\n", kEnd = "packend\n";
constexpr std::size_t kTrailer = 8 + 8 + 16 + 8;
constexpr std::int64_t kChunk = 64;  // pictures that are decoded side by side, then written in order

static_assert(sizeof(PackEntry) == 32);

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

Descriptor open_to_read(const fs::path& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) throw_file_error("cannot read", path, errno);
  return file;
}

/// False where the file ends before.
bool read_at(int descriptor, std::uint64_t offset, void* to, std::size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = pread(descriptor, at, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

std::uint64_t check_of(const void* data, std::size_t bytes) {
  const Digest128 digest = digest_of(data, bytes);
  std::uint64_t check = 0;
  std::memcpy(&check, digest.bytes.data(), sizeof check);
  return check;
}

template <typename T>
void put(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// The index's bytes, read one field after the other.
class IndexReader {
 public:
  explicit IndexReader(const std::string& bytes) : bytes_(bytes) {}
  template <typename T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string text(std::size_t size) { return {take(size), size}; }
  std::vector<PackEntry> entries(std::uint64_t count) {
    if (count > (bytes_.size() - at_) / sizeof(PackEntry)) throw std::runtime_error("its index ends early");
    std::vector<PackEntry> list(static_cast<std::size_t>(count));
    if (count > 0) std::memcpy(list.data(), take(list.size() * sizeof list[0]), list.size() * sizeof list[0]);
    return list;
  }

 private:
  const char* take(std::size_t size) {
    if (size > bytes_.size() - at_) throw std::runtime_error("its index ends early");
    at_ += size;
    return bytes_.data() + (at_ - size);
  }
  const std::string& bytes_;
  std::size_t at_ = 0;
};

std::string index_bytes(const PackIndex& index) {
  std::string bytes;
  put(bytes, static_cast<std::uint32_t>(index.resize));
  put(bytes, static_cast<std::uint32_t>(index.classes.size()));
  for (const auto& name : index.classes) {
    put(bytes, static_cast<std::uint32_t>(name.size()));
    bytes += name;
  }
  put(bytes, static_cast<std::uint64_t>(index.train.size()));
  put(bytes, static_cast<std::uint64_t>(index.test.size()));
  for (const auto* list : {&index.train, &index.test}) {
    for (const PackEntry& entry : *list) put(bytes, entry);
  }
  return bytes;
}

PackIndex parse_index(const std::string& bytes, std::uint64_t pictures_end) {
  IndexReader reader(bytes);
  PackIndex index;
  index.resize = reader.get<std::uint32_t>();
  if (index.resize < 1) throw std::runtime_error("its index has pictures without pixels");
  const auto classes = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < classes; ++i) index.classes.push_back(reader.text(reader.get<std::uint32_t>()));
  const auto train = reader.get<std::uint64_t>(), test = reader.get<std::uint64_t>();
  index.train = reader.entries(train);
  index.test = reader.entries(test);
  for (const auto* list : {&index.train, &index.test}) {
    for (const PackEntry& e : *list) {
      if (e.label >= classes || std::min(e.height, e.width) != index.resize || e.height > 65535 || e.width > 65535 ||
          e.offset > pictures_end || e.bytes() > pictures_end - e.offset) {
        throw std::runtime_error("its index has a picture that cannot be");
      }
    }
  }
  return index;
}

class PackSource final : public ImageSource {
 public:
  PackSource(fs::path path, PackIndex index, std::int64_t size)
      : path_(std::move(path)), index_(std::move(index)), size_(size), file_(open_to_read(path_)) {}
  std::unique_ptr<Reader> reader(const AugmentRules& rules) const override;

  const fs::path path_;
  const PackIndex index_;
  const std::int64_t size_;
  const Descriptor file_;
};

class PackReader final : public ImageSource::Reader {
 public:
  PackReader(const PackSource& source, const AugmentRules& rules) : source_(source), rules_(rules) {}
  void read(ImagePart part, std::int64_t image, std::uint32_t epoch, std::uint8_t* pixels) override {
    const bool train = part == ImagePart::kTrain;
    const PackIndex& index = source_.index_;
    const PackEntry& entry = (train ? index.train : index.test)[static_cast<std::size_t>(image)];
    read_packed(source_.file_.number(), source_.path_, entry, picture_);
    const CropPlan plan = train && rules_.augment
                              ? random_resized_crop(entry.height, entry.width, source_.size_, rules_.seed, epoch,
                                                    static_cast<std::uint64_t>(image))
                              : centre_crop(entry.height, entry.width, index.resize, source_.size_);
    const PixelBox box = renderer_.begin(plan);
    for (std::int64_t y = box.top; y < box.top + box.height; ++y) {
      renderer_.add_row(y, picture_.data() + (y * entry.width + box.left) * 3);
    }
    renderer_.finish(pixels);
  }

 private:
  const PackSource& source_;
  const AugmentRules rules_;
  std::vector<std::uint8_t> picture_;
  CropRenderer renderer_;
};

std::unique_ptr<ImageSource::Reader> PackSource::reader(const AugmentRules& rules) const {
  return std::make_unique<PackReader>(*this, rules);
}

/// A file's picture with the short side `resize`.
void scale_picture(JpegReader& jpeg, const std::string& path, std::int64_t resize, PackEntry& entry,
                   std::vector<std::uint8_t>& pixels) {
  const std::string bytes = read_file(path);
  const JpegInfo info = jpeg.open(bytes, "'" + path + "'");
  const CropPlan plan = centre_crop(info.height, info.width, resize, resize);
  const ResampleAxis columns = resample_axis(info.width, plan.width, 0, plan.width);
  const ResampleAxis rows = resample_axis(info.height, plan.height, 0, plan.height);
  std::vector<std::uint8_t> between(static_cast<std::size_t>(info.height * plan.width * 3));
  jpeg.rows({0, 0, info.height, info.width}, [&](std::int64_t y, const std::uint8_t* row) {
    resample_row(columns, row, between.data() + y * plan.width * 3);
  });
  if (plan.height > 65535 || plan.width > 65535) {
    throw std::runtime_error("'" + path + "' is too long and narrow to be packed: scaled to a shorter side of " +
                             std::to_string(std::min(plan.height, plan.width)) + " it would be " +
                             std::to_string(std::max(plan.height, plan.width)) +
                             " pixels long, and 65535 are possible; take it out of the folder");
  }
  pixels.resize(static_cast<std::size_t>(plan.height * plan.width * 3));
  resample_columns(rows, between.data(), plan.width * 3, pixels.data());
  entry.height = static_cast<std::uint32_t>(plan.height);
  entry.width = static_cast<std::uint32_t>(plan.width);
  entry.check = check_of(pixels.data(), pixels.size());
}

/// The new file, beside its final name; gone again unless it is kept.
class NewFile {
 public:
  explicit NewFile(const fs::path& path)
      : path_(path),
        temporary_(path.string() + ".tmp" + std::to_string(getpid())),
        file_(open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (file_.number() < 0) throw_file_error("cannot write", path_, errno);
  }
  ~NewFile() {
    std::error_code ignored;
    if (!kept_) fs::remove(temporary_, ignored);
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  void write(std::string_view bytes) { write_all(file_.number(), bytes, path_); }
  void keep() {
    if (fsync(file_.number()) != 0) throw_file_error("cannot write", path_, errno);
    if (rename(temporary_.c_str(), path_.c_str()) != 0) throw_file_error("cannot write", path_, errno);
    kept_ = true;
  }

 private:
  fs::path path_;
  std::string temporary_;
  Descriptor file_;
  bool kept_ = false;
};

}  // namespace

bool is_pack(const fs::path& path) {
  if (!fs::is_regular_file(path)) return false;
  std::ifstream file(path, std::ios::binary);
  std::string begin(kBegin.size(), '\0');
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return file && begin == kBegin;
}

PackIndex read_pack_index(const fs::path& path) {
  const auto fail = [&](const std::string& why) {
    return std::runtime_error("'" + path.string() + "' cannot be read: " + why +
                              "; `bitcycle data FOLDER --pack OUT` makes a pack");
  };
  if (!is_pack(path)) throw fail("it is no pack of bitcycle");
  const Descriptor file = open_to_read(path);
  const std::uint64_t size = fs::file_size(path);
  std::array<char, kTrailer> trailer{};
  if (size < kBegin.size() + kTrailer || !read_at(file.number(), size - kTrailer, trailer.data(), kTrailer) ||
      std::string_view(trailer.data() + kTrailer - kEnd.size(), kEnd.size()) != kEnd) {
    throw fail("it is cut off");
  }
  std::uint64_t offset = 0, bytes = 0;
  std::memcpy(&offset, trailer.data(), 8);
  std::memcpy(&bytes, trailer.data() + 8, 8);
  PackIndex index;
  Digest128 digest;
  std::memcpy(digest.bytes.data(), trailer.data() + 16, 16);
  if (offset > size - kTrailer || bytes != size - kTrailer - offset) throw fail("its end is damaged");
  std::string text(static_cast<std::size_t>(bytes), '\0');
  if (!read_at(file.number(), offset, text.data(), text.size())) throw fail("it is cut off");
  if (digest_of(text.data(), text.size()) != digest) throw fail("its index is damaged");
  try {
    index = parse_index(text, offset);
  } catch (const std::runtime_error& error) {
    throw fail(error.what());
  }
  index.digest = digest;
  return index;
}

void read_packed(int descriptor, const fs::path& path, const PackEntry& entry, std::vector<std::uint8_t>& pixels) {
  pixels.resize(entry.bytes());
  const std::string where = "'" + path.string() + "', the picture at byte " + std::to_string(entry.offset);
  if (!read_at(descriptor, entry.offset, pixels.data(), pixels.size())) throw DataError(where + ", cannot be read");
  if (check_of(pixels.data(), pixels.size()) != entry.check) {
    throw DataError(where + ", is not what was packed: the file is damaged; pack the folder again");
  }
}

std::shared_ptr<const ImageSource> pack_source(const fs::path& path, PackIndex index, std::int64_t size) {
  return std::make_shared<PackSource>(path, std::move(index), size);
}

PackIndex write_pack(const ImageFolder& folder, const fs::path& out, std::int64_t resize, int threads,
                     const std::function<void(std::int64_t done, std::int64_t of)>& progress) {
  if (fs::is_directory(out)) throw std::runtime_error("'" + out.string() + "' is a folder; a pack is one file");
  if (fs::exists(fs::symlink_status(out)) && !is_pack(out)) {
    throw std::runtime_error("'" + out.string() + "' exists and is no pack; name a new file, or remove it first");
  }
  PackIndex index;
  index.resize = resize;
  index.classes = folder.classes;
  remove_orphans_of(out);  // of a process that was killed
  NewFile file(out);
  file.write(kBegin);
  std::uint64_t offset = kBegin.size();
  std::vector<std::vector<std::uint8_t>> chunk(static_cast<std::size_t>(kChunk));
  const std::int64_t all = folder.train.count() + folder.test.count();
  std::int64_t done = 0;
  for (auto [from, to] : {std::pair{&folder.train, &index.train}, std::pair{&folder.test, &index.test}}) {
    to->resize(static_cast<std::size_t>(from->count()));
    for (std::int64_t first = 0; first < from->count(); first += kChunk) {
      const std::int64_t count = std::min(kChunk, from->count() - first);
      for_each_image(
          count, threads, [] { return std::make_unique<JpegReader>(); },
          [&, from = from, to = to](const std::unique_ptr<JpegReader>& jpeg, std::int64_t i) {
            scale_picture(*jpeg, from->path(first + i).string(), resize, (*to)[static_cast<std::size_t>(first + i)],
                          chunk[static_cast<std::size_t>(i)]);
          });
      for (std::int64_t i = 0; i < count; ++i) {
        PackEntry& entry = (*to)[static_cast<std::size_t>(first + i)];
        const auto& pixels = chunk[static_cast<std::size_t>(i)];
        entry.offset = offset;
        entry.label = static_cast<std::uint32_t>(from->labels()[static_cast<std::size_t>(first + i)]);
        file.write({reinterpret_cast<const char*>(pixels.data()), pixels.size()});
        offset += pixels.size();
      }
      done += count;
      progress(done, all);
    }
  }
  const std::string bytes = index_bytes(index);
  index.digest = digest_of(bytes.data(), bytes.size());
  std::string end;
  put(end, offset);
  put(end, static_cast<std::uint64_t>(bytes.size()));
  end.append(reinterpret_cast<const char*>(index.digest.bytes.data()), index.digest.bytes.size());
  end += kEnd;
  file.write(bytes);
  file.write(end);
  file.keep();
  return index;
}

}  // namespace bitcycle
