// SPDX-License-Identifier: MIT
#include "train/documents.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>

#include "core/printable.h"
#include "text/json_reader.h"
#include "text/utf8.h"
#include "train/hash.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::string_view trim_line_breaks(std::string_view text) {
  const size_t first = text.find_first_not_of("\r\n");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of("\r\n") - first + 1);
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

void add_text(std::string_view text, SourceText& out) {
  text = trim_line_breaks(text);
  if (is_blank(text)) return;
  Document document;
  document.text = text;
  document.hash = hash64(text);
  out.documents.push_back(std::move(document));
}

void split_plain(std::string_view text, std::string_view separator, SourceText& out) {
  while (!separator.empty()) {
    const size_t at = text.find(separator);
    if (at == text.npos) break;
    add_text(text.substr(0, at), out);
    text.remove_prefix(at + separator.size());
  }
  add_text(text, out);
}

Result<std::string_view> string_member(const json::Object& object, const char* key,
                                       const std::string& where) {
  const auto found = json::member(object, key);
  std::string_view text;
  if (!found || found->get(text)) {
    return make_error(ErrorCode::kCorrupt, "{}: expected an object with the string \"{}\"", where, key);
  }
  return text;
}

Status add_chat(const json::Object& object, const std::string& where, SourceText& out) {
  const auto messages = json::member(object, "messages");
  json::Array list;
  if (!messages || messages->get(list)) {
    return make_error(ErrorCode::kCorrupt, "{}: expected an object with the list \"messages\"", where);
  }
  Document document;
  Hash64 hash;
  bool answered = false;
  for (const json::Element item : list) {
    const std::string at = fmt::format("{}: messages[{}]", where, document.turns.size());
    json::Object message;
    if (item.get(message)) return make_error(ErrorCode::kCorrupt, "{}: expected an object", at);
    TERN_TRY_ASSIGN(const std::string_view role, string_member(message, "role", at));
    TERN_TRY_ASSIGN(const std::string_view content, string_member(message, "content", at));
    if (role != "system" && role != "user" && role != "assistant") {
      return make_error(ErrorCode::kCorrupt, "{}.role: expected system, user or assistant, found \"{}\"", at,
                        printable(role));
    }
    answered |= role == "assistant" && !content.empty();
    hash.add_text(role);
    hash.add_text(content);
    ChatTurn turn;
    turn.role = out.owned.emplace_back(role);
    turn.content = out.owned.emplace_back(content);
    document.turns.push_back(turn);
  }
  if (!answered) return make_error(ErrorCode::kCorrupt, "{}: no assistant message with a text", where);
  document.hash = hash.value();
  out.documents.push_back(std::move(document));
  return {};
}

Status split_json_lines(std::string_view text, SourceKind kind, const std::string& name, SourceText& out) {
  simdjson::dom::parser parser;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (is_blank(row)) continue;
    const std::string where = fmt::format("{}:{}", name, line);
    TERN_TRY_ASSIGN(const json::Element root, json::parse(parser, row, where.c_str()));
    json::Object object;
    if (root.get(object)) return make_error(ErrorCode::kCorrupt, "{}: expected a JSON object", where);
    if (kind == SourceKind::kChat) {
      TERN_TRY(add_chat(object, where, out));
    } else {
      TERN_TRY_ASSIGN(const std::string_view document, string_member(object, "text", where));
      add_text(out.owned.emplace_back(document), out);
    }
  }
  return {};
}

// What read_source() parses: the bytes themselves where they are UTF-8.
Result<std::string_view> valid_text(std::string_view text, bool lossy, const std::string& name,
                                    SourceText& out) {
  if (simdjson::validate_utf8(text.data(), text.size())) return text;
  std::string repaired;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    const bool invalid = c.code_point == kInvalidCodePoint;
    if (invalid && !lossy) {
      return make_error(
          ErrorCode::kCorrupt,
          "{}: byte 0x{:02x} at offset {} is not UTF-8; convert the file, or set \"lossy\": true", name,
          static_cast<uint8_t>(text[i]), i);
    }
    repaired += invalid ? kReplacement : text.substr(i, c.length);
    i += c.length;
  }
  return std::string_view(out.owned.emplace_back(std::move(repaired)));
}

}  // namespace

Result<std::vector<std::string>> source_files(const std::string& path) {
  std::error_code error;
  const fs::path p(path);
  std::vector<std::string> files;
  if (fs::is_regular_file(p, error)) return std::vector<std::string>{path};
  const bool is_folder = fs::is_directory(p, error);
  const fs::path folder = is_folder ? p : p.parent_path();
  const std::string pattern = is_folder ? "*" : p.filename().string();
  if (is_folder || pattern.find_first_of("*?") != pattern.npos) {
    fs::directory_iterator entries(folder.empty() ? fs::path(".") : folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      const std::string name = entries->path().filename().string();
      std::error_code ignored;
      if (entries->is_regular_file(ignored) && ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0) {
        files.push_back((folder / name).string());
      }
    }
  }
  if (files.empty()) return make_error(ErrorCode::kNotFound, "'{}': no such file", printable(path, 200));
  std::sort(files.begin(), files.end());
  return files;
}

Status parse_documents(std::string_view text, const DataSource& source, const std::string& name,
                       SourceText& out) {
  TERN_TRY_ASSIGN(text, valid_text(text, source.lossy, name, out));
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark
  if (source.format == "jsonl") return split_json_lines(text, source.kind, name, out);
  split_plain(text, source.separator, out);
  return {};
}

Result<SourceText> read_source(const DataSource& source, double heldout,
                               const std::function<bool(int64_t bytes)>& progress) {
  TERN_TRY_ASSIGN(const std::vector<std::string> files, source_files(source.path));
  SourceText out;
  Hash64 hash;
  for (const std::string& name : files) {
    TERN_TRY_ASSIGN(auto file, MappedFile::open(name));
    const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
    hash.add_text(text);
    out.bytes += static_cast<int64_t>(text.size());
    out.files.push_back(std::move(file));
    TERN_TRY(parse_documents(text, source, printable(name, 200), out));
    if (progress && !progress(out.bytes)) return make_error(ErrorCode::kCancelled, "stopped while reading");
  }
  if (out.documents.empty()) {
    return make_error(ErrorCode::kUsage, "'{}': no text in {} file{}", printable(source.path, 200),
                      files.size(), files.size() == 1 ? "" : "s");
  }
  for (Document& document : out.documents) document.heldout = unit_interval(mix64(document.hash)) < heldout;
  out.content_hash = hash.value();
  return out;
}

}  // namespace tern::train
