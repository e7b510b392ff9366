// SPDX-License-Identifier: MIT
// A chat template: the Jinja program a model ships to turn messages into its prompt text. Rendering follows
// Hugging Face transformers (jinja2's immutable sandbox, trim_blocks, lstrip_blocks, loop controls, the
// generation tag, its tojson) and is bounded, since a template comes with a downloaded file. What is left out
// on purpose: include, import, extends, block, autoescape; the filters pprint, random, striptags, urlize,
// wordwrap, xmlattr; integers beyond 64 bits; printing what Python would print as an address. Each of these
// is an error, never another text.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "text/jinja/runtime.h"

namespace tern {

namespace jinja {
struct Template;
}

using ChatLimits = jinja::Limits;  // defaults: 10 M steps, 256 MiB of values, 32 MiB of output, depth 200
using ChatTime = jinja::LocalTime;

/// The local wall-clock time now; what strftime_now shows unless a time is given.
ChatTime local_chat_time();

/// What a chat is rendered from. The JSON values are borrowed for the call.
struct ChatInput {
  const nlohmann::ordered_json* messages = nullptr;  // array of {"role", "content", ...}; required
  const nlohmann::ordered_json* tools = nullptr;     // array, or null for none
  const nlohmann::ordered_json* extra = nullptr;  // object of further variables (enable_thinking...), or null
  bool add_generation_prompt = true;              // end with the words after which the assistant speaks
  std::string_view bos_token = {}, eos_token = {};  // texts of the special tokens; may be empty
  std::optional<ChatTime> now = {};                 // default: local_chat_time()
};

class ChatTemplate {
 public:
  /// Parses `source` (any bytes) and finds out what the template does by rendering small conversations.
  /// Errors: one line with the line number of the template. Threads: pure.
  static Result<ChatTemplate> parse(std::string_view source);

  /// The prompt text. Message contents given as lists of text parts are joined by newlines where the template
  /// wants strings, and strings are made a list of one part where it wants parts. Errors: one line; what the
  /// template refuses (raise_exception), what it does wrong, the limit it exceeds, content that is not text.
  /// Threads: const, any number at once.
  Result<std::string> render(const ChatInput& input, const ChatLimits& limits = {}) const;

  /// Renders with exactly the members of the object `variables` as variables: no defaults, no adaptation.
  Result<std::string> render_variables(const nlohmann::ordered_json& variables, const ChatTime& now,
                                       const ChatLimits& limits = {}) const;

  /// True if the rendered text begins with the bos_token it was given, so that the tokenizer must not add
  /// another.
  bool emits_bos() const { return emits_bos_; }
  /// True if a system message changes the prompt instead of being refused or ignored.
  bool accepts_system() const { return accepts_system_; }
  /// True if contents may be lists of parts; `wants_parts`: they must be.
  bool accepts_parts() const { return accepts_parts_; }
  bool wants_parts() const { return wants_parts_; }
  /// True if the names of the tools reach the prompt.
  bool accepts_tools() const { return accepts_tools_; }

  const std::string& source() const { return source_; }

 private:
  ChatTemplate() = default;
  void probe();

  std::string source_;
  std::shared_ptr<const jinja::Template> template_;
  bool emits_bos_ = false, accepts_system_ = false, accepts_parts_ = false, wants_parts_ = false,
       accepts_tools_ = false;
};

}  // namespace tern
