// SPDX-License-Identifier: MIT
// SentencePiece models from strangers: read, build, encode and decode a little text from the end of the
// input.
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  auto spec = tern::parse_sentencepiece(input);
  if (!spec.ok()) return 0;
  const auto tokenizer = tern::Tokenizer::create(std::move(*spec));
  if (!tokenizer.ok()) return 0;
  const std::string_view text = input.substr(size - std::min<size_t>(size, 200));
  for (const bool special : {false, true}) {
    const auto ids = (*tokenizer)->encode(text, {.parse_special = special});
    for (const int32_t id : ids) {
      TERN_CHECK(id >= 0 && static_cast<size_t>(id) < (*tokenizer)->vocab_size(),
                 "encode() gave an id out of range");
      TERN_CHECK(special || !(*tokenizer)->is_control(id) || id == (*tokenizer)->bos_id(),
                 "plain text gave a control token");
    }
    TERN_CHECK(tern::is_valid_utf8((*tokenizer)->decode(ids, {.render_special = special})),
               "decode() gave invalid UTF-8");
  }
  return 0;
}
