// SPDX-License-Identifier: Apache-2.0
// Safetensors files of binary32 tensors, as Python's `safetensors` reads and writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bitcycle {

/// A tensor in canonical order (NCHW, OIHW, or flat).
struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> data;
};

struct TensorFile {
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::string> metadata;
  const NamedTensor* find(const std::string& name) const;
};

/// Throws std::runtime_error with the path and what is wrong: truncated, header not JSON, offsets outside
/// the file or overlapping, a shape that does not fit its bytes, a dtype other than F32 (named).
TensorFile read_safetensors(const std::filesystem::path& path);
TensorFile parse_safetensors(const std::string& bytes, const std::string& origin);
std::string format_safetensors(const TensorFile& file);

/// A tensor of any element type to write: dtype as the format names it ("U8", "U16", "U32", "F32", "F64").
struct TensorBytes {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string_view bytes;  // little-endian, C order
};
std::string format_safetensors(const std::vector<TensorBytes>& tensors,
                               const std::map<std::string, std::string>& metadata);
/// What a header says of a tensor; `bytes` of data.
struct TensorEntry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
};
/// Everything that stands before the tensors' data, which follow in this order.
std::string format_safetensors_header(const std::vector<TensorEntry>& tensors,
                                      const std::map<std::string, std::string>& metadata);
/// Whole or not at all: written beside, flushed, renamed. Throws naming the path and the system's reason.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace bitcycle
