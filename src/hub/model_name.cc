// SPDX-License-Identifier: MIT
#include "hub/model_name.h"

#include <algorithm>

#include "core/printable.h"

namespace tern::hub {
namespace {

constexpr size_t kMaxWord = 96, kMaxRevision = 255, kMaxComponent = 255, kMaxPath = 1024, kMaxDepth = 16;

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.';
}

// Of an owner, a repository, a catalogue entry. No leading dot or dash: not a hidden file, not a flag.
bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= kMaxWord && std::ranges::all_of(text, is_word_char) &&
         text[0] != '.' && text[0] != '-' && text.find("..") == std::string_view::npos;
}

bool is_revision(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRevision && text[0] != '-' && text[0] != '/' &&
         text.back() != '/' && text.find("..") == std::string_view::npos &&
         std::ranges::all_of(text, [](char c) { return is_word_char(c) || c == '/'; });
}

std::string_view without_prefix(std::string_view text) {
  for (const std::string_view prefix : {"https://", "http://"}) {
    if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  }
  for (const std::string_view prefix : {"huggingface.co/", "hf.co/"}) {
    if (text.starts_with(prefix)) return text.substr(prefix.size());
  }
  return text;
}

}  // namespace

std::string RepoRef::name() const {
  std::string text = repo;
  if (revision != "main") text.append("@").append(revision);
  if (!selector.empty()) text.append(":").append(selector);
  return text;
}

Result<RepoRef> parse_repo_ref(std::string_view text) {
  const auto refuse = [&] {
    return make_error(ErrorCode::kUsage,
                      "'{}' is no model: expected a name of the catalogue (tern list --available) or "
                      "OWNER/REPO[@REVISION][:FILE-OR-QUANT]",
                      printable(text, 200));
  };
  RepoRef ref;
  std::string_view rest = without_prefix(text);
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    ref.selector = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_safe_path(ref.selector)) return refuse();
  }
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    ref.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_revision(ref.revision)) return refuse();
  }
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos || !is_word(rest.substr(0, slash)) ||
      !is_word(rest.substr(slash + 1))) {
    return refuse();
  }
  ref.repo = rest;
  return ref;
}

bool is_model_name(std::string_view text) { return is_word(text) || parse_repo_ref(text).ok(); }

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath || !is_plain_text(path) ||
      path.find('\\') != std::string_view::npos) {
    return false;
  }
  size_t depth = 0;
  for (size_t begin = 0; begin <= path.size(); ++depth) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    if (component.empty() || component == "." || component == ".." || component.size() > kMaxComponent)
      return false;
    begin = end + 1;
  }
  return depth <= kMaxDepth;
}

}  // namespace tern::hub
