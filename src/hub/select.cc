// SPDX-License-Identifier: MIT
#include "hub/select.h"

#include <algorithm>
#include <array>

#include "core/printable.h"

namespace tern::hub {
namespace {

// The types this program computes. A file of any other type is taken only when it is asked for by name.
constexpr std::array kTernaryTypes = {"i2_s", "tq1_0", "tq2_0", "iq1_bn", "iq2_bn", "q1_0", "q2_0"};

// What a directory of safetensors needs beside its weights; absent ones are not missed.
constexpr std::array kSideFiles = {
    "config.json",     "generation_config.json",  "tokenizer.json",    "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt",      "chat_template.jinja",     "chat_template.json"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// True where `word` stands in `text` with no letter or digit on either side: q2_0 is not in "tq2_0" nor in
// "pq2_0".
bool has_word(const std::string& text, const std::string& word) {
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const bool begins = at == 0 || !is_alnum(text[at - 1]);
    const bool ends = at + word.size() == text.size() || !is_alnum(text[at + word.size()]);
    if (begins && ends) return true;
  }
  return false;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Projectors of images and importance matrices are GGUF files too, but no language models.
bool is_model_gguf(const RemoteFile& file) {
  const std::string name = lower(base_name(file.path));
  return name.ends_with(".gguf") && name.find("mmproj") == std::string::npos &&
         name.find("imatrix") == std::string::npos;
}

// "-00001-of-00003.gguf"
bool is_split(const RemoteFile& file) {
  const size_t of = file.path.rfind("-of-");
  return of != std::string::npos && of >= 5 && file.path.size() - of > 4 && file.path[of - 1] >= '0' &&
         file.path[of - 1] <= '9' && file.path[of + 4] >= '0' && file.path[of + 4] <= '9';
}

std::string names_of(const std::vector<const RemoteFile*>& files) {
  std::string names;
  for (size_t i = 0; i < files.size() && i < 12; ++i) {
    names += fmt::format("{}{} ({:.2f} GB)", i == 0 ? "" : ", ", printable(files[i]->path, 100),
                         static_cast<double>(files[i]->size) / 1e9);
  }
  return files.size() > 12 ? names.append(", ...") : names;
}

Result<Selection> one_gguf(const RemoteFile& file) {
  if (is_split(file)) {
    return make_error(ErrorCode::kUnsupported,
                      "'{}' is one part of a split GGUF, which tern does not read: join the parts first",
                      printable(file.path, 200));
  }
  return Selection{{file}, file.path};
}

Result<Selection> by_selector(const std::vector<RemoteFile>& files, const std::string& selector) {
  std::vector<const RemoteFile*> ggufs, matches;
  for (const RemoteFile& file : files) {
    if (!is_model_gguf(file)) {
      if (file.path == selector) {
        return make_error(
            ErrorCode::kUsage,
            "'{}' is no GGUF model: name a .gguf file, or leave it out to take the whole directory",
            printable(selector, 200));
      }
      continue;
    }
    if (file.path == selector) return one_gguf(file);
    ggufs.push_back(&file);
    if (lower(base_name(file.path)) == lower(selector) ||
        has_word(lower(base_name(file.path)), lower(selector))) {
      matches.push_back(&file);
    }
  }
  if (matches.size() == 1) return one_gguf(*matches[0]);
  if (matches.empty()) {
    return make_error(ErrorCode::kNotFound, "no GGUF of the repository matches '{}'; there is: {}",
                      printable(selector, 100), ggufs.empty() ? "none" : names_of(ggufs));
  }
  return make_error(ErrorCode::kUsage, "several files match '{}': {}; name one", printable(selector, 100),
                    names_of(matches));
}

bool is_ternary_gguf(const RemoteFile& file) {
  const std::string name = lower(base_name(file.path));
  return std::ranges::any_of(kTernaryTypes, [&](const char* type) { return has_word(name, type); });
}

Result<Selection> smallest_gguf(const std::vector<const RemoteFile*>& ggufs) {
  const RemoteFile* best = nullptr;
  for (const RemoteFile* file : ggufs) {
    if (is_ternary_gguf(*file) && !is_split(*file) && (best == nullptr || file->size < best->size))
      best = file;
  }
  if (best == nullptr && ggufs.size() == 1) best = ggufs[0];
  if (best != nullptr) return one_gguf(*best);
  return make_error(
      ErrorCode::kUsage,
      "the repository has several GGUF files and none names a ternary type: {}; name one as NAME:FILE",
      names_of(ggufs));
}

bool is_side_file(const std::string& path) {
  return std::ranges::find(kSideFiles, std::string_view(path)) != kSideFiles.end();
}

// The files of the root folder only: below it lie other formats of the same model.
Result<Selection> safetensors_directory(const std::vector<RemoteFile>& files) {
  const auto has = [&](std::string_view path) {
    return std::ranges::find(files, path, &RemoteFile::path) != files.end();
  };
  const bool has_whole = has("model.safetensors"), has_index = has("model.safetensors.index.json");
  const auto is_weights = [&](const std::string& path) {
    if (path.find('/') != std::string::npos) return false;
    if (has_whole) return path == "model.safetensors";
    if (has_index && path == "model.safetensors.index.json") return true;
    if (has_index) return path.starts_with("model-") && path.ends_with(".safetensors");
    return path.ends_with(".safetensors");
  };
  Selection selection;
  bool has_weights = false;
  for (const RemoteFile& file : files) {
    const bool weights = is_weights(file.path);
    has_weights = has_weights || (weights && file.path.ends_with(".safetensors"));
    if (weights || is_side_file(file.path)) selection.files.push_back(file);
  }
  if (has_weights && has("config.json")) return selection;
  const bool has_pickle = std::ranges::any_of(files, [](const RemoteFile& file) {
    return file.path.ends_with(".bin") || file.path.ends_with(".pt");
  });
  if (has_pickle) {
    return make_error(ErrorCode::kUnsupported,
                      "the repository has pickled PyTorch weights only, which can run code when read: save "
                      "it as safetensors first");
  }
  return make_error(ErrorCode::kNotFound,
                    "the repository has neither a GGUF file nor config.json with safetensors");
}

}  // namespace

Result<Selection> select_files(const std::vector<RemoteFile>& files, std::string_view selector) {
  if (!selector.empty()) return by_selector(files, std::string(selector));
  std::vector<const RemoteFile*> ggufs;
  for (const RemoteFile& file : files) {
    if (is_model_gguf(file)) ggufs.push_back(&file);
  }
  return ggufs.empty() ? safetensors_directory(files) : smallest_gguf(ggufs);
}

}  // namespace tern::hub
