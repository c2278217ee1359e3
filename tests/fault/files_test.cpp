// SPDX-License-Identifier: Apache-2.0
// Damaged, missing and unwritable files: one clear message each, nothing lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "nn/data/cifar.h"
#include "nn/io/atomic_file.h"
#include "nn/io/safetensors.h"
#include "tests/fault/file_faults.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

using test::error_of;
using test::TinyFiles;
using test::two_tensors;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string with_header(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

TEST(Safetensors, ReadBackWhatWasWritten) {
  const TensorFile file = parse_safetensors(format_safetensors(two_tensors()), "x");
  ASSERT_NE(file.find("a"), nullptr);
  EXPECT_EQ(file.find("a")->data, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(file.find("a")->shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(file.metadata.at("step"), "7");
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string bytes = format_safetensors(two_tensors());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(error_of([&] { parse_safetensors(bytes.substr(0, size), "file.st"); }), HasSubstr("file.st")) << size;
  }
}

TEST(Safetensors, LyingHeadersAreErrors) {
  const auto error = [](const std::string& header, const std::string& data = "12345678") {
    return error_of([&] { parse_safetensors(with_header(header, data), "f"); });
  };
  EXPECT_THAT(error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}})"), HasSubstr("F16"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"), HasSubstr("12"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})"), HasSubstr("outside"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), HasSubstr("shape"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})"),
              HasSubstr("too large"));
  EXPECT_THAT(
      error(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
      HasSubstr("overlap"));
  EXPECT_THAT(error(R"({"a":7})"), HasSubstr("lacks"));
  EXPECT_THAT(error(std::string(100000, '[')), HasSubstr("nested"));
  EXPECT_THAT(error_of([] { read_safetensors("/nonexistent/file"); }), HasSubstr("/nonexistent/file"));
}

TEST(AtomicFile, AFullDiskLeavesTheOldFileWhole) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "file";
  write_file_atomically(path, "old");
  {
    const TinyFiles limit(16);
    EXPECT_THAT(error_of([&] { write_file_atomically(path, std::string(100000, 'x')); }),
                AllOf(HasSubstr(path.string()), HasSubstr("ulimit")));
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "no part of the new file is left";
  EXPECT_THAT(error_of([&] { write_file_atomically(folder.path() / "no" / "file", "x"); }),
              HasSubstr("make the folder"));
  EXPECT_THAT(error_of([&] { read_file(folder.path()); }), HasSubstr("folder"));
}

TEST(Cifar, RecordsAreCheckedBeforeUse) {
  const CifarFormat ten = cifar_format("cifar10");
  std::string record(3073, '\0');
  record[0] = 9;
  record[1] = 'r';
  record[1 + 1024] = 'g';
  record[1 + 2048] = 'b';
  ImageSet set;
  set.count = 0;
  append_records(record, ten, "f.bin", set);
  EXPECT_EQ(set.count, 1);
  EXPECT_EQ(set.labels[0], 9);
  EXPECT_EQ(std::string(set.pixels.begin(), set.pixels.begin() + 3), "rgb");
  EXPECT_THAT(error_of([&] { append_records(record.substr(1), ten, "f.bin", set); }),
              AllOf(HasSubstr("f.bin"), HasSubstr("record 0 is incomplete")));
  EXPECT_THAT(error_of([&] { append_records(record + record.substr(5), ten, "f.bin", set); }), HasSubstr("record 1"));
  record[0] = 10;
  EXPECT_THAT(error_of([&] { append_records(record, ten, "f.bin", set); }),
              AllOf(HasSubstr("label 10"), HasSubstr("0 to 9")));
  EXPECT_THAT(error_of([&] { append_records("", ten, "f.bin", set); }), HasSubstr("empty"));
  EXPECT_THAT(error_of([] { load_cifar("", "cifar10"); }), AllOf(HasSubstr("data.path"), HasSubstr("binary version")));
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { load_cifar(folder.path(), "cifar100"); }), HasSubstr("train.bin, test.bin"));
}

}  // namespace
}  // namespace bitcycle
