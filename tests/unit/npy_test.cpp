// SPDX-License-Identifier: Apache-2.0
#include "nn/io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace bitcycle {
namespace {

template <typename T>
NpyArray example() {
  std::vector<T> values(6);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(3 * i + 1);
  return make_npy<T>({2, 3}, values);
}

/// A file with this header text and data.
std::string file_of(std::string header, const std::string& data) {
  header += '\n';
  std::string bytes("\x93NUMPY\x01", 7);
  bytes += '\0';
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + data;
}

std::string error_of(const std::string& bytes) {
  try {
    parse_npy(bytes, "case/x.npy");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Npy, what_is_written_is_read_for_every_type) {
  for (const NpyArray& array :
       {example<std::uint8_t>(), example<std::uint16_t>(), example<std::uint32_t>(), example<std::int32_t>(),
        example<std::int64_t>(), example<float>(), example<double>()}) {
    const std::string bytes = npy_bytes(array);
    const NpyArray read = parse_npy(bytes, "x");
    EXPECT_EQ(read.type, array.type);
    EXPECT_EQ(read.shape, array.shape);
    EXPECT_EQ(read.data, array.data);
    EXPECT_EQ(read.as_doubles()[5], 16.0);
    EXPECT_EQ((bytes.size() - array.data.size()) % 64, 0U) << "data are aligned, as NumPy aligns them";
  }
}

TEST(Npy, scalars_vectors_and_empty_arrays_have_numpys_shapes) {
  EXPECT_THAT(npy_bytes(make_npy<float>({}, std::vector<float>{1.0F})), ::testing::HasSubstr("'shape': ()"));
  EXPECT_THAT(npy_bytes(make_npy<float>({1}, std::vector<float>{1.0F})), ::testing::HasSubstr("'shape': (1,)"));
  const NpyArray empty = parse_npy(npy_bytes(make_npy<float>({0, 4}, std::vector<float>{})), "x");
  EXPECT_EQ(empty.size(), 0);
}

TEST(Npy, keys_may_come_in_any_order_and_with_either_quote) {
  const NpyArray array = parse_npy(file_of(R"({"shape": (1, ), 'fortran_order': False, "descr": "<u2"})", "ab"), "x");
  EXPECT_EQ(array.type, NpyType::kUint16);
  EXPECT_EQ(array.shape, std::vector<std::int64_t>{1});
}

TEST(Npy, damaged_files_are_errors_that_name_the_file_and_the_damage) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  const std::string data(8, '\0');
  ASSERT_EQ(error_of(file_of(good, data)), "");
  const auto expect = [](const std::string& bytes, const std::string& what) {
    EXPECT_THAT(error_of(bytes), ::testing::AllOf(::testing::HasSubstr("case/x.npy"), ::testing::HasSubstr(what)));
  };
  expect("", "begin");
  expect("hello, world", "begin");
  expect(file_of(good, data).substr(0, 7), "ends within");
  expect(file_of(good, data).substr(0, 30), "ends within its header");
  expect(file_of(good, data.substr(1)), "truncated");
  expect(file_of(good, data + "x"), "needs 8 bytes of data, it has 9");
  expect(file_of("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", data), "C order");
  expect(file_of("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", data), ">f4");
  expect(file_of("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", data), "sizes");
  expect(file_of("{'descr': '<f4', 'fortran_order': False, 'shape': 2, }", data), "lacks '('");
  expect(file_of("{'descr': '<f4', 'fortran_order': False}", data), "lacks one of");
  expect(file_of("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", data), "twice");
  expect(file_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data), "quoted word");
  expect(file_of(good + "x", data), "closing brace");
  expect(file_of("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 16), }", data),
         "too large");
  expect(file_of("{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }", data), "too large");
}

TEST(Npy, an_array_of_another_type_is_an_error_naming_both) {
  try {
    example<double>().values<float>();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("<f4"), ::testing::HasSubstr("<f8")));
  }
}

TEST(Npy, shape_and_data_that_disagree_are_not_written) {
  NpyArray array = example<float>();
  array.shape = {7};
  EXPECT_THROW(npy_bytes(array), std::invalid_argument);
}

}  // namespace
}  // namespace bitcycle
