// SPDX-License-Identifier: MIT
// The certificate in a GGUF file's metadata: what every tensor holds, and what the scalar reference computes
// from it. One string of fixed size under tern.certificate, padded with blanks, filled in after the weights
// are written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/transcode.h"
#include "formats/gguf.h"

namespace tern {

inline constexpr const char* kCertificateKey = "tern.certificate";
inline constexpr uint32_t kNumericsVersion = 1;  // docs/numerics.md

/// Logits of a few fixed tokens, as the scalar kernels compute them.
struct SelfCheck {
  std::vector<int32_t> tokens;
  std::string logits;                              // digest of the f32 bits of the last token's logits
  std::vector<std::pair<int32_t, float>> largest;  // for people: ids and values, best first
};

struct Certificate {
  uint32_t numerics = kNumericsVersion;
  std::string source;  // kind of the source
  std::vector<TensorFacts> tensors;
  std::optional<SelfCheck> self_check;
  std::string unchecked;  // why there is no self-check
};

/// Bytes that the text of a certificate over these tensors never exceeds.
size_t certificate_space(const std::vector<std::string>& tensor_names);

/// JSON, padded with blanks to `space` bytes.
Result<std::string> certificate_text(const Certificate& certificate, size_t space);

/// The certificate of a file, nullopt where it has none. Errors: kCorrupt for one that is not filled in or
/// broken.
Result<std::optional<Certificate>> read_certificate(const GgufFile& file);

/// One tensor's facts on one line, and back; also what the journal of a conversion notes.
std::string facts_to_line(const TensorFacts& facts);
Result<TensorFacts> facts_from_line(std::string_view line);

}  // namespace tern
