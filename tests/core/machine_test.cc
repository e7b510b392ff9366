// SPDX-License-Identifier: MIT
// What the program learns about the machine: memory, topology, CPU features, each against another source.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/cpu_features.h"
#include "core/memory.h"
#include "core/topology.h"

namespace tern {
namespace {

// ---- memory
// -------------------------------------------------------------------------------------------------------

constexpr size_t kMiB = size_t{1} << 20;

TEST(Buffer, IsZeroedAlignedAndWritableToItsEnd) {
  for (const size_t bytes : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{4096}, 2 * kMiB - 1,
                             2 * kMiB, 2 * kMiB + 1, 7 * kMiB + 5}) {
    Buffer buffer = Buffer::allocate(bytes).value();
    ASSERT_EQ(bytes, buffer.size());
    const size_t alignment = bytes >= 2 * kMiB ? 2 * kMiB : 64;
    EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(buffer.data()) % alignment) << bytes;
    EXPECT_TRUE(
        std::all_of(buffer.data(), buffer.data() + bytes, [](std::byte b) { return b == std::byte{0}; }));
    std::memset(buffer.data(), 0xab, bytes);
    EXPECT_EQ(std::byte{0xab}, buffer.data()[bytes - 1]);
  }
}

TEST(Buffer, EmptyAndMoved) {
  Buffer empty = Buffer::allocate(0).value();
  EXPECT_EQ(nullptr, empty.data());
  EXPECT_EQ(0u, empty.size());
  for (const size_t bytes : {size_t{100}, 3 * kMiB}) {
    Buffer first = Buffer::allocate(bytes).value();
    std::byte* data = first.data();
    Buffer second = std::move(first);
    EXPECT_EQ(nullptr, first.data());  // NOLINT: the promise under test
    EXPECT_EQ(data, second.data());
    empty = std::move(second);
    EXPECT_EQ(data, empty.data());
    EXPECT_EQ(bytes, empty.size());
  }
}

TEST(Buffer, ReusedMemoryIsZeroToo) {
  for (int round = 0; round < 20; ++round) {
    Buffer buffer = Buffer::allocate(1000).value();
    for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(0, buffer.as<uint8_t>()[i]);
    std::memset(buffer.data(), 0xff, 1000);
  }
}

TEST(Buffer, RefusesTheImpossibleWithTheNumberOfBytes) {
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 100, (size_t{1} << 46) + 1}) {
    const auto result = Buffer::allocate(bytes);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorCode::kOutOfMemory, result.error().code);
    EXPECT_NE(std::string::npos, result.error().message.find(std::to_string(bytes)))
        << result.error().message;
  }
}

TEST(Arena, PartsAreZeroedAlignedDisjointAndOutliveTheArena) {
  std::vector<std::shared_ptr<std::byte>> parts;
  const std::vector<size_t> sizes = {1, 64, 65, 3 * kMiB, 70 * kMiB, 5, 63 * kMiB, 100};
  {
    Arena arena;
    for (const size_t size : sizes) {
      parts.push_back(arena.allocate(size).value());
      std::byte* part = parts.back().get();
      EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(part) % 64);
      EXPECT_TRUE(std::all_of(part, part + std::min<size_t>(size, 4096),
                              [](std::byte b) { return b == std::byte{0}; }));
      EXPECT_EQ(std::byte{0}, part[size - 1]);
      part[0] = part[size - 1] = static_cast<std::byte>(parts.size());
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(static_cast<std::byte>(i + 1), parts[i].get()[0]);
    EXPECT_EQ(static_cast<std::byte>(i + 1), parts[i].get()[sizes[i] - 1]);
  }
}

TEST(Memory, PeakGrowsWithWhatIsTouched) {
  const size_t before = peak_resident_bytes();
  ASSERT_GT(before, 0u);
  // More than the process has ever held, so that the peak must move; 1 MiB of slack for the kernel's
  // counters.
  Buffer buffer = Buffer::allocate(before + 32 * kMiB).value();
  std::memset(buffer.data(), 1, buffer.size());
  EXPECT_GE(peak_resident_bytes() + kMiB, before + 32 * kMiB);
}

// ---- topology
// -----------------------------------------------------------------------------------------------------

TEST(Topology, ListsExactlyTheProcessorsOfTheAffinityMask) {
  cpu_set_t mask;
  ASSERT_EQ(0, sched_getaffinity(0, sizeof mask, &mask));
  const Topology topology = detect_topology();
  EXPECT_EQ(static_cast<size_t>(CPU_COUNT(&mask)), topology.cpus.size());
  std::vector<int> sorted = topology.cpus;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted.end(), std::unique(sorted.begin(), sorted.end()));
  for (const int cpu : sorted) EXPECT_TRUE(CPU_ISSET(cpu, &mask));
  EXPECT_GE(topology.physical_cores, 1u);
  EXPECT_LE(topology.physical_cores, topology.cpus.size());
  EXPECT_GE(topology.default_threads, 1u);
  EXPECT_LE(topology.default_threads, topology.physical_cores);
}

TEST(Topology, FollowsASmallerMask) {
  Topology narrow;
  const int last = detect_topology().cpus.back();
  std::thread([&] {  // a thread's own mask: the other tests keep theirs
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(last, &mask);
    ASSERT_EQ(0, sched_setaffinity(0, sizeof mask, &mask));
    narrow = detect_topology();
  })
      .join();
  EXPECT_EQ(std::vector<int>{last}, narrow.cpus);
  EXPECT_EQ(1u, narrow.physical_cores);
  EXPECT_EQ(1u, narrow.default_threads);
}

TEST(Topology, DescribesItself) {
  Topology topology;
  topology.cpus = {0, 1, 2, 3};
  topology.physical_cores = 2;
  EXPECT_EQ("4 processors on 2 cores", topology.describe());
  topology.cgroup_cpus = 1.5;
  EXPECT_EQ("4 processors on 2 cores, cgroup quota 1.5", topology.describe());
}

// ---- CPU features
// -------------------------------------------------------------------------------------------------

/// The flags that the operating system lists: it leaves out what it does not save on a context switch.
bool system_lists(const std::string& flag) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) {
      if (word == flag) return true;
    }
    return false;
  }
  return false;
}

TEST(CpuFeatures, AgreeWithTheOperatingSystem) {
  const uint64_t mask = detect_cpu_features();
  const auto has = [mask](CpuFeature bit) { return (mask & bit) != 0; };
#if defined(__x86_64__)
  const bool avx2 = system_lists("avx2") && system_lists("fma") && system_lists("f16c");
  EXPECT_EQ(avx2, has(kCpuAvx2));
  const bool avx512 = avx2 && system_lists("avx512f") && system_lists("avx512bw") &&
                      system_lists("avx512dq") && system_lists("avx512vl");
  EXPECT_EQ(avx512, has(kCpuAvx512));
  EXPECT_EQ(avx512 && system_lists("avx512_vnni"), has(kCpuAvx512Vnni));
  EXPECT_EQ(avx512 && system_lists("avx512vbmi"), has(kCpuAvx512Vbmi));
  EXPECT_EQ(avx2 && system_lists("avx_vnni"), has(kCpuAvxVnni));
  EXPECT_EQ(avx2 && system_lists("gfni"), has(kCpuGfni));
  EXPECT_EQ(system_lists("amx_tile") && system_lists("amx_int8"), has(kCpuAmxInt8));
  EXPECT_FALSE(has(kCpuDotprod) || has(kCpuI8mm));
#elif defined(__aarch64__)
  // Under user-mode emulation /proc/cpuinfo may be the host's: then it has no "Features" line to compare
  // with.
  if (!system_lists("asimd")) GTEST_SKIP() << "/proc/cpuinfo is not this processor's";
  EXPECT_EQ(system_lists("asimddp"), has(kCpuDotprod));
  EXPECT_EQ(system_lists("i8mm"), has(kCpuI8mm));
#endif
}

TEST(CpuFeatures, Names) {
  EXPECT_EQ("none", describe_cpu_features(0));
  EXPECT_EQ("avx2 avx512 avx512_vnni", describe_cpu_features(kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni));
  EXPECT_EQ("dotprod i8mm", describe_cpu_features(kCpuDotprod | kCpuI8mm));
  EXPECT_FALSE(cpu_model_name().empty());
}

}  // namespace
}  // namespace tern
