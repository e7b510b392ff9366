// SPDX-License-Identifier: MIT
// The public face of the Jinja subset: variables as Hugging Face gives them, contents in the shape a template
// wants.
#include "text/chat_template.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "text/jinja/from_json.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;

// Words no template contains, to recognise in a rendered text what came from the input.
constexpr std::string_view kUserMark = "\x07user-text\x07", kSystemMark = "\x07system-text\x07",
                           kBosMark =
                               "\x07"
                               "bos\x07";
constexpr std::string_view kToolMark = "tern_probe_tool";

// A probe is three short messages; no real template comes near these bounds, and parse() stays quick on
// hostile ones.
constexpr ChatLimits kProbeLimits = {
    .steps = 200'000, .memory_bytes = uint64_t{8} << 20, .output_bytes = uint64_t{1} << 20, .depth = 50};

Json text_parts(const std::string& text) { return Json::array({{{"type", "text"}, {"text", text}}}); }

bool has(const Result<std::string>& text, std::string_view part) {
  return text.ok() && text->find(part) != std::string::npos;
}

// The text of a list of parts; an error names the part that is no text.
Result<std::string> joined_parts(const Json& parts, size_t message) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Json& part = parts[i];
    const bool is_text =
        part.is_string() || (part.is_object() && part.contains("text") && part["text"].is_string());
    if (!is_text) {
      return make_error(
          ErrorCode::kUnsupported,
          "messages[{}].content[{}]: expected a text part; images, audio and the like are not supported",
          message, i);
    }
    if (i > 0) out += '\n';
    out += part.is_string() ? part.get_ref<const std::string&>() : part["text"].get_ref<const std::string&>();
  }
  return out;
}

}  // namespace

ChatTime local_chat_time() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return {parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec};
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  ChatTemplate out;
  out.source_ = source;
  TERN_TRY_ASSIGN(out.template_, jinja::parse_template(source));
  out.probe();
  return out;
}

void ChatTemplate::probe() {
  const auto render_probe = [&](Json messages, const Json* tools, bool parts) {
    if (parts) {
      for (Json& message : messages) message["content"] = text_parts(message["content"].get<std::string>());
    }
    const Json variables = {{"messages", std::move(messages)},
                            {"tools", tools != nullptr ? *tools : Json()},
                            {"documents", Json()},
                            {"add_generation_prompt", true},
                            {"bos_token", std::string(kBosMark)},
                            {"eos_token", ""}};
    return render_variables(variables, {2024, 7, 26, 12, 0, 0}, kProbeLimits);
  };
  const Json user = {{"role", "user"}, {"content", std::string(kUserMark)}};
  const Json system = {{"role", "system"}, {"content", std::string(kSystemMark)}};
  const auto as_text = render_probe(Json::array({user}), nullptr, false);
  const auto as_parts = render_probe(Json::array({user}), nullptr, true);
  // A template for strings prints the list as Python or JSON writes it, with the key names.
  const auto clean = [](const Result<std::string>& text) {
    return has(text, kUserMark) && !has(text, "'text'") && !has(text, "\"text\"");
  };
  accepts_parts_ = clean(as_parts);
  wants_parts_ = accepts_parts_ && !has(as_text, kUserMark);
  emits_bos_ =
      (as_text.ok() && as_text->starts_with(kBosMark)) || (as_parts.ok() && as_parts->starts_with(kBosMark));
  accepts_system_ = has(render_probe(Json::array({system, user}), nullptr, wants_parts_), kSystemMark);
  const Json tools =
      Json::array({{{"type", "function"},
                    {"function",
                     {{"name", std::string(kToolMark)},
                      {"description", "probe"},
                      {"parameters", {{"type", "object"}, {"properties", Json::object()}}}}}}});
  accepts_tools_ = has(render_probe(Json::array({user}), &tools, wants_parts_), kToolMark);
}

Result<std::string> ChatTemplate::render_variables(const Json& variables, const ChatTime& now,
                                                   const ChatLimits& limits) const {
  if (!variables.is_object()) return make_error(ErrorCode::kUsage, "template variables: expected an object");
  jinja::Interpreter interpreter(*template_, limits, now);
  for (const auto& [name, json] : variables.get_ref<const Json::object_t&>()) {
    TERN_TRY_ASSIGN(const jinja::Value value, jinja::from_json(interpreter.runtime(), json, name));
    interpreter.set(name, value);
  }
  return interpreter.run();
}

Result<std::string> ChatTemplate::render(const ChatInput& input, const ChatLimits& limits) const {
  if (input.messages == nullptr || !input.messages->is_array())
    return make_error(ErrorCode::kUsage, "messages: expected an array of messages");
  Json messages = *input.messages;
  for (size_t i = 0; i < messages.size(); ++i) {
    Json& message = messages[i];
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
      return make_error(ErrorCode::kUsage, "messages[{}]: expected an object with a \"role\"", i);
    if (!message.contains("content")) continue;
    Json& content = message["content"];
    if (content.is_array()) {
      TERN_TRY_ASSIGN(std::string text, joined_parts(content, i));
      if (!accepts_parts_) content = std::move(text);
    } else if (content.is_string()) {
      if (wants_parts_) content = text_parts(content.get<std::string>());
    } else if (!content.is_null()) {
      return make_error(ErrorCode::kUsage, "messages[{}].content: expected a string or a list of text parts",
                        i);
    }
  }
  Json variables = input.extra != nullptr ? *input.extra : Json::object();
  if (!variables.is_object()) return make_error(ErrorCode::kUsage, "template variables: expected an object");
  variables["messages"] = std::move(messages);
  variables["tools"] = input.tools != nullptr ? *input.tools : Json();
  if (!variables.contains("documents")) variables["documents"] = Json();
  variables["add_generation_prompt"] = input.add_generation_prompt;
  variables["bos_token"] = input.bos_token;
  variables["eos_token"] = input.eos_token;
  return render_variables(variables, input.now.value_or(local_chat_time()), limits);
}

}  // namespace tern
