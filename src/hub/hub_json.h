// SPDX-License-Identifier: MIT
// What a hub says of a repository: its commit and licence, and the list of its files. Reads a stranger's
// JSON: bounded in size and depth, and a file whose name could leave the store's folder is an error, not a
// skipped line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::hub {

struct RepoInfo {
  std::string commit;        // 40 hex digits, or another name that stands still
  std::string license;       // empty: not stated
  std::string architecture;  // of the GGUF, else of the configuration; empty: not stated
};

struct RemoteFile {
  std::string path;      // inside the repository, is_safe_path
  uint64_t size = 0;     // bytes
  std::string sha256;    // of files that the hub stores apart (LFS); else empty
  std::string git_sha1;  // git's hash of a small file; empty where sha256 is known
};

/// The answer of /api/models/REPO/revision/REV. Errors: kCorrupt.
Result<RepoInfo> parse_repo_info(std::string_view json);

/// One page of /api/models/REPO/tree/REV?recursive=true; folders are left out. Errors: kCorrupt for what is
/// not such a list, for a name that is not safe, and for a hash that is none.
Result<std::vector<RemoteFile>> parse_tree(std::string_view json);

/// The "error" text of a hub's error body, or empty.
std::string parse_error_body(std::string_view json);

}  // namespace tern::hub
