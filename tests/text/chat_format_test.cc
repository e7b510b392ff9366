// SPDX-License-Identifier: MIT
// Which template a model gets, what the built-in ones write, and how contents are adapted.
#include "text/chat_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/test_data.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ChatFormatFacts facts_with(std::set<std::string, std::less<>> tokens) {
  ChatFormatFacts facts;
  facts.has_token = [tokens = std::move(tokens)](std::string_view text) { return tokens.contains(text); };
  return facts;
}

ChatFormatFacts bitnet_2b() {
  auto facts = facts_with({"<|eot_id|>", "<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>"});
  facts.architecture = "bitnet-b1.58";
  facts.vocab_size = 128256;
  facts.hidden_size = 2560;
  facts.num_layers = 30;
  return facts;
}

// Written after the description of the published file, not copied from it.
constexpr char kObsolete[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ 'Human: ' + m.content + '\n\nBITNETAssistant: ' }}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}";

const Json kChat =
    Json::parse(R"([{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi"},
                                   {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye\n"}])");

std::string render(const ChatTemplate& chat, const Json& messages, bool prompt = true) {
  const auto text = chat.render(
      {.messages = &messages, .add_generation_prompt = prompt, .bos_token = "<B>", .eos_token = "<E>"});
  return text.ok() ? *text : "error: " + text.error().message;
}

TEST(ChatFormat, ObsoleteTemplateOf2B4TIsReplaced) {
  for (const char* architecture : {"bitnet-b1.58", "bitnet-25"}) {
    auto facts = bitnet_2b();
    facts.architecture = architecture;
    facts.file_template = kObsolete;
    const auto format = resolve_chat_format(facts, "");
    ASSERT_TRUE(format.ok()) << format.error().message;
    EXPECT_EQ(format->name, "bitnet");
    EXPECT_EQ(render(*format->chat_template, kChat),
              "System: Be brief.<|eot_id|>User: Hi<|eot_id|>Assistant: Hello<|eot_id|>User: "
              "Bye<|eot_id|>Assistant: ");
    EXPECT_EQ(render(*format->chat_template, kChat, false),
              "System: Be brief.<|eot_id|>User: Hi<|eot_id|>Assistant: Hello<|eot_id|>User: Bye<|eot_id|>");
    EXPECT_THAT(format->stops, ElementsAre("<|eot_id|>", "<|end_of_text|>"));
    EXPECT_FALSE(format->chat_template->emits_bos());
    ASSERT_EQ(format->doubts.size(), 1u);
    EXPECT_THAT(format->doubts[0], HasSubstr("obsolete"));
  }
}

TEST(ChatFormat, MissingTemplateOf2B4TIsGiven) {
  const auto format = resolve_chat_format(bitnet_2b(), "");
  ASSERT_TRUE(format.ok());
  EXPECT_EQ(format->name, "bitnet");
  EXPECT_THAT(format->doubts[0], HasSubstr("has none"));
}

TEST(ChatFormat, OtherTemplatesOf2B4TAreKept) {
  auto facts = bitnet_2b();
  facts.file_template = "{% for m in messages %}{{ m.content }}{% endfor %}";
  const auto format = resolve_chat_format(facts, "");
  ASSERT_TRUE(format.ok());
  EXPECT_EQ(format->chat_template->source(), *facts.file_template);
  EXPECT_THAT(format->doubts, IsEmpty());
}

TEST(ChatFormat, OnlyTheRealShapeIsTakenFor2B4T) {
  for (int change = 0; change < 4; ++change) {
    auto facts = bitnet_2b();
    if (change == 0) facts.architecture = "llama";
    if (change == 1) facts.vocab_size = 128000;
    if (change == 2) facts.hidden_size = 4096;
    if (change == 3) facts.has_token = [](std::string_view) { return false; };
    const auto format = resolve_chat_format(facts, "");
    ASSERT_TRUE(format.ok());
    EXPECT_FALSE(format->chat_template.has_value()) << change;
    facts.file_template = kObsolete;  // whose model it is is unknown: its own template stays
    EXPECT_EQ(resolve_chat_format(facts, "")->chat_template->source(), kObsolete) << change;
  }
}

TEST(ChatFormat, BaseModelSaysSo) {
  auto facts = facts_with({});
  facts.architecture = "llama";
  for (const bool is_empty : {false, true}) {
    if (is_empty) facts.file_template = "";
    const auto format = resolve_chat_format(facts, "");
    ASSERT_TRUE(format.ok());
    EXPECT_FALSE(format->chat_template.has_value());
    EXPECT_THAT(format->no_chat_reason, HasSubstr("base model"));
    EXPECT_THAT(format->no_chat_reason, HasSubstr("--chat-template"));
    EXPECT_EQ(format->no_chat_reason.find('\n'), std::string::npos);
  }
}

TEST(ChatFormat, NamedTemplatesWinOverTheFile) {
  auto facts = bitnet_2b();
  facts.file_template = kObsolete;
  const auto format = resolve_chat_format(facts, "llama-3");
  ASSERT_TRUE(format.ok());
  EXPECT_EQ(render(*format->chat_template, Json::parse(R"([{"role": "user", "content": " Hi "}])")),
            "<B><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_"
            "header_id|>\n\n");
  EXPECT_TRUE(format->chat_template->emits_bos());
  EXPECT_THAT(format->doubts, IsEmpty());
}

TEST(ChatFormat, ForeignTokensAreDoubted) {
  const auto format = resolve_chat_format(bitnet_2b(), "chatml");
  ASSERT_TRUE(format.ok());
  EXPECT_THAT(format->stops, IsEmpty());
  ASSERT_EQ(format->doubts.size(), 2u);
  EXPECT_THAT(format->doubts[0], HasSubstr("<|im_start|>"));
}

TEST(ChatFormat, EveryBuiltinRendersAndKnowsSystemMessages) {
  const auto facts = facts_with({});
  for (const auto& builtin : builtin_chat_templates()) {
    const auto format = resolve_chat_format(facts, builtin.name);
    ASSERT_TRUE(format.ok()) << builtin.name << ": " << format.error().message;
    EXPECT_TRUE(format->chat_template->accepts_system()) << builtin.name;
    EXPECT_FALSE(format->chat_template->accepts_parts()) << builtin.name;
    EXPECT_EQ(format->chat_template->emits_bos(), builtin.name == "llama-3") << builtin.name;
    EXPECT_THAT(render(*format->chat_template, kChat), HasSubstr("Hello")) << builtin.name;
  }
}

TEST(ChatFormat, BuiltinTexts) {
  const Json user = Json::parse(R"([{"role": "user", "content": "Hi"}])");
  const auto text = [&](const char* name) {
    return render(*resolve_chat_format(facts_with({}), name)->chat_template, user);
  };
  EXPECT_EQ(text("bitnet-no-space"), "User: Hi<|eot_id|>Assistant:");
  EXPECT_EQ(text("chatml"), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text("falcon3"), "<|user|>\nHi\n<|assistant|>\n");
  EXPECT_EQ(text("zephyr"), "<|user|>\nHi<E>\n<|assistant|>\n");
  EXPECT_EQ(text("plain"), "User: Hi\nAssistant:");
}

// The built-ins agree with the published templates of their families.
TEST(ChatFormat, BuiltinsEqualPublishedTemplates) {
  TERN_REQUIRE_DATA(folder, "templates/jinja");
  const std::pair<const char*, const char*> pairs[] = {{"bitnet", "bitnet-b1.58-2B-4T.jinja"},
                                                       {"llama-3", "hf-Llama3-8B-1.58-100B-tokens.jinja"},
                                                       {"falcon3", "falcon3-7b-instruct.jinja"}};
  for (const auto& [name, file] : pairs) {
    std::ifstream stream(folder / file, std::ios::binary);
    std::stringstream source;
    source << stream.rdbuf();
    const auto published = ChatTemplate::parse(source.str());
    ASSERT_TRUE(published.ok()) << published.error().message;
    const auto builtin = resolve_chat_format(facts_with({}), name);
    for (size_t count = 1; count <= kChat.size(); ++count) {
      const Json messages(kChat.begin(), kChat.begin() + static_cast<std::ptrdiff_t>(count));
      EXPECT_EQ(render(*builtin->chat_template, messages), render(*published, messages))
          << name << " " << count;
    }
  }
}

TEST(ChatFormat, TemplateFiles) {
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("tern_template_{}.jinja", ::getpid());
  std::ofstream(path) << "{{ messages[0].content }}!";
  const auto format = resolve_chat_format(facts_with({}), path.string());
  ASSERT_TRUE(format.ok()) << format.error().message;
  EXPECT_EQ(render(*format->chat_template, kChat), " Be brief. !");
  std::ofstream(path) << "line one\n{{ nope";
  const auto broken = resolve_chat_format(facts_with({}), path.string());
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.error().message, HasSubstr("line 2"));
  std::filesystem::remove(path);
  const auto missing = resolve_chat_format(facts_with({}), "no-such-template");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kUsage);
  EXPECT_THAT(missing.error().message, HasSubstr("llama-3"));
}

TEST(ChatContents, PartsAreJoinedOrKept) {
  const Json parts = Json::parse(
      R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])");
  const Json plain = Json::parse(R"([{"role": "user", "content": "a"}])");
  const auto strings = ChatTemplate::parse("{{ messages[0].content }}");
  EXPECT_FALSE(strings->accepts_parts());
  EXPECT_EQ(render(*strings, parts), "a\nb");
  const auto both = ChatTemplate::parse(
      "{% set c = messages[0].content %}{% if c is string %}{{ c }}{% else %}{% for p in c %}[{{ p.text "
      "}}]{% endfor %}{% endif %}");
  EXPECT_TRUE(both->accepts_parts());
  EXPECT_FALSE(both->wants_parts());
  EXPECT_EQ(render(*both, parts), "[a][b]");
  EXPECT_EQ(render(*both, plain), "a");
  const auto only = ChatTemplate::parse("{% for p in messages[0].content %}{{ p.text }}{% endfor %}");
  EXPECT_TRUE(only->wants_parts());
  EXPECT_EQ(render(*only, plain), "a");
}

TEST(ChatContents, WrongInputsAreRefused) {
  const auto chat = ChatTemplate::parse("{{ messages[0].content }}");
  const auto error_of = [&](const char* messages) {
    const Json json = Json::parse(messages);
    const auto text = chat->render({.messages = &json});
    return text.ok() ? "" : text.error().message;
  };
  EXPECT_THAT(error_of("{}"), HasSubstr("array"));
  EXPECT_THAT(error_of("[5]"), HasSubstr("messages[0]"));
  EXPECT_THAT(error_of(R"([{"content": "x"}])"), HasSubstr("role"));
  EXPECT_THAT(error_of(R"([{"role": 1}])"), HasSubstr("role"));
  EXPECT_THAT(error_of(R"([{"role": "user", "content": 5}])"), HasSubstr("messages[0].content"));
  EXPECT_THAT(error_of(R"([{"role": "user", "content": [{"type": "image_url"}]}])"), HasSubstr("content[0]"));
  EXPECT_FALSE(chat->render({}).ok());
  EXPECT_FALSE(chat->render_variables(Json(), {}).ok());
}

TEST(ChatContents, ToolsAndExtraVariablesReachTheTemplate) {
  const auto chat =
      ChatTemplate::parse("{{ tools | tojson }}{{ documents }}{{ enable_thinking }}{{ bos_token }}");
  const Json extra = {{"enable_thinking", false}};
  const Json tools = Json::parse(R"([{"name": "f"}])");
  EXPECT_EQ(*chat->render({.messages = &kChat, .tools = &tools, .extra = &extra, .bos_token = "<B>"}),
            "[{\"name\": \"f\"}]NoneFalse<B>");
  EXPECT_TRUE(ChatTemplate::parse("{{ tools | tojson }}")->accepts_tools());
  EXPECT_FALSE(ChatTemplate::parse("{{ messages }}")->accepts_tools());
}

}  // namespace
}  // namespace tern
