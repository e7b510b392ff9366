// SPDX-License-Identifier: MIT
#include "text/stream_decoder.h"

namespace tern {

std::string StreamDecoder::push(int32_t id) {
  std::string bytes, out;
  tokenizer_->append_token(id, options_.render_special, at_start_, bytes);
  sanitizer_.push(bytes, out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  sanitizer_.finish(out);
  at_start_ = options_.at_text_start;
  return out;
}

}  // namespace tern
