// SPDX-License-Identifier: MIT
// Addresses, header fields and refusals: what a stranger's server may say, and what we make of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/headers.h"
#include "hub/hub_client.h"
#include "hub/hub_errors.h"
#include "hub/url.h"

namespace tern::hub {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Url, HubAddress) {
  EXPECT_EQ(*normalize_hub_address("https://huggingface.co/"), "https://huggingface.co");
  EXPECT_EQ(*normalize_hub_address("http://127.0.0.1:8080/mirror//"), "http://127.0.0.1:8080/mirror");
  for (const char* bad : {"", "huggingface.co", "ftp://x", "file:///etc", "https://", "https://u:p@x",
                          "https://x/?a=1", "https://x/#f", "https://x\ny", "https://x y"}) {
    const auto result = normalize_hub_address(bad);
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_EQ(result.error().code, ErrorCode::kUsage);
    EXPECT_THAT(result.error().message, Not(HasSubstr("\n")));
  }
}

TEST(Url, OriginIsSchemeHostAndPort) {
  EXPECT_EQ(*origin_of("https://Hub.example/a?b"), (Origin{"https", "hub.example", "443"}));
  EXPECT_EQ(*origin_of("https://hub.example:443/"), *origin_of("https://hub.example/x"));
  EXPECT_NE(*origin_of("http://hub.example/"), *origin_of("https://hub.example/"));
  EXPECT_NE(*origin_of("https://hub.example:444/"), *origin_of("https://hub.example/"));
  EXPECT_NE(*origin_of("https://hub.example.evil/"), *origin_of("https://hub.example/"));
  EXPECT_TRUE(origin_of("http://127.9.9.9/")->is_loopback());
  EXPECT_TRUE(origin_of("http://[::1]:80/")->is_loopback());
  EXPECT_TRUE(origin_of("http://LOCALHOST/")->is_loopback());
  EXPECT_FALSE(origin_of("http://127.evil.example/")->is_loopback());
  EXPECT_FALSE(origin_of("http://10.0.0.1/")->is_loopback());
}

TEST(Url, Redirects) {
  const std::string base = "https://hub.example/a/b?c=d";
  EXPECT_EQ(*resolve_redirect(base, "/x"), "https://hub.example/x");
  EXPECT_EQ(*resolve_redirect(base, "x"), "https://hub.example/a/x");
  EXPECT_EQ(*resolve_redirect(base, "//other.example/y"), "https://other.example/y");
  EXPECT_EQ(*resolve_redirect("http://h/", "https://h/z"), "https://h/z");
  for (const char* bad : {"", "file:///etc/passwd", "gopher://x/", "https://u@h/", "http://hub.example/x",
                          "\x01", "https://"}) {
    EXPECT_FALSE(resolve_redirect(base, bad).ok()) << bad;
  }
  EXPECT_THAT(resolve_redirect(base, "http://h/x?sig=secret").error().message, Not(HasSubstr("secret")));
}

TEST(Url, PercentEncodingIsUndone) {
  EXPECT_EQ(percent_encode("a/b c%", true), "a/b%20c%25");
  EXPECT_EQ(percent_encode("a/b", false), "a%2Fb");
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percent_decode(percent_encode(all, false)), all);
  EXPECT_EQ(percent_decode(percent_encode(all, true)), all);
}

TEST(Headers, LinesAndStatus) {
  Headers head;
  head.add_line("HTTP/1.1 100 Continue\r\n");
  head.add_line("X-Old: 1\r\n");
  head.add_line("HTTP/2 206\r\n");
  head.add_line("Content-Length:  42 \r\n");
  head.add_line("content-length: 43\r\n");
  head.add_line("no colon\r\n");
  EXPECT_EQ(head.status(), 206);
  EXPECT_EQ(head.content_length(), 42u);
  EXPECT_FALSE(head.find("x-old"));
  head.add_line("HTTP/1.1 abc\r\n");
  EXPECT_EQ(head.status(), 0);
  for (int i = 0; i < 1000; ++i) head.add_line(fmt::format("f{}: x", i));
  EXPECT_TRUE(head.find("f199"));
  EXPECT_FALSE(head.find("f200")) << "unbounded";
}

TEST(Headers, ContentRange) {
  const auto range = parse_content_range("bytes 5-9/10");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 9u);
  EXPECT_EQ(range->total, 10u);
  EXPECT_FALSE(parse_content_range("bytes 0-0/*")->total);
  for (const char* bad :
       {"", "bytes", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "bytes -5/10", "bytes 5-/10",
        "items 5-9/10", "bytes 5-9", "bytes 5-9/", "bytes 5-9/x", "bytes 99999999999999999999-9/10"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

TEST(Headers, EntityTags) {
  EXPECT_EQ(*parse_entity_tag("\"abc\""), (EntityTag{"abc", false}));
  EXPECT_EQ(*parse_entity_tag("W/\"abc\""), (EntityTag{"abc", true}));
  EXPECT_EQ(*parse_entity_tag(" abc "), (EntityTag{"abc", false}));
  for (const char* bad : {"", "\"\"", "\"a\"b\"", "\"a b\"", "\"a\r\nX: y\"", "\""})
    EXPECT_FALSE(parse_entity_tag(bad)) << bad;
}

TEST(Headers, RetryAfter) {
  EXPECT_EQ(parse_retry_after("120", 0), 120.0);
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 100), 20.0);
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 1000), 0.0);
  for (const char* bad : {"", "-5", "1.5", "soon", "99999999999999999999"})
    EXPECT_FALSE(parse_retry_after(bad, 0)) << bad;
}

TEST(Headers, NextLink) {
  EXPECT_EQ(parse_next_link("<https://h/a?cursor=x>; rel=\"next\""), "https://h/a?cursor=x");
  EXPECT_EQ(parse_next_link("<p>; rel=\"prev\", <n>; rel=next"), "n");
  EXPECT_FALSE(parse_next_link("<p>; rel=\"prev\""));
  EXPECT_FALSE(parse_next_link("<unclosed"));
  EXPECT_FALSE(parse_next_link(""));
}

TEST(Token, IsOneWord) {
  EXPECT_EQ(*parse_token("hf_abc\r\n"), "hf_abc");
  for (const std::string& bad : {std::string(), std::string("\n"), std::string("a b"),
                                 std::string("a\nX-Evil: b"), std::string(2000, 'a')}) {
    const auto token = parse_token(bad);
    ASSERT_FALSE(token.ok());
    EXPECT_THAT(token.error().message, Not(HasSubstr("Evil")));
  }
}

TEST(Token, NeverTravelsInTheClear) {
  const auto make = [](const char* hub) {
    HubOptions options;
    options.hub = hub;
    options.token = "hf_x";
    return Hub::create(options);
  };
  EXPECT_TRUE(make("https://hub.example").ok());
  EXPECT_TRUE(make("http://127.0.0.1:80").ok());
  EXPECT_FALSE(make("http://hub.example").ok());
}

HttpOutcome refusal(int status, std::initializer_list<const char*> lines, const std::string& body = "") {
  HttpOutcome outcome;
  outcome.head.add_line(fmt::format("HTTP/1.1 {} x", status));
  for (const char* line : lines) outcome.head.add_line(line);
  outcome.status =
      make_error(status == 404 ? ErrorCode::kNotFound : ErrorCode::kIo, "url: HTTP status {}", status);
  outcome.error_body = body;
  return outcome;
}

TEST(Refusals, SayWhatToDo) {
  const HubContext anonymous{"https://h", "o/r", "main", false}, known{"https://h", "o/r", "main", true};
  const auto text = [](const HttpOutcome& outcome, const HubContext& context, const char* file = "") {
    return explain(outcome, context, file).message;
  };
  EXPECT_THAT(text(refusal(401, {"X-Error-Code: GatedRepo"}), anonymous), HasSubstr("https://h/o/r"));
  EXPECT_THAT(text(refusal(401, {"X-Error-Code: GatedRepo"}), anonymous), HasSubstr("HF_TOKEN"));
  EXPECT_THAT(text(refusal(403, {"X-Error-Code: GatedRepo"}), known), HasSubstr("no access yet"));
  EXPECT_THAT(text(refusal(401, {"X-Error-Code: RepoNotFound"}), anonymous),
              HasSubstr("does not exist, or is private"));
  EXPECT_THAT(text(refusal(401, {}), known), HasSubstr("not accepted"));
  EXPECT_THAT(text(refusal(403, {}), known), HasSubstr("has no access"));
  EXPECT_THAT(text(refusal(404, {"X-Error-Code: RevisionNotFound"}), known), HasSubstr("revision 'main'"));
  EXPECT_THAT(text(refusal(404, {"X-Error-Code: EntryNotFound"}), known, "f.gguf"), HasSubstr("'f.gguf'"));
  EXPECT_THAT(text(refusal(404, {}), known), HasSubstr("--hub"));
  EXPECT_THAT(text(refusal(429, {}), anonymous), HasSubstr("HF_TOKEN"));
  EXPECT_THAT(text(refusal(500, {}, "{\"error\":\"two\\nlines\"}"), known), HasSubstr("two\\x0alines"));
}

}  // namespace
}  // namespace tern::hub
