// SPDX-License-Identifier: MIT
// Parts of the Hugging Face writer: config.json and the safetensors files.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "convert/checkpoint.h"

namespace tern {

/// config.json of a checkpoint: the original text where it came from such a directory and its linears are
/// stored as there, else made from the keys. `has_packed`: some linear is packed uint8; `scale_divides`:
/// which way its scale goes. Errors: kUnsupported for an architecture without a Hugging Face spelling.
Result<std::string> hf_config_text(const Checkpoint& checkpoint, bool has_packed, bool scale_divides);

/// A tensor of a safetensors file, produced in pieces.
struct SafetensorsPlan {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  uint64_t bytes = 0;
  using Sink = std::function<Status(std::span<const std::byte>)>;
  std::function<Status(const Sink& sink)> produce;
};

/// Writes the tensors in order into model.safetensors of `folder`, or, above `shard_bytes`, into numbered
/// files with an index. `wrote(bytes)` after each piece; its error stops.
Status write_safetensors_files(const std::string& folder, const std::vector<SafetensorsPlan>& tensors,
                               uint64_t shard_bytes, const std::function<Status(uint64_t)>& wrote);

}  // namespace tern
