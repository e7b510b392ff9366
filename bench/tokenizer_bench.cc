// SPDX-License-Identifier: MIT
// Tokenizer speed: megabytes of text per second of processor time on one core, encode and decode, for every
// tokenizer of the test data. Processor time, so that other work on the machine disturbs less.
//   tokenizer_bench [TEXT]     default text: wiki.test.raw of the test data
#include <fmt/format.h>

#include <ctime>

#include "tests/text/test_tokenizers.h"

int main(int argc, char** argv) {
  const auto data = tern::test::test_data_dir();
  const std::string path = argc > 1 ? argv[1] : (data / "corpora/wikitext2/wiki.test.raw").string();
  const std::string text = tern::test::read_file(path);
  if (text.empty()) {
    fmt::print(stderr, "no text in {}: name a file, or set TERN_TEST_DATA\n", path);
    return 1;
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  fmt::print("{} ({:.2f} MB), best of 7\n{:<20} {:>8} {:>10} {:>12} {:>12}\n", path, megabytes, "tokenizer",
             "load ms", "tokens", "encode MB/s", "decode MB/s");
  for (const auto& source : tern::test::tokenizer_sources()) {
    if (!std::filesystem::exists(data / source.file)) continue;
    const double loading = now();
    auto spec = source.read(tern::test::read_file(data / source.file));
    if (!spec.ok()) {
      fmt::print("{:<20} {}\n", source.name, spec.error().message);
      continue;
    }
    const auto tokenizer = tern::Tokenizer::create(std::move(*spec));
    const double load = now() - loading;
    if (!tokenizer.ok()) {
      fmt::print("{:<20} {}\n", source.name, tokenizer.error().message);
      continue;
    }
    double encode = 1e9, decode = 1e9;
    std::vector<int32_t> ids;
    for (int run = 0; run < 7; ++run) {
      double start = now();
      ids = (*tokenizer)->encode(text, {.add_bos = false});
      encode = std::min(encode, now() - start);
      start = now();
      const std::string back = (*tokenizer)->decode(ids);
      decode = std::min(decode, now() - start);
    }
    fmt::print("{:<20} {:>8.0f} {:>10} {:>12.1f} {:>12.1f}\n", source.name, load * 1e3, ids.size(),
               megabytes / encode, megabytes / decode);
  }
  return 0;
}
