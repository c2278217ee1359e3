// SPDX-License-Identifier: Apache-2.0
// How much memory is free: by /proc/meminfo and by control groups, from files as the kernel writes them.
#include "nn/io/free_memory.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

class FreeMemory : public ::testing::Test {
 protected:
  FreeMemory() { write("proc/meminfo", "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:    8000 kB\n"); }
  void write(const std::string& path, const std::string& text) {
    const auto file = folder_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::uint64_t free() { return free_memory(folder_.path()).value_or(1); }
  test::TemporaryFolder folder_;
};

TEST_F(FreeMemory, IsWhatTheSystemSays) { EXPECT_EQ(free(), 8000U * 1024); }

TEST_F(FreeMemory, IsUnknownWithoutFiles) { EXPECT_FALSE(free_memory(folder_.path() / "none")); }

TEST_F(FreeMemory, IsNoMoreThanAGroupAndThoseAboveItLeave) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "1000\n");
  EXPECT_EQ(free(), 8000U * 1024);
  write("sys/fs/cgroup/a/memory.max", "5000000\n");
  write("sys/fs/cgroup/a/memory.current", "4000000\n");
  write("sys/fs/cgroup/a/memory.stat", "anon 7\ninactive_file 600000\n");
  EXPECT_EQ(free(), 1600000U);
  write("sys/fs/cgroup/memory.max", "1000\n");  // as a container sees its own group
  write("sys/fs/cgroup/memory.current", "4000\n");
  EXPECT_EQ(free(), 0U);
}

TEST_F(FreeMemory, IsNoMoreThanAGroupOfVersion1Leaves) {
  write("proc/self/cgroup", "3:cpu,cpuacct:/x\n4:memory:/x\n");
  write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "3000000\n");
  write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1000000\n");
  EXPECT_EQ(free(), 2000000U);
}

}  // namespace
}  // namespace bitcycle
