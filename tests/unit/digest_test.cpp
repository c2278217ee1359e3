// SPDX-License-Identifier: Apache-2.0
#include "sim/number/digest.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace bitcycle {
namespace {

TEST(Digest, of_nothing_is_the_published_xxh3_128_value) {
  EXPECT_EQ(to_text(digest_of(nullptr, 0)), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, text_and_digest_are_inverse) {
  const std::string text = "00112233445566778899aabbccddeeff";
  EXPECT_EQ(to_text(parse_digest(text)), text);
  EXPECT_EQ(parse_digest("00112233445566778899AABBCCDDEEFF"), parse_digest(text));
}

TEST(Digest, text_that_is_no_digest_is_an_error) {
  for (const char* text : {"", "0011", "00112233445566778899aabbccddeeff0", "g0112233445566778899aabbccddeeff"}) {
    EXPECT_THROW(parse_digest(text), std::invalid_argument) << text;
  }
}

TEST(Digest, tells_minus_zero_from_plus_zero) {
  const std::vector<float> plus{0.0F, 1.0F}, minus{-0.0F, 1.0F};
  EXPECT_NE(digest_of(plus), digest_of(minus));
}

TEST(Digest, root_is_the_digest_of_names_zero_bytes_and_digests) {
  const Digest128 a = digest_of("a", 1), b = digest_of("b", 1);
  RootDigest root;
  root.add("bn1.bias", a);
  root.add("conv1.weight", b);
  std::string bytes;
  bytes.append("bn1.bias").push_back('\0');
  bytes.append(a.bytes.begin(), a.bytes.end());
  bytes.append("conv1.weight").push_back('\0');
  bytes.append(b.bytes.begin(), b.bytes.end());
  EXPECT_EQ(root.value(), digest_of(bytes.data(), bytes.size()));
}

TEST(Digest, root_refuses_names_out_of_order_and_twice) {
  RootDigest root;
  root.add("b", {});
  EXPECT_THROW(root.add("b", {}), std::invalid_argument);
  EXPECT_THROW(root.add("a", {}), std::invalid_argument);
  EXPECT_NO_THROW(root.add("c", {}));
}

}  // namespace
}  // namespace bitcycle
