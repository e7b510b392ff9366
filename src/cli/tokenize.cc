// SPDX-License-Identifier: MIT
// tern tokenize MODEL TEXT: ids of a text, or with --decode the text of ids. Reads no weights.
#include <cstdio>

#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"

namespace tern::cli {

namespace {

struct TokenizeFlags {
  std::string path;
  TextFlags text;
  PromptFlags prompt;
  std::string decode;
  bool special = false, no_bos = false, pieces = false, json = false;
};

Status run_decode(const TokenizeFlags& flags, const Tokenizer& tokenizer) {
  TERN_TRY_ASSIGN(const std::vector<int32_t> ids, parse_token_ids(flags.decode));
  for (const int32_t id : ids) {
    if (static_cast<size_t>(id) < tokenizer.vocab_size()) continue;
    return make_error(ErrorCode::kUsage, "token id {} is outside the vocabulary (0 to {})", id,
                      tokenizer.vocab_size() - 1);
  }
  const std::string text = tokenizer.decode(ids, {.render_special = flags.special});
  if (flags.json) {
    print_json({{"ids", ids}, {"text", text}});
  } else {
    write_out(text + "\n");
  }
  return {};
}

Status run_tokenize(const TokenizeFlags& flags) {
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(flags.path));
  TERN_TRY_ASSIGN(const TextSide side, load_text_side(*weights, flags.text));
  const Tokenizer& tokenizer = *side.tokenizer;
  if (!flags.decode.empty()) return run_decode(flags, tokenizer);
  TERN_TRY_ASSIGN(const std::string text, flags.prompt.read());
  EncodeOptions options;
  options.parse_special = flags.special;
  if (flags.no_bos) options.add_bos = false;
  const std::vector<int32_t> ids = tokenizer.encode(text, options);
  if (flags.json) {
    Json pieces = Json::array();
    for (const int32_t id : ids) pieces.push_back(std::string(tokenizer.token_bytes(id, true)));
    print_json({{"tokenizer", tokenizer.description()}, {"ids", ids}, {"pieces", pieces}});
    return {};
  }
  std::string out;
  for (const int32_t id : ids) {
    if (flags.pieces) {
      out += fmt::format("{:>7} {}\n", id,
                         Json(std::string(tokenizer.token_bytes(id, true)))
                             .dump(-1, ' ', false, Json::error_handler_t::replace));
    } else {
      out += fmt::format("{}{}", out.empty() ? "" : " ", id);
    }
  }
  if (!flags.pieces) out += '\n';
  write_out(out);
  return {};
}

}  // namespace

void add_tokenize_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<TokenizeFlags>();
  auto* command = app.add_subcommand("tokenize", "token ids of a text, or the text of ids");
  command->add_option("MODEL,-m,--model", flags->path, "model file (GGUF)")->required();
  flags->prompt.add_to(*command);
  flags->text.add_to(*command);
  command->add_option("--decode", flags->decode, "ids to turn into text: a list, @FILE, or - for stdin");
  command->add_flag("--special", flags->special, "read control tokens in the text, show them when decoding");
  command->add_flag("--no-bos", flags->no_bos, "no BOS token in front");
  command->add_flag("--pieces", flags->pieces, "one token a line, with its text");
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    Status status = find_model(&flags->path);
    if (status.ok()) status = run_tokenize(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
