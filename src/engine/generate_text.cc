// SPDX-License-Identifier: MIT
#include "engine/generate_text.h"

#include <optional>

#include "text/stream_decoder.h"

namespace tern {

Result<TextResult> generate_text(Runner& runner, Sequence& sequence,
                                 std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> prompt,
                                 const TextParams& params) {
  if (tokenizer == nullptr && !params.stops.empty()) {
    return make_error(ErrorCode::kUsage, "stop strings need a tokenizer, and the model has none");
  }
  TERN_TRY_ASSIGN(std::shared_ptr<const StopSet> stop_set, StopSet::create(params.stops));
  StopStrings stops(std::move(stop_set));
  std::optional<StreamDecoder> decoder;
  GenerateParams generate_params = params.generate;
  if (tokenizer != nullptr) {
    decoder.emplace(tokenizer, StreamDecoder::Options{.render_special = params.render_special});
    const auto ends = tokenizer->end_ids();
    if (!params.ignore_end)
      generate_params.stop_ids.insert(generate_params.stop_ids.end(), ends.begin(), ends.end());
  }
  TextResult result;
  const auto emit = [&](int32_t token, const std::string& text) {
    result.text += text;
    return !params.on_piece || params.on_piece(token, text);
  };
  generate_params.on_token = [&](int32_t token) {
    const bool goes_on = emit(token, decoder ? stops.push(decoder->push(token)) : std::string());
    return goes_on && !stops.stopped();
  };
  TERN_TRY_ASSIGN(result.raw, generate(runner, sequence, prompt, generate_params));
  if (decoder && !stops.stopped()) {
    const std::string rest = stops.push(decoder->finish());
    const std::string held = rest + stops.finish();
    if (!held.empty()) emit(-1, held);
  }
  if (stops.stopped() && result.raw.finish == FinishReason::kCallback)
    result.raw.finish = FinishReason::kStop;
  return result;
}

}  // namespace tern
