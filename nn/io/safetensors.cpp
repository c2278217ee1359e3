// SPDX-License-Identifier: Apache-2.0
// The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes.
#include "nn/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nn/io/atomic_file.h"

namespace bitcycle {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");
constexpr std::uint64_t kMaxHeader = 100U << 20;  // as the format's own library limits it

[[noreturn]] void fail(const std::string& origin, const std::string& what) {
  throw std::runtime_error("safetensors file '" + origin + "': " + what);
}

struct Extent {
  std::uint64_t begin, end;
  std::string name;
};

/// Depth-limited: a header of a million brackets must not exhaust the stack.
nlohmann::json parse_header(std::string_view text, const std::string& origin) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > 16) fail(origin, "the header is nested too deeply");
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  auto header = nlohmann::json::parse(text, nullptr, false);
  if (header.is_discarded() || !header.is_object()) fail(origin, "the header is not a JSON object");
  return header;
}

std::uint64_t unsigned_of(const nlohmann::json& value, const std::string& origin, const std::string& name,
                          const std::string& key) {
  if (!value.is_number_unsigned()) fail(origin, "tensor '" + name + "': " + key + " is not made of whole numbers >= 0");
  return value.get<std::uint64_t>();
}

}  // namespace

const NamedTensor* TensorFile::find(const std::string& name) const {
  for (const auto& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

TensorFile parse_safetensors(const std::string& bytes, const std::string& origin) {
  if (bytes.size() < 8)
    fail(origin, "truncated: " + std::to_string(bytes.size()) + " bytes, a header needs at least 8");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > kMaxHeader || length > bytes.size() - 8) {
    fail(origin, "truncated or not a safetensors file: the header should have " + std::to_string(length) +
                     " bytes, the file has " + std::to_string(bytes.size() - 8) + " after the first 8");
  }
  const auto header = parse_header(std::string_view(bytes).substr(8, length), origin);
  const std::uint64_t data_size = bytes.size() - 8 - length;
  const char* data = bytes.data() + 8 + length;

  TensorFile file;
  std::vector<Extent> extents;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail(origin, "__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail(origin, "__metadata__ '" + key + "' is not a string");
        file.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
      fail(origin, "tensor '" + name + "' lacks dtype, shape or data_offsets");
    }
    if (!entry["dtype"].is_string()) fail(origin, "tensor '" + name + "': dtype is not a string");
    const auto dtype = entry["dtype"].get<std::string>();
    if (name.ends_with("num_batches_tracked") && dtype != "F32")
      continue;  // a counter that frameworks keep; no value here
    if (dtype != "F32")
      fail(origin, "tensor '" + name + "' has dtype " + dtype + "; only F32 is read: convert it first");
    const auto& offsets = entry["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2) fail(origin, "tensor '" + name + "': data_offsets is not a pair");
    const std::uint64_t begin = unsigned_of(offsets[0], origin, name, "data_offsets");
    const std::uint64_t end = unsigned_of(offsets[1], origin, name, "data_offsets");
    if (begin > end || end > data_size) {
      fail(origin, "tensor '" + name + "': offsets " + std::to_string(begin) + " to " + std::to_string(end) +
                       " are outside the file's " + std::to_string(data_size) + " bytes of data (truncated?)");
    }
    NamedTensor tensor;
    tensor.name = name;
    std::uint64_t elements = 1;
    if (!entry["shape"].is_array()) fail(origin, "tensor '" + name + "': shape is not a list");
    for (const auto& extent : entry["shape"]) {
      const std::uint64_t size = unsigned_of(extent, origin, name, "shape");
      if (size != 0 && elements > std::numeric_limits<std::uint32_t>::max() / size)
        fail(origin, "tensor '" + name + "': shape is too large");
      elements *= size;
      tensor.shape.push_back(static_cast<std::int64_t>(size));
    }
    if (elements * 4 != end - begin) {
      fail(origin, "tensor '" + name + "': its shape has " + std::to_string(elements) + " elements, its data " +
                       std::to_string(end - begin) + " bytes instead of " + std::to_string(elements * 4));
    }
    tensor.data.resize(elements);
    if (elements > 0) std::memcpy(tensor.data.data(), data + begin, end - begin);
    extents.push_back({begin, end, name});
    file.tensors.push_back(std::move(tensor));
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end)
      fail(origin, "tensors '" + extents[i - 1].name + "' and '" + extents[i].name + "' overlap");
  }
  return file;
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path), path.string());
}

std::string format_safetensors_header(const std::vector<TensorEntry>& tensors,
                                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    const std::uint64_t size = tensor.bytes;
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  std::string text = header.is_null() ? "{}" : header.dump();
  while (text.size() % 8 != 0) text.push_back(' ');
  std::string bytes(8, '\0');
  const std::uint64_t length = text.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + text;
}

std::string format_safetensors(const std::vector<TensorBytes>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  std::vector<TensorEntry> entries;
  std::size_t data = 0;
  for (const auto& tensor : tensors) {
    entries.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size()});
    data += tensor.bytes.size();
  }
  std::string bytes = format_safetensors_header(entries, metadata);
  bytes.reserve(bytes.size() + data);
  for (const auto& tensor : tensors) bytes += tensor.bytes;
  return bytes;
}

std::string format_safetensors(const TensorFile& file) {
  std::vector<TensorBytes> tensors;
  for (const auto& tensor : file.tensors) {
    tensors.push_back({tensor.name,
                       "F32",
                       tensor.shape,
                       {reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size() * sizeof(float)}});
  }
  return format_safetensors(tensors, file.metadata);
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  write_file_atomically(path, format_safetensors(file));
}

}  // namespace bitcycle
