// SPDX-License-Identifier: MIT
#include "engine/generate_text.h"

#include "text/stream_decoder.h"

namespace tern {

Result<TextResult> generate_text(Runner& runner, Sequence& sequence,
                                 std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> prompt,
                                 const TextParams& params) {
  TERN_TRY_ASSIGN(std::shared_ptr<const StopSet> stop_set, StopSet::create(params.stops));
  StopStrings stops(std::move(stop_set));
  StreamDecoder decoder(tokenizer, {.render_special = params.render_special, .at_text_start = false});
  TextResult result;
  auto emit = [&](const std::string& text) {
    if (text.empty()) return true;
    result.text += text;
    return !params.on_text || params.on_text(text);
  };

  GenerateParams generate_params = params.generate;
  if (!params.ignore_end) {
    const auto ends = tokenizer->end_ids();
    generate_params.stop_ids.insert(generate_params.stop_ids.end(), ends.begin(), ends.end());
  }
  generate_params.on_token = [&](int32_t token) {
    const bool goes_on = emit(stops.push(decoder.push(token)));
    return goes_on && !stops.stopped();
  };
  TERN_TRY_ASSIGN(result.raw, generate(runner, sequence, prompt, generate_params));
  if (!stops.stopped()) {
    emit(stops.push(decoder.finish()));
    emit(stops.finish());
  }
  if (stops.stopped() && result.raw.finish == FinishReason::kCallback)
    result.raw.finish = FinishReason::kStop;
  return result;
}

}  // namespace tern
