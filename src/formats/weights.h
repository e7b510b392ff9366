// SPDX-License-Identifier: MIT
// The tensors and metadata of one model: mapped files with their parse. Immutable; shared by whoever
// borrows views.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "formats/gguf.h"
#include "formats/ternary/tl_config.h"
#include "formats/ternary/view.h"

namespace tern {

/// What the user knows and the file does not say.
struct WeightsOptions {
  GgufReadOptions gguf;
  std::optional<TlConfig> tl_config;  // without it TL1 and TL2 tensors cannot be read
};

class Weights {
 public:
  /// Maps and parses a GGUF file, and compares what tern.* keys say of it. Errors name the path.
  static Result<std::shared_ptr<const Weights>> open(const std::string& path,
                                                     const WeightsOptions& options = {});

  /// The same mapped file under another parse, for instance a single layer of it. Tensors may also lie
  /// outside the file, where the caller keeps them alive. `gguf` is indexed.
  static std::shared_ptr<const Weights> part(const Weights& whole, GgufFile gguf) {
    return std::shared_ptr<const Weights>(new Weights(whole.file_, std::move(gguf), whole.tl_config_));
  }

  const GgufFile& gguf() const { return gguf_; }
  const std::string& path() const { return file_->path(); }
  uint64_t file_bytes() const { return file_->bytes().size(); }

  /// The tensor `name` with exactly `shape` (GGUF order), or an Error that prints expected and found.
  Result<const GgufTensorInfo*> get(std::string_view name, std::vector<uint64_t> shape) const;
  /// The same, but an absent tensor is null.
  Result<const GgufTensorInfo*> find(std::string_view name, std::vector<uint64_t> shape) const;

  /// A ternary tensor as trits and scales, whatever its container (view_ternary; TL1 and TL2 with the tiles
  /// of the options). `i2s_order` is for I2_S alone. Errors name the tensor. The view must not outlive this
  /// object.
  Result<TernaryView> ternary(const GgufTensorInfo& tensor, I2sOrder i2s_order = I2sOrder::kX86_128) const;

  bool has_tl_config() const { return tl_config_.has_value(); }

  /// Gives the pages of a tensor that has been packed back to the system, where it lies in the mapped file.
  void release(const GgufTensorInfo& tensor) const;

 private:
  Weights(std::shared_ptr<const MappedFile> file, GgufFile gguf, std::optional<TlConfig> tl_config)
      : file_(std::move(file)), gguf_(std::move(gguf)), tl_config_(std::move(tl_config)) {}
  std::shared_ptr<const MappedFile> file_;
  GgufFile gguf_;
  std::optional<TlConfig> tl_config_;
};

}  // namespace tern
