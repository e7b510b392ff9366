// SPDX-License-Identifier: MIT
// dump_run MODEL TOKENS OUT [ACTIVATIONS]: feeds TOKENS (pseudo-random ids) one by one and writes, for each,
// every quantisation of activations and the logits, for the evaluation in tests/scripts/arch_test.py. f32
// cache. The file, all little-endian: per token i32 id; i32 n; n times (i32 width, f64 act_scale, i32
// q[width]); i32 vocab, f32 logits[vocab]; at the end f32 hidden[hidden], the final norm's output of the last
// token.
#include <charconv>
#include <fstream>

#include "tests/tools/recording_backend.h"
#include "tests/tools/test_machine.h"

namespace {

using namespace tern;
using namespace tern::test;

template <class T>
void put(std::ostream& out, const T* values, size_t count) {
  out.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count * sizeof(T)));
}
void put_i32(std::ostream& out, size_t value) {
  const auto narrow = static_cast<int32_t>(value);
  put(out, &narrow, 1);
}

Status dump(const std::string& path, size_t count, const std::string& out_path, const LoadOptions& options) {
  Machine machine;
  RecordingBackend backend(machine.backend());
  TERN_TRY_ASSIGN(auto weights, Weights::open(path));
  TERN_TRY_ASSIGN(auto model, Model::load(weights, backend, options));
  TERN_TRY_ASSIGN(const auto runner,
                  Runner::create(model, backend, {.context = 1024, .kv_type = KvType::kF32}));
  std::ofstream out(out_path, std::ios::binary);
  Sequence sequence = runner->new_sequence();
  const std::vector<int32_t> tokens = test_tokens(count, model->config().vocab_size, 5);
  for (const int32_t token : tokens) {
    backend.recorded.clear();
    TERN_TRY_ASSIGN(const auto logits, runner->feed(sequence, {&token, 1}));
    put(out, &token, 1);
    put_i32(out, backend.recorded.size());
    for (const RecordedRow& row : backend.recorded) {
      put_i32(out, row.q.size());
      put(out, &row.act_scale, 1);
      put(out, row.q.data(), row.q.size());
    }
    put_i32(out, logits.size());
    put(out, logits.data(), logits.size());
  }
  sequence.truncate(sequence.length() - 1);
  const StepInput input{&sequence, std::span(tokens).last(1), LogitsWanted::kLast};
  TERN_TRY_ASSIGN(const auto hidden, runner->step({&input, 1}, StepOutput::kHidden));
  put(out, hidden.data(), hidden.size());
  return out.flush() ? Status() : make_error(ErrorCode::kIo, "cannot write '{}'", out_path);
}

}  // namespace

int main(int argc, char** argv) {
  size_t count = 0;
  if (argc < 4 || argc > 5 ||
      std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), count).ec != std::errc()) {
    fmt::print(stderr, "dump_run MODEL TOKENS OUT [int8|int16|f32]\n");
    return 2;
  }
  LoadOptions options;
  if (argc == 5) {
    const auto bits = parse_activation_bits(argv[4]);
    if (!bits.ok()) return 2;
    options.activations = *bits;
  }
  const Status status = dump(argv[1], count, argv[3], options);
  if (!status.ok()) fmt::print(stderr, "dump_run: {}\n", status.error().message);
  return status.ok() ? 0 : 1;
}
