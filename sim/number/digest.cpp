// SPDX-License-Identifier: Apache-2.0
// Digests by XXH3-128.
#include "sim/number/digest.h"

#include <xxhash.h>

#include <bit>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace bitcycle {
namespace {

Digest128 canonical(XXH128_hash_t hash) {
  XXH128_canonical_t out;
  XXH128_canonicalFromHash(&out, hash);
  Digest128 digest;
  static_assert(sizeof out.digest == sizeof digest.bytes);
  std::memcpy(digest.bytes.data(), out.digest, sizeof out.digest);
  return digest;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_text(const Digest128& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest.bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Digest128 parse_digest(std::string_view text) {
  Digest128 digest;
  bool good = text.size() == 2 * digest.bytes.size();
  for (std::size_t i = 0; good && i < text.size(); ++i) {
    const int value = hex_digit(text[i]);
    good = value >= 0;
    if (good) digest.bytes[i / 2] = static_cast<std::uint8_t>(digest.bytes[i / 2] * 16 + value);
  }
  if (!good) {
    throw std::invalid_argument("'" + std::string(text) + "' is no digest: 32 hexadecimal digits are needed");
  }
  return digest;
}

Digest128 digest_of(const void* data, std::size_t bytes) { return canonical(XXH3_128bits(data, bytes)); }

Digest128 digest_of(std::span<const float> values) {
  if constexpr (std::endian::native == std::endian::little) {
    return digest_of(values.data(), values.size_bytes());
  }
  std::vector<std::uint8_t> bytes;
  bytes.reserve(values.size_bytes());
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::uint8_t>(bits >> shift));
  }
  return digest_of(bytes.data(), bytes.size());
}

struct BytesDigest::State {
  XXH3_state_t* hash = XXH3_createState();
  State() {
    if (hash == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(hash);
  }
  ~State() { XXH3_freeState(hash); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

BytesDigest::BytesDigest() : state_(std::make_unique<State>()) {}
BytesDigest::~BytesDigest() = default;
void BytesDigest::add(std::string_view bytes) { XXH3_128bits_update(state_->hash, bytes.data(), bytes.size()); }
Digest128 BytesDigest::value() const { return canonical(XXH3_128bits_digest(state_->hash)); }

struct RootDigest::State {
  BytesDigest bytes;
  std::string last;
  bool empty = true;
};

RootDigest::RootDigest() : state_(std::make_unique<State>()) {}
RootDigest::~RootDigest() = default;
RootDigest::RootDigest(RootDigest&&) noexcept = default;
RootDigest& RootDigest::operator=(RootDigest&&) noexcept = default;

void RootDigest::add(const std::string& name, const Digest128& digest) {
  if (name.find('\0') != std::string::npos) {
    throw std::invalid_argument("tensor name '" + name + "' holds a zero byte");
  }
  if (!state_->empty && name <= state_->last) {
    throw std::invalid_argument("root digest: tensor '" + name + "' after '" + state_->last +
                                "'; tensors are added in ascending order of their names, each once");
  }
  state_->empty = false;
  state_->last = name;
  state_->bytes.add({name.c_str(), name.size() + 1});  // with the zero behind it
  state_->bytes.add({reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()});
}

Digest128 RootDigest::value() const { return state_->bytes.value(); }

}  // namespace bitcycle
