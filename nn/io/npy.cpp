// SPDX-License-Identifier: Apache-2.0
// Reading and writing .npy: a strict parser of the header's Python literal, and exact checks of every length.
#include "nn/io/npy.h"

#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "nn/io/atomic_file.h"

namespace bitcycle {
namespace {

static_assert(std::endian::native == std::endian::little, ".npy data are copied as they are: little-endian machines");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::pair<NpyType, std::string_view> kTypes[] = {
    {NpyType::kUint8, "|u1"}, {NpyType::kUint16, "<u2"},  {NpyType::kUint32, "<u4"}, {NpyType::kInt32, "<i4"},
    {NpyType::kInt64, "<i8"}, {NpyType::kFloat32, "<f4"}, {NpyType::kFloat64, "<f8"}};

/// The header's dictionary, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, read left to right.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  NpyArray parse() {
    NpyArray array;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !std::exchange(descr, true)) {
        array.type = type(quoted());
      } else if (key == "fortran_order" && !std::exchange(order, true)) {
        refuse_fortran_order();
      } else if (key == "shape" && !std::exchange(shape, true)) {
        array.shape = tuple();
      } else {
        fail("the header's key '" + std::string(key) +
             "' is unknown or given twice; descr, fortran_order and shape are needed, each once");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) fail("the header goes on after its closing brace");
    if (!descr || !order || !shape) fail("the header lacks one of descr, fortran_order and shape");
    return array;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(name_ + ": no readable .npy file: " + what);
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail("the header lacks '" + std::string(1, c) + "' at character " + std::to_string(at_));
  }
  std::string_view quoted() {
    skip_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    const std::size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos) fail("the header lacks a quoted word at character " + std::to_string(at_));
    const std::string_view word = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return word;
  }
  NpyType type(std::string_view descr) const {
    for (const auto& [type, text] : kTypes) {
      if (descr == text || (type == NpyType::kUint8 && descr == "<u1")) return type;
    }
    fail("elements of type '" + std::string(descr) + "'; one of |u1, <u2, <u4, <i4, <i8, <f4, <f8 is needed");
  }
  void refuse_fortran_order() {
    skip_spaces();
    if (text_.substr(at_, 5) == "False") {
      at_ += 5;
    } else if (text_.substr(at_, 4) == "True") {
      fail("fortran_order is True; save it in C order (numpy.ascontiguousarray)");
    } else {
      fail("fortran_order is neither True nor False");
    }
  }
  std::vector<std::int64_t> tuple() {
    constexpr std::size_t kMostDimensions = 32;
    std::vector<std::int64_t> shape;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      std::int64_t extent = 0;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0) fail("the shape holds something else than sizes");
      at_ += static_cast<std::size_t>(end - begin);
      shape.push_back(extent);
      if (shape.size() > kMostDimensions) fail("the shape has more than 32 dimensions");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
};

/// Number of elements; nothing where it does not fit 63 bits.
std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  bool overflow = false;
  for (const std::int64_t extent : shape) {
    if (extent == 0) return 0;
    overflow = overflow || count > std::numeric_limits<std::int64_t>::max() / extent;
    if (!overflow) count *= extent;
  }
  if (overflow) return std::nullopt;
  return count;
}

std::size_t little_endian(std::string_view bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) value = value * 256 + static_cast<unsigned char>(bytes[i - 1]);
  return value;
}

}  // namespace

std::string npy_descr(NpyType type) {
  for (const auto& [known, text] : kTypes) {
    if (known == type) return std::string(text);
  }
  return {};
}

std::size_t npy_bytes_of(NpyType type) { return static_cast<std::size_t>(npy_descr(type)[2] - '0'); }

std::int64_t NpyArray::size() const { return element_count(shape).value_or(0); }

std::string NpyArray::shape_text() const {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

void NpyArray::require_type(NpyType wanted) const {
  if (type == wanted) return;
  throw std::runtime_error("an array of " + npy_descr(wanted) + " is needed, this one holds " + npy_descr(type));
}

std::vector<double> NpyArray::as_doubles() const {
  const auto convert = [this](auto zero) {
    const auto source = values<decltype(zero)>();
    return std::vector<double>(source.begin(), source.end());
  };
  switch (type) {
    case NpyType::kUint8: return convert(std::uint8_t{});
    case NpyType::kUint16: return convert(std::uint16_t{});
    case NpyType::kUint32: return convert(std::uint32_t{});
    case NpyType::kInt32: return convert(std::int32_t{});
    case NpyType::kFloat32: return convert(float{});
    case NpyType::kFloat64: return convert(double{});
    case NpyType::kInt64: break;
  }
  std::vector<double> out;
  for (const std::int64_t value : values<std::int64_t>()) out.push_back(static_cast<double>(value));
  return out;
}

NpyArray parse_npy(std::string_view bytes, const std::string& name) {
  const HeaderParser errors({}, name);
  if (bytes.substr(0, kMagic.size()) != kMagic) errors.fail("it does not begin with \\x93NUMPY");
  if (bytes.size() < kMagic.size() + 2) errors.fail("it ends within its first 8 bytes");
  const int version = static_cast<unsigned char>(bytes[kMagic.size()]);
  if (version < 1 || version > 3) errors.fail("format version " + std::to_string(version) + "; 1, 2 or 3 is needed");
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::size_t header_at = kMagic.size() + 2 + length_bytes;
  if (bytes.size() < header_at) errors.fail("it ends within its header");
  const std::size_t header_size = little_endian(bytes.substr(kMagic.size() + 2, length_bytes));
  if (bytes.size() - header_at < header_size) errors.fail("it ends within its header");
  NpyArray array = HeaderParser(bytes.substr(header_at, header_size), name).parse();

  const std::string_view data = bytes.substr(header_at + header_size);
  const auto count = element_count(array.shape);
  const std::size_t element = npy_bytes_of(array.type);
  if (!count || static_cast<std::uint64_t>(*count) > std::numeric_limits<std::uint64_t>::max() / 16) {
    errors.fail("shape " + array.shape_text() + " is too large");
  }
  const std::uint64_t wanted = static_cast<std::uint64_t>(*count) * element;
  if (data.size() != wanted) {
    errors.fail("shape " + array.shape_text() + " of " + npy_descr(array.type) + " needs " + std::to_string(wanted) +
                " bytes of data, it has " + std::to_string(data.size()) + (data.size() < wanted ? " (truncated)" : ""));
  }
  const auto raw = std::as_bytes(std::span(data));
  array.data.assign(raw.begin(), raw.end());
  return array;
}

NpyArray read_npy(const std::filesystem::path& path) { return parse_npy(read_file(path), path.string()); }

std::string npy_bytes(const NpyArray& array) {
  const auto count = element_count(array.shape);
  if (!count || static_cast<std::uint64_t>(*count) * npy_bytes_of(array.type) != array.data.size()) {
    throw std::invalid_argument("an array of shape " + array.shape_text() + " and type " + npy_descr(array.type) +
                                " cannot have " + std::to_string(array.data.size()) + " bytes of data");
  }
  std::string header =
      "{'descr': '" + npy_descr(array.type) + "', 'fortran_order': False, 'shape': " + array.shape_text() + ", }";
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  header.append((kAlignment - (kPrefix + header.size() + 1) % kAlignment) % kAlignment, ' ');
  header += '\n';
  std::string bytes(kMagic);
  bytes += {'\x01', '\x00', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  bytes += header;
  if (!array.data.empty()) bytes.append(reinterpret_cast<const char*>(array.data.data()), array.data.size());
  return bytes;
}

void write_npy(const std::filesystem::path& path, const NpyArray& array) {
  write_file_atomically(path, npy_bytes(array));
}

}  // namespace bitcycle
