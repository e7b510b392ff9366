// SPDX-License-Identifier: MIT
// What people give `tern train`: the configuration, and texts and JSON lines to train on. The first byte
// chooses the reader, the rest is the file. Where a configuration is accepted, what its ranges promise must
// hold.
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "core/printable.h"
#include "train/config.h"
#include "train/documents.h"

namespace {

using namespace tern::train;

void read_config(std::string_view input) {
  const auto config = parse_train_config(input, "/base");
  if (!config.ok()) {
    TERN_CHECK(tern::is_plain_text(config.error().message), "an error is one plain line");
    return;
  }
  const ModelShape& m = config->model;
  TERN_CHECK(m.heads % m.kv_heads == 0 && m.head_dim % 2 == 0 && m.head_dim > 0, "heads fit");
  const OptimizerConfig& o = config->optimizer;
  TERN_CHECK(o.batch_tokens % o.micro_batch_tokens == 0 && o.micro_batch_tokens % m.context == 0,
             "batches fit");
  TERN_CHECK(o.warmup_steps <= o.steps && !config->data.sources.empty() && !config->output.empty(),
             "ranges hold");
}

void read_documents(std::string_view input, SourceKind kind, std::string format, std::string separator,
                    bool lossy) {
  DataSource source;
  source.kind = kind;
  source.format = std::move(format);
  source.separator = std::move(separator);
  source.lossy = lossy;
  SourceText out;
  const tern::Status status = parse_documents(input, source, "file", out);
  if (!status.ok()) TERN_CHECK(tern::is_plain_text(status.error().message), "an error is one plain line");
  for (const Document& document : out.documents) {
    TERN_CHECK(document.text.empty() != document.turns.empty(), "a document is a text or a chat");
    TERN_CHECK(tern::is_utf8(document.text), "texts are UTF-8");
    for (const ChatTurn& turn : document.turns) TERN_CHECK(tern::is_utf8(turn.content), "turns are UTF-8");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool lossy = (data[0] & 8) != 0;
  switch (data[0] % 4) {
    case 0:
      read_config(input);
      break;
    case 1:
      read_documents(input, SourceKind::kChat, "jsonl", "", lossy);
      break;
    case 2:
      read_documents(input, SourceKind::kText, "jsonl", "", lossy);
      break;
    default:
      read_documents(input, SourceKind::kText, "plain", lossy ? "\n\n\n" : "<|endoftext|>", lossy);
  }
  return 0;
}
