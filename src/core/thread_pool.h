// SPDX-License-Identifier: MIT
// A small fork-join pool: the caller and num_threads-1 pinned workers run one function together. Workers spin
// for a short time after each job (jobs of one step follow each other within microseconds), then park. A pool
// is an argument, never a global; kernels are handed ranges and start no threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/result.h"
#include "core/topology.h"

namespace tern {

class ThreadPool {
 public:
  /// Starts num_threads-1 workers (at least one thread in all: the caller). With `pin`, worker i is bound to
  /// topology.cpus[i], and the first thread that calls run() to topology.cpus[0]: it is given back its
  /// processors where it also destroys the pool. Without enough processors (oversubscription) nothing is
  /// pinned and nobody spins. Throws std::system_error where the system refuses a thread; create() is the
  /// same with a Result.
  ThreadPool(size_t num_threads, const Topology& topology, bool pin);
  static Result<std::unique_ptr<ThreadPool>> create(size_t num_threads, const Topology& topology, bool pin);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t num_threads() const { return workers_.size() + 1; }
  bool is_pinned() const { return pin_; }

  /// Calls job(thread_index) once on every thread, index 0 on the caller; returns when all are done.
  /// One run at a time; the job must not call run() of the same pool and must not throw.
  void run(const std::function<void(size_t thread_index)>& job);

 private:
  void work(size_t index);
  void stop_workers();
  void pin_caller();

  std::vector<std::thread> workers_;
  std::vector<int> cpus_;
  bool pin_;
  int spin_rounds_;
  std::thread::id pinned_caller_;
  const std::function<void(size_t)>* job_ = nullptr;
  alignas(64) std::atomic<uint32_t> generation_{0};  // jobs started, and once more to stop
  alignas(64) std::atomic<uint32_t> pending_{0};     // workers that have not finished the current job
  std::atomic<bool> stop_{false};
};

/// Splits [0, count) into one contiguous range per thread, in multiples of `grain`, and runs job(begin, end)
/// on the ranges that are not empty. The split depends on count, grain and the number of threads only. A null
/// pool runs inline.
void parallel_for(ThreadPool* pool, size_t count, size_t grain,
                  const std::function<void(size_t begin, size_t end)>& job);

}  // namespace tern
