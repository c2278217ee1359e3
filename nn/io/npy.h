// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy files: little-endian arrays of the element types that cases and exports need, in C order. Anything else
// is an error that names the file, what is wrong, and what would be right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bitcycle {

enum class NpyType : std::uint8_t { kUint8, kUint16, kUint32, kInt32, kInt64, kFloat32, kFloat64 };

/// "|u1", "<u2", "<u4", "<i4", "<i8", "<f4", "<f8".
std::string npy_descr(NpyType type);
std::size_t npy_bytes_of(NpyType type);

template <typename T>
constexpr NpyType npy_type_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return NpyType::kUint8;
  if constexpr (std::is_same_v<T, std::uint16_t>) return NpyType::kUint16;
  if constexpr (std::is_same_v<T, std::uint32_t>) return NpyType::kUint32;
  if constexpr (std::is_same_v<T, std::int32_t>) return NpyType::kInt32;
  if constexpr (std::is_same_v<T, std::int64_t>) return NpyType::kInt64;
  if constexpr (std::is_same_v<T, float>) return NpyType::kFloat32;
  if constexpr (std::is_same_v<T, double>) return NpyType::kFloat64;
}

/// One array. Invariant after reading: data.size() = size() * npy_bytes_of(type).
struct NpyArray {
  NpyType type = NpyType::kFloat32;
  std::vector<std::int64_t> shape;  // empty: a scalar
  std::vector<std::byte> data;

  std::int64_t size() const;
  /// "(2, 16, 8, 8)".
  std::string shape_text() const;
  /// The elements; throws std::runtime_error where the array has another type.
  template <typename T>
  std::vector<T> values() const {
    require_type(npy_type_of<T>());
    std::vector<T> out(data.size() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), data.data(), data.size());
    return out;
  }
  /// The elements in binary64, whatever the type (64-bit integers are rounded).
  std::vector<double> as_doubles() const;

 private:
  void require_type(NpyType wanted) const;
};

template <typename T>
NpyArray make_npy(std::vector<std::int64_t> shape, std::span<const T> values) {
  NpyArray array;
  array.type = npy_type_of<T>();
  array.shape = std::move(shape);
  const auto bytes = std::as_bytes(values);
  array.data.assign(bytes.begin(), bytes.end());
  return array;
}

/// Reads the bytes of a file; `name` stands for it in errors. Throws std::runtime_error.
NpyArray parse_npy(std::string_view bytes, const std::string& name);
/// Throws std::runtime_error: missing, unreadable, truncated or malformed file.
NpyArray read_npy(const std::filesystem::path& path);

/// The bytes of a version 1.0 file. Throws std::invalid_argument where shape and data do not agree.
std::string npy_bytes(const NpyArray& array);
void write_npy(const std::filesystem::path& path, const NpyArray& array);

}  // namespace bitcycle
