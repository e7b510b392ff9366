// SPDX-License-Identifier: MIT
// SHA-256 and SHA-1 of a stream of bytes. SHA-256 names the blobs of the store; SHA-1 is what a hub says of
// small files (git's hash of them). A thin face of libcrypto, which uses the CPU's SHA instructions.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

struct evp_md_ctx_st;

namespace tern::hub {

class Digest {
 public:
  enum class Kind { kSha256, kSha1 };
  /// Errors: kUnsupported where the library refuses the algorithm.
  static Result<Digest> create(Kind kind);

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  /// The digest as lower-case hex. Call once, last.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  explicit Digest(std::unique_ptr<evp_md_ctx_st, Free> context) : context_(std::move(context)) {}
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// SHA-256 of a short text, as lower-case hex.
Result<std::string> sha256_of(std::string_view text);

/// True for exactly `digits` lower-case hex digits (64: SHA-256, 40: SHA-1).
bool is_hex(std::string_view text, size_t digits);

}  // namespace tern::hub
