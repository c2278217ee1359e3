// SPDX-License-Identifier: Apache-2.0
// TensorBoard's event files: the bytes that the format asks for, and each point once however often a run was stopped.
#include <gtest/gtest.h>

#include <bit>
#include <fstream>

#include "nn/config/recorded_config.h"
#include "nn/io/event_file.h"
#include "nn/train/tensorboard_log.h"
#include "protobuf_reader.h"
#include "run_files.h"
#include "tests/golden/temporary_folder.h"
#include "training_fixture.h"

namespace bitcycle::test {
namespace {

namespace fs = std::filesystem;

/// CRC-32C bit by bit.
std::uint32_t slow_crc(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

std::uint32_t slow_mask(std::string_view bytes) { return std::rotr(slow_crc(bytes), 15) + 0xa282ead8U; }

/// The points of a file: step, tag, value. Throws where a record is not as the format has it.
std::vector<std::tuple<std::int64_t, std::string, float>> points_of(const std::string& file) {
  std::vector<std::tuple<std::int64_t, std::string, float>> points;
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, file.data() + at, 4);
    return value;
  };
  bool first = true;
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t size = 0;
    std::memcpy(&size, file.data() + at, 8);
    const std::string_view whole(file);
    if (word(at + 8) != slow_mask(whole.substr(at, 8))) throw std::runtime_error("the length's sum is wrong");
    if (word(at + 12 + size) != slow_mask(whole.substr(at + 12, size)))
      throw std::runtime_error("the data's sum is wrong");
    const ProtobufReader event(whole.substr(at + 12, size));
    at += 16 + size;
    EXPECT_GT(std::bit_cast<double>(event.all(1).at(0).integer), 1.7e9) << "seconds since 1970";
    if (first) {
      EXPECT_EQ(event.text(3), "brain.Event:2");
      first = false;
      continue;
    }
    for (const auto& field : event.message(5).all(1)) {
      const ProtobufReader value(field.bytes);
      points.emplace_back(event.integer(2), value.text(1),
                          std::bit_cast<float>(static_cast<std::uint32_t>(value.all(2).at(0).integer)));
    }
  }
  return points;
}

TEST(EventFile, SumsAreThoseOfTheFormat) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);              // the check value of CRC-32C
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);    // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);  // the same
  EXPECT_EQ(masked_crc32c("bitcycle"), slow_mask("bitcycle"));
}

TEST(EventFile, WholeRecordsEndBeforeTheFirstThatIsCutOffOrDamaged) {
  std::string file = event_file_header(1.8e9);
  std::vector<std::size_t> ends{file.size()};
  for (const std::int64_t step : {0, 7, 1000000}) {
    file += event_record({1.8e9, step, {{"a", 1.5F}}});
    ends.push_back(file.size());
  }
  const auto records = whole_event_records(file);
  ASSERT_EQ(records.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(records[i].end, ends[i]);
  EXPECT_EQ(records[3].step, 1000000);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto whole = whole_event_records(std::string_view(file).substr(0, size));
    EXPECT_EQ(whole.size(),
              static_cast<std::size_t>(std::count_if(ends.begin(), ends.end(), [&](auto e) { return e <= size; })));
  }
  for (std::size_t at = ends[1]; at < ends[2]; ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_EQ(whole_event_records(damaged).size(), 2U) << "byte " << at;
  }
}

TEST(Tensorboard, AStoppedAndDamagedFileHasThePointsOfAnUninterruptedOne) {
  const TemporaryFolder folder;
  Config config = short_config(10, 2);
  config.data.test_images = 5;
  config.train.log_every = 2;
  config.execution.tensorboard = true;
  RecordingListener listener;
  const auto device = make_cpu_device(Isa::kAuto, 1);
  const auto points = [&](const char* run) {
    return points_of(read_file(folder.path() / run / TensorboardLog::kFile));
  };
  train_to(config, *device, folder.path() / "at once", listener);
  const auto expected = points("at once");
  // 5 steps with four numbers, evaluations at 4, 8 and 10 with six.
  ASSERT_EQ(expected.size(), 5U * 4U + 3U * 6U);
  EXPECT_EQ(std::get<0>(expected.back()), 10);
  const auto evaluations = RunFolder::existing(folder.path() / "at once").evaluations();
  const auto accuracy =
      std::find_if(expected.begin(), expected.end(), [](const auto& p) { return std::get<1>(p) == "accuracy/test"; });
  EXPECT_EQ(std::get<2>(*accuracy), static_cast<float>(evaluations.front().test_accuracy));

  train_to(config, *device, folder.path() / "stopped", listener, 5);
  const fs::path file = folder.path() / "stopped" / TensorboardLog::kFile;
  // As after a kill: points of steps that the records do not have, and one that was cut off.
  std::ofstream(file, std::ios::binary | std::ios::app)
      << event_record({1.8e9, 6, {{"loss/batch", 1.0F}}})
      << event_record({1.8e9, 8, {{"loss/batch", 1.0F}}}).substr(0, 20);
  train_to(config, *device, folder.path() / "stopped", listener, 3);
  EXPECT_LT(points("stopped").size(), expected.size());
  std::fstream(file, std::ios::binary | std::ios::in | std::ios::out).seekp(200).put('x');  // a bit rots
  train_to(config, *device, folder.path() / "stopped", listener);
  EXPECT_EQ(points("stopped"), expected);

  config.execution.tensorboard = false;
  train_to(config, *device, folder.path() / "later", listener, 7);
  EXPECT_FALSE(fs::exists(folder.path() / "later" / TensorboardLog::kFile));
  config.execution.tensorboard = true;
  train_to(config, *device, folder.path() / "later", listener);
  EXPECT_EQ(points("later"), expected) << "asked for later, it has all points";
}

TEST(Tensorboard, AFileThatCannotBeWrittenIsAWarningAndTheRunGoesOn) {
  const TemporaryFolder folder;
  Config config = short_config(4, 2);
  config.data.test_images = 5;
  config.execution.tensorboard = true;
  RecordingListener listener;
  fs::create_directories(folder.path() / "run" / TensorboardLog::kFile);
  std::ofstream(folder.path() / "run" / "config.yaml") << recorded_config_yaml(config);
  const auto device = make_cpu_device(Isa::kAuto, 1);
  EXPECT_TRUE(train_to(config, *device, folder.path() / "run", listener).finished);
  ASSERT_EQ(listener.warnings.size(), 1U);
  EXPECT_NE(listener.warnings[0].find("TensorBoard's event file is not written"), std::string::npos);
}

}  // namespace
}  // namespace bitcycle::test
