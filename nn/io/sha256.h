// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), in which recorded cases give the bytes of pictures.
#pragma once

#include <cstddef>
#include <string>

namespace bitcycle {

/// 64 lower-case hexadecimal digits.
std::string sha256_of(const void* data, std::size_t bytes);

}  // namespace bitcycle
