// SPDX-License-Identifier: MIT
// A conversation: messages, their rendering by the model's template, and the KV cache they share from turn to
// turn. One thread at a time.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/generate_text.h"
#include "text/chat_template.h"

namespace tern {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

/// What to do when a conversation no longer fits into the context.
enum class WhenFull : uint8_t {
  kStop,        // refuse the turn with a message that names the choices
  kDropOldest,  // forget the oldest question and answer, as often as needed; the system message stays
};

class ChatSession {
 public:
  ChatSession(Runner& runner, std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat_template)
      : runner_(runner),
        tokenizer_(std::move(tokenizer)),
        template_(std::move(chat_template)),
        sequence_(runner.new_sequence()) {}

  /// Adds the user's message and answers it. The answer is added too, also a part of one that was cancelled.
  /// After an error the conversation is as before. `params.generate.max_tokens` < 0: as much as fits.
  Result<TextResult> ask(std::string_view text, const TextParams& params);
  /// Forgets the last answer and gives another one. Errors: kUsage where there is none.
  Result<TextResult> retry(const TextParams& params);

  /// Replaces the system message ("": none) and forgets nothing else. Errors: kUnsupported where the template
  /// has no place for one.
  Status set_system(std::string_view text);
  /// Forgets all messages but the system one.
  void reset();

  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Replaces the conversation: pairs of user and assistant after an optional system message. Errors: kUsage
  /// for other orders, kUnsupported for a system message that the template has no place for.
  Status set_messages(std::vector<ChatMessage> messages);

  void set_when_full(WhenFull when_full) { when_full_ = when_full; }
  WhenFull when_full() const { return when_full_; }
  /// Messages forgotten so far by kDropOldest.
  int64_t dropped_messages() const { return dropped_; }
  /// The prompt of the last answer, as it was fed.
  std::span<const int32_t> fed_prompt() const { return fed_prompt_; }

  /// The text that the model would be given now, and its tokens. The texts of control tokens in messages stay
  /// text; those of the template become tokens.
  Result<std::string> render() const;
  Result<std::vector<int32_t>> prompt_tokens() const;

 private:
  Result<TextResult> answer(const TextParams& params);
  Result<std::string> render_messages(const std::vector<ChatMessage>& list) const;
  Result<std::vector<int32_t>> fitting_prompt();

  Runner& runner_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
  Sequence sequence_;
  std::vector<ChatMessage> messages_;
  std::vector<int32_t> fed_prompt_;
  WhenFull when_full_ = WhenFull::kStop;
  int64_t dropped_ = 0;
};

/// Conversations as files: {"messages": [{"role", "content"}, ...]}. Saving is atomic.
Status save_conversation(const std::string& path, const std::vector<ChatMessage>& messages);
Result<std::vector<ChatMessage>> load_conversation(const std::string& path);

}  // namespace tern
