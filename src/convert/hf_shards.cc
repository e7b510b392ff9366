// SPDX-License-Identifier: MIT
#include "convert/hf_shards.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "convert/hf_config.h"
#include "core/printable.h"

namespace tern {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kIndexLimit = 256u << 20;

Result<std::vector<std::string>> safetensors_in(const std::string& folder) {
  std::vector<std::string> names;
  bool has_pickle = false;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.ends_with(".safetensors")) names.push_back(name);
    has_pickle = has_pickle || name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
  }
  if (error)
    return make_error(ErrorCode::kIo, "cannot list '{}': {}", printable(folder, 512), error.message());
  if (names.empty()) {
    return make_error(ErrorCode::kNotFound, "'{}' has no *.safetensors file{}", printable(folder, 512),
                      has_pickle
                          ? ": its weights are Python pickles (.bin, .pt), which can run code when they are "
                            "read; convert them to safetensors first"
                          : "");
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Result<std::optional<std::string>> read_small_file(const std::string& folder, const std::string& name,
                                                   uint64_t limit) {
  const std::string path = (std::filesystem::path(folder) / name).string();
  auto file = MappedFile::open(path);
  if (!file.ok()) {
    if (file.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
    return std::move(file).error();
  }
  const auto bytes = (*file)->bytes();
  if (bytes.size() > limit) {
    return make_error(ErrorCode::kCorrupt, "'{}' has {} bytes, expected at most {}", printable(path, 512),
                      bytes.size(), limit);
  }
  return std::optional(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Status HfShards::add(const std::string& folder, const std::string& name) {
  const std::string path = (std::filesystem::path(folder) / name).string();
  TERN_TRY_ASSIGN(auto mapped, MappedFile::open(path));
  auto parsed = parse_safetensors(mapped->bytes());
  if (!parsed.ok()) return std::move(parsed).error().in(printable(path, 512));
  files_.push_back(std::make_unique<File>(File{name, std::move(mapped), std::move(parsed).value()}));
  for (const SafetensorsTensor& tensor : files_.back()->parsed.tensors) {
    data_bytes_ += tensor.data.size();
    if (!tensors_.emplace(tensor.name, &tensor).second) {
      return make_error(ErrorCode::kCorrupt, "{}: tensor '{}' is in another file of the folder too",
                        printable(path, 512), printable(tensor.name));
    }
  }
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) {
    fingerprint_ +=
        fmt::format("{} {} {}.{}\n", path, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return {};
}

Status HfShards::check_index(const std::map<std::string, std::string>& index) const {
  for (const auto& [tensor, file] : index) {
    const auto at =
        std::find_if(files_.begin(), files_.end(), [&](const auto& f) { return f->name == file; });
    if (at != files_.end() && (*at)->parsed.find(tensor) != nullptr) continue;
    return make_error(ErrorCode::kCorrupt, "{} says that tensor '{}' is in '{}', where it is not", kIndex,
                      printable(tensor), printable(file));
  }
  return {};
}

Result<std::shared_ptr<const HfShards>> HfShards::open(const std::string& folder) {
  auto shards = std::make_shared<HfShards>();
  TERN_TRY_ASSIGN(const auto index_text, read_small_file(folder, kIndex, kIndexLimit));
  if (!index_text) {
    TERN_TRY_ASSIGN(const auto names, safetensors_in(folder));
    for (const std::string& name : names) TERN_TRY(shards->add(folder, name));
    return std::shared_ptr<const HfShards>(std::move(shards));
  }
  TERN_TRY_ASSIGN(const auto index, parse_shard_index(*index_text));
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  for (const std::string& name : names) {
    if (Status status = shards->add(folder, name); !status.ok()) {
      return std::move(status).error().in(fmt::format("a file that {} names", kIndex));
    }
  }
  TERN_TRY(shards->check_index(index));
  return std::shared_ptr<const HfShards>(std::move(shards));
}

const SafetensorsTensor* HfShards::find(const std::string& name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : at->second;
}

void HfShards::release(const SafetensorsTensor& tensor) const {
  for (const auto& file : files_) {
    const auto bytes = file->mapped->bytes();
    if (tensor.data.data() >= bytes.data() && tensor.data.data() < bytes.data() + bytes.size()) {
      file->mapped->release(tensor.data);
    }
  }
}

}  // namespace tern
