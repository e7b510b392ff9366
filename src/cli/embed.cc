// SPDX-License-Identifier: MIT
// tern embed MODEL [TEXT]: the vector of a text, or with --lines one per line; for embedding models.
#include "engine/embed.h"

#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"

namespace tern::cli {

namespace {

struct EmbedFlags {
  ModelFlags model;
  TextFlags text;
  PromptFlags prompt;
  bool by_lines = false, json = false;
};

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    if (!lines.back().empty() && lines.back().back() == '\r') lines.back().pop_back();
    begin = end + 1;
  }
  return lines;
}

Status run_embed(const EmbedFlags& flags) {
  TERN_TRY_ASSIGN(const std::string text, flags.prompt.read());
  TERN_TRY_ASSIGN(const TextModel loaded, load_text_model(flags.model, flags.text));
  const std::vector<std::string> texts = flags.by_lines ? split_lines(text) : std::vector<std::string>{text};
  Progress progress("embedding", true);
  EmbedParams params;
  params.on_progress = [&](size_t done, size_t total) {
    progress.update(static_cast<int64_t>(done), static_cast<int64_t>(total));
  };
  const auto begin = std::chrono::steady_clock::now();
  TERN_TRY_ASSIGN(const std::vector<Embedding> embeddings,
                  embed(*loaded.model.runner, *loaded.text.tokenizer, texts, params));
  progress.finish();
  if (!flags.json) {
    for (const Embedding& embedding : embeddings)
      write_out(fmt::format("{}\n", fmt::join(embedding.values, " ")));
    return {};
  }
  Json vectors = Json::array(), tokens = Json::array();
  for (const Embedding& embedding : embeddings) {
    Json values = Json::array();
    for (const float value : embedding.values) values.push_back(Json::parse(fmt::format("{}", value)));
    vectors.push_back(std::move(values));
    tokens.push_back(embedding.tokens);
  }
  print_json({{"model", flags.model.path},
              {"pooling", "last token"},
              {"dimensions", loaded.model.model->config().hidden_size},
              {"tokens", tokens},
              {"embeddings", vectors},
              {"load_seconds", loaded.model.load_seconds},
              {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()}});
  return {};
}

}  // namespace

void add_embed_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<EmbedFlags>();
  auto* command = app.add_subcommand("embed", "the vector of a text, by an embedding model");
  flags->model.add_to(*command);
  flags->prompt.add_to(*command);
  flags->text.add_to(*command);
  command->add_flag("--lines", flags->by_lines, "every line is a text of its own: one vector a line");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    Status status = flags->model.settle(&flags->prompt.prompt);
    if (status.ok()) status = find_model(&flags->model.path);
    if (status.ok()) status = run_embed(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
