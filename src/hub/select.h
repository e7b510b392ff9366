// SPDX-License-Identifier: MIT
// Which files of a repository make the model: the smallest packed GGUF where there is one, otherwise the
// safetensors with what belongs to them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "hub/hub_json.h"

namespace tern::hub {

struct Selection {
  std::vector<RemoteFile> files;  // in the order of the listing
  std::string entry;              // the GGUF; empty for a directory
};

/// `selector`: a path of the listing, a quant that stands in one GGUF's name ("i2_s", any case), or empty.
/// Errors: kNotFound where nothing fits, kUsage where several do (with their names), kUnsupported for split
/// GGUF files and pickled weights.
Result<Selection> select_files(const std::vector<RemoteFile>& files, std::string_view selector);

}  // namespace tern::hub
