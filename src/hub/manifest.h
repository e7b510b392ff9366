// SPDX-License-Identifier: MIT
// What the store knows of a model: where it came from and which blobs are its files. A model exists when its
// manifest does; the file is written in one step, last.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::hub {

struct ManifestFile {
  std::string path;  // is_safe_path
  uint64_t size = 0;
  std::string sha256;
};

struct Manifest {
  std::string name;
  std::string hub, repo, revision, commit;
  std::string license, architecture;  // empty: not stated
  std::string entry;                  // the GGUF among the files; empty for a directory of safetensors
  std::string pulled;                 // UTC, 2026-11-21T15:00:00Z
  std::vector<ManifestFile> files;

  uint64_t total_bytes() const;
};

std::string manifest_text(const Manifest& manifest);
/// Errors: kCorrupt with the field that is missing or wrong.
Result<Manifest> parse_manifest(std::string_view text);

/// Names the folder that shows these files under their own names: the same files give the same name.
Result<std::string> snapshot_id(const Manifest& manifest);

}  // namespace tern::hub
