// SPDX-License-Identifier: MIT
#include "core/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <system_error>

#include "core/check.h"

namespace tern {

namespace {

// About 50 us of pauses: longer than the gaps between the jobs of one step, shorter than a scheduler quantum.
constexpr int kSpinRounds = 2000;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void bind_current_thread(int cpu) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET(cpu, &mask);
  pthread_setaffinity_np(pthread_self(), sizeof mask,
                         &mask);  // best effort: a refusal costs speed, not results
}

void unbind_current_thread(const std::vector<int>& cpus) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : cpus) CPU_SET(cpu, &mask);
  pthread_setaffinity_np(pthread_self(), sizeof mask, &mask);
}

/// Waits until `value` differs from `old`: spins `rounds` times, then parks.
uint32_t wait_for_change(const std::atomic<uint32_t>& value, uint32_t old, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause_briefly();
  }
  uint32_t now = value.load(std::memory_order_acquire);
  while (now == old) {
    value.wait(old, std::memory_order_acquire);
    now = value.load(std::memory_order_acquire);
  }
  return now;
}

}  // namespace

ThreadPool::ThreadPool(size_t num_threads, const Topology& topology, bool pin) : cpus_(topology.cpus) {
  const size_t count = std::max<size_t>(1, num_threads);
  const bool enough = count <= cpus_.size();
  pin_ = pin && enough && count > 1;
  spin_rounds_ = enough ? kSpinRounds : 0;
  workers_.reserve(count - 1);
  try {
    for (size_t i = 1; i < count; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop_workers();  // a limit on threads: those that started must be joined before the error goes on
    throw;
  }
}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(size_t num_threads, const Topology& topology,
                                                       bool pin) {
  try {
    return std::make_unique<ThreadPool>(num_threads, topology, pin);
  } catch (const std::system_error& error) {
    return make_error(ErrorCode::kOutOfMemory, "cannot start {} threads: {} (-t sets their number)",
                      num_threads, error.code().message());
  }
}

void ThreadPool::stop_workers() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& worker : workers_) worker.join();
}

ThreadPool::~ThreadPool() {
  stop_workers();
  if (pinned_caller_ == std::this_thread::get_id()) unbind_current_thread(cpus_);
}

void ThreadPool::pin_caller() {
  if (!pin_ || pinned_caller_ == std::this_thread::get_id()) return;
  bind_current_thread(cpus_[0]);
  pinned_caller_ = std::this_thread::get_id();
}

void ThreadPool::run(const std::function<void(size_t)>& job) {
  if (workers_.empty()) return job(0);
  pin_caller();
  TERN_DCHECK(pending_.load() == 0, "run() inside run()");
  job_ = &job;
  pending_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  job(0);
  for (uint32_t left = pending_.load(std::memory_order_acquire); left != 0;) {
    left = wait_for_change(pending_, left, spin_rounds_);
  }
}

void ThreadPool::work(size_t index) {
  if (pin_) bind_current_thread(cpus_[index]);
  for (uint32_t seen = 0;;) {
    seen = wait_for_change(generation_, seen, spin_rounds_);
    if (stop_.load(std::memory_order_relaxed)) return;
    (*job_)(index);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_all();
  }
}

void parallel_for(ThreadPool* pool, size_t count, size_t grain,
                  const std::function<void(size_t, size_t)>& job) {
  if (count == 0) return;
  const size_t units = (count + grain - 1) / grain;
  const size_t threads = pool == nullptr ? 1 : std::min(pool->num_threads(), units);
  if (threads == 1) return job(0, count);
  pool->run([&](size_t index) {
    if (index >= threads) return;
    const size_t begin = units * index / threads * grain;
    const size_t end = std::min(count, units * (index + 1) / threads * grain);
    if (begin < end) job(begin, end);
  });
}

}  // namespace tern
