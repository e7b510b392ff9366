// SPDX-License-Identifier: MIT
// The pool runs each job once per thread and returns when all are done; ranges are a partition. Run under
// TSan too.
#include "core/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <numeric>

namespace tern {
namespace {

TEST(ThreadPool, EveryThreadRunsOnceAndTheCallerIsZero) {
  for (const size_t threads : {0, 1, 2, 3, 5}) {
    ThreadPool pool(threads, Topology{}, false);
    EXPECT_EQ(std::max<size_t>(1, threads), pool.num_threads());
    std::vector<int> runs(pool.num_threads());
    std::vector<std::thread::id> who(pool.num_threads());
    for (int round = 0; round < 200; ++round) {
      pool.run([&](size_t index) {
        runs[index] += 1;  // plain memory: run() must order it
        who[index] = std::this_thread::get_id();
      });
      EXPECT_EQ(std::vector<int>(pool.num_threads(), round + 1), runs);
    }
    EXPECT_EQ(std::this_thread::get_id(), who[0]);
    std::sort(who.begin(), who.end());
    EXPECT_EQ(who.end(), std::unique(who.begin(), who.end()));
  }
}

TEST(ThreadPool, WorksAfterItsThreadsHaveParked) {
  ThreadPool pool(3, detect_topology(), false);
  std::vector<int> runs(3);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // far beyond the spinning
    pool.run([&](size_t index) { runs[index] += 1; });
  }
  EXPECT_EQ(std::vector<int>(3, 3), runs);
}

TEST(ThreadPool, TwoPoolsAndManyLives) {
  for (int life = 0; life < 50; ++life) {
    ThreadPool a(2, Topology{}, false), b(3, Topology{}, false);
    std::vector<int> from_a(2), from_b(3);
    a.run([&](size_t index) { from_a[index] = 1; });
    b.run([&](size_t index) { from_b[index] = 1; });
    EXPECT_EQ(5, std::accumulate(from_a.begin(), from_a.end(), 0) +
                     std::accumulate(from_b.begin(), from_b.end(), 0));
  }
}

TEST(ThreadPool, MayBeDrivenByAnotherThreadLater) {
  ThreadPool pool(2, detect_topology(), true);
  int sum = 0;
  const auto once = [&] {
    std::vector<int> runs(2);
    pool.run([&](size_t index) { runs[index] += 1; });
    sum += runs[0] + runs[1];
  };
  std::thread(once).join();
  once();
  EXPECT_EQ(4, sum);
}

TEST(ThreadPool, PinsToItsProcessorsAndGivesThemBack) {
  const Topology topology = detect_topology();
  if (topology.cpus.size() < 2) GTEST_SKIP() << "one processor";
  cpu_set_t before, inside, after;
  ASSERT_EQ(0, sched_getaffinity(0, sizeof before, &before));
  {
    ThreadPool pool(2, topology, true);
    EXPECT_TRUE(pool.is_pinned());
    std::vector<int> processor(2, -1);
    pool.run([&](size_t index) { processor[index] = sched_getcpu(); });
    EXPECT_EQ(topology.cpus[0], processor[0]);
    EXPECT_EQ(topology.cpus[1], processor[1]);
    ASSERT_EQ(0, sched_getaffinity(0, sizeof inside, &inside));
    EXPECT_EQ(1, CPU_COUNT(&inside));
  }
  ASSERT_EQ(0, sched_getaffinity(0, sizeof after, &after));
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(ThreadPool, DoesNotPinMoreThreadsThanProcessors) {
  Topology one;
  one.cpus = {0};
  EXPECT_FALSE(ThreadPool(2, one, true).is_pinned());
  EXPECT_FALSE(ThreadPool(1, one, true).is_pinned());  // nothing to gain
}

TEST(ParallelFor, RangesAreAPartitionInMultiplesOfTheGrain) {
  for (const size_t threads : {0, 1, 2, 3, 7}) {
    std::unique_ptr<ThreadPool> pool;
    if (threads > 0) pool = std::make_unique<ThreadPool>(threads, Topology{}, false);
    for (size_t count = 0; count <= 40; ++count) {
      for (const size_t grain : {1, 2, 7, 16, 64}) {
        std::vector<int> visits(count);
        std::atomic<size_t> ranges{0};
        parallel_for(pool.get(), count, grain, [&](size_t begin, size_t end) {
          ASSERT_LT(begin, end);
          ASSERT_LE(end, count);
          ASSERT_EQ(0u, begin % grain);
          ASSERT_TRUE(end == count || end % grain == 0);
          for (size_t i = begin; i < end; ++i) visits[i] += 1;
          ranges += 1;
        });
        ASSERT_EQ(std::vector<int>(count, 1), visits);
        ASSERT_LE(ranges.load(), std::max<size_t>(1, threads));
      }
    }
  }
}

}  // namespace
}  // namespace tern
