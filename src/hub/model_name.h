// SPDX-License-Identifier: MIT
// What a user may call a model: a name of the catalogue, or OWNER/REPO[@REVISION][:FILE-OR-QUANT].
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::hub {

/// A repository of a hub, and what of it is wanted.
struct RepoRef {
  std::string repo;               // OWNER/REPO
  std::string revision = "main";  // branch, tag or commit
  std::string selector;           // a file, a quant ("i2_s"), or empty
  bool operator==(const RepoRef&) const = default;
  /// The canonical spelling: OWNER/REPO[@REVISION][:SELECTOR].
  std::string name() const;
};

/// Also takes hf.co/ and huggingface.co/, with or without https://, in front. Errors: kUsage with what is
/// expected.
Result<RepoRef> parse_repo_ref(std::string_view text);

/// True where `text` can name a model of the store: a catalogue-like word or a repository; nothing that can
/// only be a path.
bool is_model_name(std::string_view text);

/// A path inside a repository that may be created below a folder of ours: relative, no `.` or `..` component,
/// no backslash or control character, nothing longer than file systems take. Hubs are strangers.
bool is_safe_path(std::string_view path);

}  // namespace tern::hub
