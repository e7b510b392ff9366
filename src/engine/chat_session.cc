// SPDX-License-Identifier: MIT
#include "engine/chat_session.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/mapped_file.h"
#include "engine/model_chat.h"

namespace tern {

namespace {

using Json = nlohmann::ordered_json;

// Room that a turn must leave for its answer, at most a quarter of the context.
constexpr int64_t kAnswerRoom = 256;

Json to_json(const std::vector<ChatMessage>& messages) {
  Json array = Json::array();
  for (const ChatMessage& message : messages)
    array.push_back({{"role", message.role}, {"content", message.content}});
  return array;
}

// A Unicode noncharacter, which no text should contain: marks where a control token's text in a message was
// cut.
constexpr std::string_view kCut = "\xEF\xB7\x90";  // U+FDD0

/// `content` with a cut inside every control token's text, so that what a user writes never becomes a control
/// token.
std::string defuse(const Tokenizer& tokenizer, std::string content) {
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_control(static_cast<int32_t>(id))) continue;
    const std::string_view text = tokenizer.token_bytes(static_cast<int32_t>(id), true);
    if (text.size() < 2) continue;
    for (size_t at = content.find(text); at != std::string::npos; at = content.find(text, at + kCut.size())) {
      content.insert(at + 1, kCut);
    }
  }
  return content;
}

bool starts_with_system(const std::vector<ChatMessage>& messages) {
  return !messages.empty() && messages[0].role == "system";
}

}  // namespace

Result<std::string> ChatSession::render() const { return render_messages(messages_); }

Result<std::string> ChatSession::render_messages(const std::vector<ChatMessage>& list) const {
  const Json messages = to_json(list);
  ChatInput input;
  input.messages = &messages;
  set_special_texts(*tokenizer_, &input);
  return template_.render(input);
}

Result<std::vector<int32_t>> ChatSession::prompt_tokens() const {
  std::vector<ChatMessage> defused = messages_;
  for (ChatMessage& message : defused) message.content = defuse(*tokenizer_, std::move(message.content));
  TERN_TRY_ASSIGN(const std::string text, render_messages(defused));

  // The template's own markers are parsed; at the cuts the text is encoded in parts, so that no marker forms
  // there.
  EncodeOptions options;
  options.parse_special = true;
  options.add_eos = false;
  if (template_.emits_bos()) options.add_bos = false;
  std::vector<int32_t> tokens;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(kCut, begin), text.size());
    const auto part = tokenizer_->encode(std::string_view(text).substr(begin, end - begin), options);
    tokens.insert(tokens.end(), part.begin(), part.end());
    options.add_bos = false;
    options.at_text_start = false;
    begin = end + kCut.size();
  }
  return tokens;
}

Result<std::vector<int32_t>> ChatSession::fitting_prompt() {
  const int64_t room = std::min(kAnswerRoom, runner_.context() / 4);
  while (true) {
    TERN_TRY_ASSIGN(std::vector<int32_t> tokens, prompt_tokens());
    const auto count = static_cast<int64_t>(tokens.size());
    if (count + room <= runner_.context()) return tokens;
    const size_t first = starts_with_system(messages_) ? 1 : 0;
    if (when_full_ == WhenFull::kStop || messages_.size() < first + 3) {
      return make_error(
          ErrorCode::kOutOfMemory,
          "the conversation has {} tokens, the context holds {} with room for an answer: forget the oldest "
          "turns (--context-full drop), start anew, or make the context larger (-c)",
          count, runner_.context() - room);
    }
    messages_.erase(messages_.begin() + static_cast<int64_t>(first),
                    messages_.begin() + static_cast<int64_t>(first) + 2);
    dropped_ += 2;
  }
}

Result<TextResult> ChatSession::answer(const TextParams& params) {
  TERN_TRY_ASSIGN(fed_prompt_, fitting_prompt());
  TERN_TRY_ASSIGN(TextResult result, generate_text(runner_, sequence_, tokenizer_, fed_prompt_, params));
  messages_.push_back({"assistant", result.text});
  return result;
}

namespace {

/// Puts a conversation back as it was unless keep() is called: also where a callback throws through us.
class Restore {
 public:
  explicit Restore(std::vector<ChatMessage>& messages) : messages_(messages), before_(messages) {}
  ~Restore() {
    if (!is_kept_) messages_.swap(before_);
  }
  void keep() { is_kept_ = true; }

 private:
  std::vector<ChatMessage>& messages_;
  std::vector<ChatMessage> before_;
  bool is_kept_ = false;
};

}  // namespace

Result<TextResult> ChatSession::ask(std::string_view text, const TextParams& params) {
  Restore restore(messages_);
  messages_.push_back({"user", std::string(text)});
  auto result = answer(params);
  if (result.ok()) restore.keep();
  return result;
}

Result<TextResult> ChatSession::retry(const TextParams& params) {
  if (messages_.empty() || messages_.back().role != "assistant") {
    return make_error(ErrorCode::kUsage, "there is no answer to try again");
  }
  Restore restore(messages_);
  messages_.pop_back();
  auto result = answer(params);
  if (result.ok()) restore.keep();
  return result;
}

Status ChatSession::set_system(std::string_view text) {
  if (!text.empty() && !template_.accepts_system()) {
    return make_error(ErrorCode::kUnsupported,
                      "this model's chat template has no place for a system message");
  }
  if (starts_with_system(messages_)) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {"system", std::string(text)});
  return {};
}

void ChatSession::reset() {
  messages_.resize(starts_with_system(messages_) ? 1 : 0);
  sequence_.truncate(0);
}

Status ChatSession::set_messages(std::vector<ChatMessage> messages) {
  const size_t first = starts_with_system(messages) ? 1 : 0;
  for (size_t i = first; i < messages.size(); ++i) {
    const std::string_view expected = (i - first) % 2 == 0 ? "user" : "assistant";
    if (messages[i].role == expected) continue;
    return make_error(ErrorCode::kUsage, "message {} has role '{}', expected '{}'", i, messages[i].role,
                      expected);
  }
  if ((messages.size() - first) % 2 != 0) {
    return make_error(ErrorCode::kUsage,
                      "the last message is a question: the conversation must end with an answer");
  }
  if (first == 1 && !template_.accepts_system()) {
    return make_error(ErrorCode::kUnsupported,
                      "this model's chat template has no place for a system message");
  }
  messages_ = std::move(messages);
  return {};
}

Status save_conversation(const std::string& path, const std::vector<ChatMessage>& messages) {
  const std::string text =
      Json{{"messages", to_json(messages)}}.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_atomically(path, text);
}

Result<std::vector<ChatMessage>> load_conversation(const std::string& path) {
  TERN_TRY_ASSIGN(const std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  const auto bytes = file->bytes();
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  // Three levels is what the format has; deeper nesting is refused before it can exhaust the stack.
  const auto depth_limit = [](int depth, Json::parse_event_t, Json&) { return depth <= 4; };
  const Json json = Json::parse(text, text + bytes.size(), depth_limit, false);
  const auto bad = [&path](std::string_view what) {
    return make_error(ErrorCode::kCorrupt, "'{}' is not a saved conversation: {}", path, what);
  };
  if (!json.is_object() || !json.contains("messages") || !json["messages"].is_array()) {
    return bad("expected {\"messages\": [...]}");
  }
  std::vector<ChatMessage> messages;
  for (const Json& item : json["messages"]) {
    if (!item.is_object() || !item.contains("role") || !item.contains("content") ||
        !item["role"].is_string() || !item["content"].is_string()) {
      return bad("a message needs the strings 'role' and 'content'");
    }
    messages.push_back({item["role"].get<std::string>(), item["content"].get<std::string>()});
  }
  return messages;
}

}  // namespace tern
