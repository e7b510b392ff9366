// SPDX-License-Identifier: MIT
// Arbitrary bytes as a chat template, rendered with small limits on fixed conversations: no crash, no hang,
// and the same result twice.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "text/chat_template.h"

namespace {

using Json = nlohmann::ordered_json;

const Json& conversation() {
  static const Json variables = Json::parse(R"({
    "messages": [{"role": "system", "content": " be {brief} "},
                 {"role": "user", "content": "h\u00e9llo \ud83d\ude00\n\nworld"},
                 {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5, "b": [true, null]}}}]},
                 {"role": "tool", "content": "42", "name": "f"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true, "x": -7, "y": 9223372036854775807, "z": 0.5})");
  return variables;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto chat = tern::ChatTemplate::parse({reinterpret_cast<const char*>(data), size});
  if (!chat.ok()) return 0;
  const tern::ChatLimits limits{
      .steps = 20'000, .memory_bytes = 4 << 20, .output_bytes = 1 << 18, .depth = 60};
  const tern::ChatTime now{2024, 7, 26, 12, 34, 56};
  const auto first = chat->render_variables(conversation(), now, limits);
  const auto second = chat->render_variables(conversation(), now, limits);
  const bool same = first.ok() == second.ok() &&
                    (first.ok() ? *first == *second : first.error().message == second.error().message);
  if (!same || (first.ok() && first->size() > limits.output_bytes)) std::abort();
  if (!first.ok() && first.error().message.find('\n') != std::string::npos) std::abort();
  return 0;
}
