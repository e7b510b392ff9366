// SPDX-License-Identifier: MIT
#include "hub/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace tern::hub {

void Digest::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Result<Digest> Digest::create(Kind kind) {
  std::unique_ptr<evp_md_ctx_st, Free> context(EVP_MD_CTX_new());
  const EVP_MD* algorithm = kind == Kind::kSha256 ? EVP_sha256() : EVP_sha1();
  if (context == nullptr || EVP_DigestInit_ex(context.get(), algorithm, nullptr) != 1) {
    return make_error(ErrorCode::kUnsupported, "libcrypto refuses {} on this machine",
                      kind == Kind::kSha256 ? "SHA-256" : "SHA-1");
  }
  return Digest(std::move(context));
}

void Digest::update(std::span<const std::byte> bytes) {
  TERN_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "digest after its end");
}

std::string Digest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  TERN_CHECK(EVP_DigestFinal_ex(context_.get(), raw.data(), &size) == 1, "digest ended twice");
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", raw[i]);
  return hex;
}

Result<std::string> sha256_of(std::string_view text) {
  TERN_TRY_ASSIGN(Digest digest, Digest::create(Digest::Kind::kSha256));
  digest.update(text);
  return digest.finish();
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace tern::hub
