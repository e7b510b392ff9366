// SPDX-License-Identifier: MIT
#include "train/corpus.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/atomic_file.h"
#include "core/printable.h"
#include "text/chat_format.h"
#include "text/tokenizer_json.h"
#include "train/bpe_trainer.h"
#include "train/documents.h"
#include "train/hash.h"
#include "train/token_file.h"

namespace tern::train {
namespace {

constexpr uint64_t kFormat = 1;  // raised when the same sources give other tokens
constexpr const char* kEndOfText = "<|endoftext|>";
constexpr const char* kImStart = "<|im_start|>";
constexpr const char* kImEnd = "<|im_end|>";

Error stopped(std::string_view stage) { return make_error(ErrorCode::kCancelled, "stopped while {}", stage); }

Result<std::string> read_text(const std::string& path) {
  TERN_TRY_ASSIGN(const auto file, MappedFile::open(path));
  return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
}

Result<std::vector<SourceText>> read_sources(const DataConfig& data, const PrepareProgress& progress) {
  std::vector<SourceText> sources;
  int64_t before = 0;
  for (const DataSource& source : data.sources) {
    const auto report = [&](int64_t bytes) { return !progress || progress("reading", before + bytes, 0); };
    TERN_TRY_ASSIGN(SourceText text, read_source(source, source.heldout.value_or(data.heldout), report));
    before += text.bytes;
    sources.push_back(std::move(text));
  }
  return sources;
}

// Everything that decides the token file, and nothing that does not.
uint64_t key_of(const TrainConfig& config, const std::vector<SourceText>& sources,
                std::string_view given_tokenizer) {
  Hash64 hash;
  hash.add_value(kFormat);
  hash.add_text(given_tokenizer);
  if (given_tokenizer.empty()) {
    hash.add_value(static_cast<uint64_t>(config.tokenizer.vocab_size));
    hash.add_text(config.tokenizer.pre);
    for (const std::string& text : config.tokenizer.special) hash.add_text(text);
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    const DataSource& s = config.data.sources[i];
    hash.add_value(sources[i].content_hash);
    hash.add_value(static_cast<uint64_t>(s.kind));
    hash.add_text(s.format);
    hash.add_text(s.separator);
    hash.add_value(s.lossy);
    hash.add_value(std::bit_cast<uint64_t>(s.heldout.value_or(config.data.heldout)));
    hash.add_value(given_tokenizer.empty() ? std::bit_cast<uint64_t>(s.weight) : 0);
  }
  return hash.value();
}

// How often each source's text is counted, so that the vocabulary fits the mixture that is trained on.
std::vector<int64_t> multiplicities(const DataConfig& data, const std::vector<SourceText>& sources) {
  double least = HUGE_VAL;
  const auto density = [&](size_t i) {
    return data.sources[i].weight / static_cast<double>(std::max<int64_t>(sources[i].bytes, 1));
  };
  for (size_t i = 0; i < sources.size(); ++i) {
    if (density(i) > 0) least = std::min(least, density(i));
  }
  std::vector<int64_t> times;
  for (size_t i = 0; i < sources.size(); ++i) {
    const double ratio = std::min(density(i) / least, 1000.0);
    times.push_back(density(i) > 0 ? std::max<int64_t>(1, std::llround(ratio)) : 0);
  }
  return times;
}

int64_t size_of(const Document& document) {
  size_t size = document.text.size();
  for (const ChatTurn& turn : document.turns) size += turn.content.size();
  return static_cast<int64_t>(size);
}

Result<std::string> train_tokenizer(const TrainConfig& config, const std::vector<SourceText>& sources,
                                    const PrepareProgress& progress) {
  TERN_TRY_ASSIGN(BpeTrainer trainer, BpeTrainer::create(config.tokenizer.pre));
  const std::vector<int64_t> times = multiplicities(config.data, sources);
  int64_t done = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (times[i] == 0) continue;
    for (const Document& document : sources[i].documents) {
      if (document.heldout) continue;
      if (!document.text.empty()) trainer.add(document.text, times[i]);
      for (const ChatTurn& turn : document.turns) trainer.add(turn.content, times[i]);
      done += size_of(document);
      if (progress && !progress("training tokenizer", done, 0)) return stopped("training the tokenizer");
    }
  }
  std::vector<std::string> special = {kEndOfText, kImStart, kImEnd};
  special.insert(special.end(), config.tokenizer.special.begin(), config.tokenizer.special.end());
  TERN_TRY_ASSIGN(const BpeVocabulary vocabulary,
                  trainer.train(config.tokenizer.vocab_size, std::move(special)));
  if (vocabulary.tokens.size() != static_cast<size_t>(config.tokenizer.vocab_size)) {
    return make_error(
        ErrorCode::kUsage,
        "$.tokenizer.vocab_size: the text yields only {} tokens, {} were asked for; ask for fewer",
        vocabulary.tokens.size(), config.tokenizer.vocab_size);
  }
  return tokenizer_json(vocabulary);
}

std::optional<int32_t> control_token(const Tokenizer& tokenizer, std::string_view text) {
  const auto id = tokenizer.find(text);
  return id && tokenizer.is_control(*id) ? id : std::nullopt;
}

Status use_tokenizer(const TrainConfig& config, std::string_view json, Prepared& out) {
  TERN_TRY_ASSIGN(out.spec, parse_tokenizer_json(json));
  TERN_TRY_ASSIGN(out.tokenizer, Tokenizer::create(out.spec));
  out.vocab_size = static_cast<int32_t>(out.tokenizer->vocab_size());
  out.pre = config.tokenizer.pre;
  auto end = control_token(*out.tokenizer, kEndOfText);
  if (!end) end = out.tokenizer->eos_id();
  if (!end)
    return make_error(ErrorCode::kUsage, "tokenizer: it has neither {} nor another end token", kEndOfText);
  out.end_of_text = *end;
  out.im_start = control_token(*out.tokenizer, kImStart).value_or(-1);
  out.im_end = control_token(*out.tokenizer, kImEnd).value_or(-1);
  for (const DataSource& source : config.data.sources) {
    if (source.kind == SourceKind::kChat && (out.im_start < 0 || out.im_end < 0)) {
      return make_error(ErrorCode::kUsage, "tokenizer: chat sources need its tokens {} and {}", kImStart,
                        kImEnd);
    }
  }
  return {};
}

void append(const std::vector<int32_t>& ids, bool counts, EncodedSource& out) {
  out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
  out.mask.insert(out.mask.end(), ids.size(), counts);
}

// ChatML as its template writes it, token by token: the text of a message is never taken for a mark, and an
// answer begins a stretch of its own, as it does when it is generated.
void encode_chat(const Document& document, const Prepared& p, EncodedSource& out) {
  const EncodeOptions plain{.add_bos = false, .add_eos = false, .at_text_start = false};
  const auto encode = [&](std::string_view text) { return p.tokenizer->encode(text, plain); };
  for (const ChatTurn& turn : document.turns) {
    if (&turn != &document.turns.front()) append(encode("\n"), false, out);
    append({p.im_start}, false, out);
    const std::string head = fmt::format("{}\n", turn.role);
    const bool answer = turn.role == "assistant";
    if (answer) {
      append(encode(head), false, out);
      append(encode(turn.content), true, out);
    } else {
      append(encode(head + std::string(turn.content)), false, out);
    }
    append({p.im_end}, answer, out);
  }
}

Result<EncodedSource> encode_source(const SourceText& source, const Prepared& p,
                                    const std::function<bool(int64_t)>& progress) {
  EncodedSource out;
  const EncodeOptions plain{.add_bos = false, .add_eos = false};
  int64_t done = 0;
  for (const Document& document : source.documents) {
    if (document.turns.empty()) {
      const std::vector<int32_t> ids = p.tokenizer->encode(document.text, plain);
      out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
      out.tokens.push_back(p.end_of_text);
    } else {
      encode_chat(document, p, out);
    }
    out.ends.push_back(out.tokens.size());
    out.heldout.push_back(document.heldout);
    done += size_of(document);
    if (!progress(done)) return stopped("encoding");
  }
  return out;
}

Status encode_all(const std::vector<SourceText>& sources, uint64_t key, uint64_t tokenizer_hash,
                  const Prepared& p, const PrepareProgress& progress) {
  int64_t total = 0, before = 0;
  for (const SourceText& source : sources) {
    for (const Document& document : source.documents) total += size_of(document);
  }
  std::vector<EncodedSource> encoded;
  for (const SourceText& source : sources) {
    int64_t last = 0;
    const auto report = [&](int64_t done) {
      last = done;
      return !progress || progress("encoding", before + done, total);
    };
    TERN_TRY_ASSIGN(EncodedSource one, encode_source(source, p, report));
    before += last;
    encoded.push_back(std::move(one));
  }
  const TokenFileHeader header{key, tokenizer_hash, static_cast<uint32_t>(p.vocab_size),
                               static_cast<uint32_t>(p.end_of_text)};
  return write_token_file(p.token_path, header, encoded);
}

// True where an earlier call left exactly what this one would make.
bool is_made(const Prepared& p, uint64_t key, std::string& tokenizer_text) {
  const auto tokens = TokenFile::open(p.token_path);
  auto text = read_text(p.tokenizer_path);
  if (!tokens.ok() || !text.ok()) return false;
  const TokenFileHeader& header = (*tokens)->header();
  if (header.key != key || header.tokenizer_hash != hash64(*text)) return false;
  tokenizer_text = std::move(*text);
  return true;
}

}  // namespace

Result<Prepared> prepare(const TrainConfig& config, const PrepareProgress& progress) {
  std::string given;
  if (!config.tokenizer.path.empty()) {
    TERN_TRY_ASSIGN(given, read_text(config.tokenizer.path));
    if (given.empty()) return make_error(ErrorCode::kCorrupt, "'{}' is empty", config.tokenizer.path);
  }
  TERN_TRY_ASSIGN(const std::vector<SourceText> sources, read_sources(config.data, progress));
  const uint64_t key = key_of(config, sources, given);

  std::error_code error;
  const std::filesystem::path folder(config.output);
  std::filesystem::create_directories(folder, error);
  if (error) {
    return make_error(ErrorCode::kIo, "cannot create '{}': {}", printable(config.output, 200),
                      error.message());
  }
  Prepared out;
  out.tokenizer_path = (folder / "tokenizer.json").string();
  out.token_path = (folder / fmt::format("tokens-{:016x}.bin", key)).string();
  out.chat_template = find_builtin_chat_template("chatml")->source;

  std::string tokenizer_text;
  out.reused = is_made(out, key, tokenizer_text);
  if (!out.reused) {
    tokenizer_text = given;
    if (given.empty()) {
      TERN_TRY_ASSIGN(tokenizer_text, train_tokenizer(config, sources, progress));
    }
  }
  TERN_TRY(use_tokenizer(config, tokenizer_text, out));
  if (!out.reused) {
    TERN_TRY(write_atomically(out.tokenizer_path, tokenizer_text));
    TERN_TRY(encode_all(sources, key, hash64(tokenizer_text), out, progress));
  }
  return out;
}

std::string teacher_file_path(const TrainConfig& config) {
  return (std::filesystem::path(config.output) / "teacher.bin").string();
}

std::string teacher_tokenizer_path(const std::string& teacher_file) {
  return (std::filesystem::path(teacher_file).parent_path() / "teacher-tokenizer.json").string();
}

}  // namespace tern::train
