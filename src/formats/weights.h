// SPDX-License-Identifier: MIT
// The tensors and metadata of one model file: a mapped GGUF with its parse. Immutable; shared by whoever
// borrows views.
#pragma once

#include <memory>
#include <string>

#include "core/mapped_file.h"
#include "formats/gguf.h"

namespace tern {

class Weights {
 public:
  /// Maps and parses a GGUF file. Errors name the path.
  static Result<std::shared_ptr<const Weights>> open(const std::string& path);

  /// The same mapped file under another parse, for instance a single layer of it. Tensors may also lie
  /// outside the file, where the caller keeps them alive and they are not ternary (release()). `gguf` is
  /// indexed.
  static std::shared_ptr<const Weights> part(const Weights& whole, GgufFile gguf) {
    return std::shared_ptr<const Weights>(new Weights(whole.file_, std::move(gguf)));
  }

  const GgufFile& gguf() const { return gguf_; }
  const std::string& path() const { return file_->path(); }
  uint64_t file_bytes() const { return file_->bytes().size(); }

  /// The tensor `name` with exactly `shape` (GGUF order), or an Error that prints expected and found.
  Result<const GgufTensorInfo*> get(std::string_view name, std::vector<uint64_t> shape) const;
  /// The same, but an absent tensor is null.
  Result<const GgufTensorInfo*> find(std::string_view name, std::vector<uint64_t> shape) const;

  /// Gives the pages of a tensor that has been packed back to the system.
  void release(const GgufTensorInfo& tensor) const { file_->release(tensor.data); }

 private:
  Weights(std::shared_ptr<const MappedFile> file, GgufFile gguf)
      : file_(std::move(file)), gguf_(std::move(gguf)) {}
  std::shared_ptr<const MappedFile> file_;
  GgufFile gguf_;
};

}  // namespace tern
