// SPDX-License-Identifier: MIT
// The size that people run: a random model of the exact shape of BitNet-b1.58-2B-4T (1.18 GB), generated,
// loaded and run by every instruction set of this machine, each in its own process so that its peak memory is
// its own. Takes minutes; run by ./test --full only (CTest label `full`).
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <set>

#include "core/memory.h"
#include "runtime/sampler.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

constexpr size_t kPrompt = 8, kGenerated = 64;
constexpr int64_t kContext = 512;

/// What one process reports. Plain bytes: it travels through a pipe.
struct Report {
  int32_t tokens[kGenerated];
  uint64_t logits_hash;  // FNV-1a over the bits of all logits
  uint64_t peak_bytes;
  uint64_t kv_bytes;
  double load_s, prefill_s, decode_s;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Loads and generates; `error` in the parent's output where it fails.
bool generate(const std::string& path, const std::string& isa, Report* report) {
  const auto start = std::chrono::steady_clock::now();
  Machine machine(isa, detect_topology().default_threads);
  const auto runner = make_runner(path, machine, {.context = kContext});
  if (!runner.ok()) {
    fmt::print(stderr, "{}\n", runner.error().message);
    return false;
  }
  report->load_s = seconds_since(start);
  report->kv_bytes =
      static_cast<uint64_t>(KvCache::bytes_per_page((*runner)->model().config(), KvType::kF16) *
                            ((kContext + kPageRows - 1) / kPageRows));
  Sequence sequence = (*runner)->new_sequence();
  const auto prompt = test_tokens(kPrompt, (*runner)->model().config().vocab_size);
  auto from = std::chrono::steady_clock::now();
  auto logits = (*runner)->feed(sequence, prompt);
  report->prefill_s = seconds_since(from);
  from = std::chrono::steady_clock::now();
  report->logits_hash = 0xcbf29ce484222325u;
  for (int32_t& token : report->tokens) {
    if (!logits.ok()) {
      fmt::print(stderr, "{}\n", logits.error().message);
      return false;
    }
    for (const float x : *logits) {
      report->logits_hash = (report->logits_hash ^ std::bit_cast<uint32_t>(x)) * 0x100000001b3u;
    }
    token = greedy_token(*logits);
    logits = (*runner)->feed(sequence, {&token, 1});
  }
  report->decode_s = seconds_since(from);
  report->peak_bytes = peak_resident_bytes();
  return true;
}

/// The same in a child process.
bool generate_apart(const std::string& path, const std::string& isa, Report* report) {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    Report own{};
    const bool ok = generate(path, isa, &own) && ::write(ends[1], &own, sizeof(own)) == sizeof(own);
    ::_exit(ok ? 0 : 1);
  }
  ::close(ends[1]);
  const bool got = ::read(ends[0], report, sizeof(*report)) == sizeof(*report);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return got && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

uint64_t available_memory() {
  std::ifstream in("/proc/meminfo");
  std::string word;
  uint64_t kib = 0;
  while (in >> word) {
    if (word == "MemAvailable:" && in >> kib) return kib * 1024;
  }
  return 0;
}

TEST(ModelFull, TheTwoBillionShapeGivesTheSameTokensEverywhereInBoundedMemory) {
  constexpr uint64_t kNeeded = uint64_t{6} << 30;
  const uint64_t disk = std::filesystem::space(std::filesystem::temp_directory_path()).available;
  if (disk < kNeeded || available_memory() < kNeeded) {
    GTEST_SKIP() << "6 GiB of disk and of memory needed, " << (disk >> 30) << " and "
                 << (available_memory() >> 30) << " GiB available";
  }
  TempFolder folder;
  const std::string path = folder.file("2b.gguf");
  const TestModel model = random_model(*find_shape("bitnet-2b-4t"), 1);
  const Status written = write_gguf(model, {{"i2_s", DType::kI2_S}, DType::kF32, DType::kF16}, path);
  ASSERT_TRUE(written.ok()) << written.error().message;
  const uint64_t file_bytes = std::filesystem::file_size(path);

  std::vector<std::string> isas = runnable_isas();
  std::reverse(isas.begin(), isas.end());
  Report first{};
  for (const std::string& isa : isas) {
    Report report{};
    ASSERT_TRUE(generate_apart(path, isa, &report)) << isa;
    const uint64_t allowed = (file_bytes + report.kv_bytes) / 10 * 11;
    fmt::print(
        "{}: load {:.1f} s, prefill {:.1f} tok/s, decode {:.2f} tok/s, peak {} MB of {} MB allowed (file {} "
        "MB, "
        "cache {} MB)\n",
        isa, report.load_s, kPrompt / report.prefill_s, kGenerated / report.decode_s,
        report.peak_bytes / 1000000, allowed / 1000000, file_bytes / 1000000, report.kv_bytes / 1000000);
    std::fflush(stdout);
    EXPECT_LE(report.peak_bytes, allowed) << isa;
    if (isa == isas.front()) {
      first = report;
      // A model that always says the same would be equal everywhere for no reason.
      EXPECT_GT(std::set<int32_t>(std::begin(report.tokens), std::end(report.tokens)).size(), 8u);
    }
    EXPECT_EQ(std::memcmp(report.tokens, first.tokens, sizeof(first.tokens)), 0) << isa;
    EXPECT_EQ(report.logits_hash, first.logits_hash) << isa;
  }
}

}  // namespace
}  // namespace tern::test
