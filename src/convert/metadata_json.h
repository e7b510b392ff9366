// SPDX-License-Identifier: MIT
// tern_metadata.json: the GGUF metadata of a model that was born as GGUF, beside the Hugging Face files that
// a conversion writes, so that converting back gives the same metadata. Absent in directories of other
// makers.
#pragma once

#include <string>
#include <string_view>

#include "convert/checkpoint.h"

namespace tern {

inline constexpr const char* kMetadataFile = "tern_metadata.json";

/// The keys as JSON. Errors: kUnsupported for a string that is not UTF-8.
Result<std::string> metadata_to_json(const MetaList& keys);

/// The reverse; pure, for untrusted text. Errors: kCorrupt.
Result<MetaList> metadata_from_json(std::string_view text);

/// Replaces the keys that config.json gave by those of the file. Errors: kCorrupt where the two disagree
/// about the model's sizes (somebody edited one of them).
Result<Checkpoint> with_metadata_file(Checkpoint checkpoint, std::string_view text);

}  // namespace tern
