// SPDX-License-Identifier: MIT
// Hostile templates end soon with one line that names the limit; wrong ones with one line that names the
// place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "text/chat_template.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::string repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

Result<std::string> render(const std::string& source, const Json& variables = Json::object(),
                           const ChatLimits& limits = {}) {
  TERN_TRY_ASSIGN(const ChatTemplate chat, ChatTemplate::parse(source));
  return chat.render_variables(variables, {}, limits);
}

std::string error_of(const std::string& source, const Json& variables = Json::object()) {
  const auto text = render(source, variables);
  if (text.ok()) return "no error, but " + std::to_string(text->size()) + " bytes";
  EXPECT_EQ(text.error().message.find('\n'), std::string::npos) << text.error().message;
  return text.error().message;
}

struct Case {
  std::string source;
  std::string message;  // a part of the error
};

// Rendered with x = a million letters and l = [1, 2, 3].
const Case kHostile[] = {
    {"{% for i in range(10**9) %}{% endfor %}", "limit on ranges"},
    {"{% for i in range(-9223372036854775807, 9223372036854775807) %}{% endfor %}", "limit on ranges"},
    {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "limit on"},
    {"{{ 'a' * 10**9 }}", "limit on output"},
    {"{{ 'ab' * 9223372036854775807 }}", "limit on output"},
    {"{{ ([1] * 10**9) | length }}", "limit on memory"},
    {"{{ ([1] * 9223372036854775807) | length }}", "limit on memory"},
    {"{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
     "limit on output"},
    {"{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
     "limit on output"},
    {"{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
     "limit on"},
    {"{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s | replace('a', ns.s) %}{% "
     "endfor %}",
     "limit on"},
    {"{% for i in range(9999) %}{{ x }}{% endfor %}", "limit on output"},
    {"{% set ns = namespace(s=x) %}{% for i in range(9999) %}{% set ns.s = ns.s | upper %}{% endfor %}",
     "limit on"},
    {"{{ x | list | length }}{{ x | list | length }}{{ x | list | length }}", "limit on"},
    {"{{ x.split('a') | length }}{{ x.split('a') | length }}{{ x.split('a') | length }}", "limit on"},
    {"{% for i in range(99999) %}{{ ('b' * 33) in x }}{% endfor %}", "limit on work"},
    {"{% for i in range(99999) %}{{ x.count('aaaaaaaaaaaaaaaaaaab') }}{% endfor %}", "limit on work"},
    {"{% for i in range(99999) %}{{ x == x ~ '' }}{% endfor %}", "limit on"},
    {"{{ x.replace('', x) }}", "limit on output"},
    {"{{ x.replace('a', 'b' * 1000) }}", "limit on output"},
    {"{{ (x * 9).join(x) }}", "limit on"},
    {"{{ x | join(x) }}", "limit on"},
    {"{{ 'a'.ljust(10**12) }}", "limit on output"},
    {"{{ 'a'.center(9223372036854775807) }}", "limit on output"},
    {"{{ 'a'.zfill(10**12) }}", "limit on output"},
    {"{{ 'a\\tb'.expandtabs(10**12) }}", "limit on output"},
    {"{{ 'a' | center(10**12) }}", "limit on output"},
    {"{{ 'a\nb' | indent(10**12) }}", "more than 100000"},
    {"{{ x.replace('a', '\n') | indent(99999) }}", "limit on"},
    {"{{ l | tojson(indent=10**9) }}", "more than 1000"},
    {"{{ '%1000000000d' % 1 }}", "more than 100000 characters"},
    {"{{ '%.1000000000f' % 1 }}", "more than 100000 characters"},
    {"{{ '%*d' % (10**12, 1) }}", "more than 100000 characters"},
    {"{{ '{:1000000000}'.format(1) }}", "more than 100000 characters"},
    {"{{ ('%99999s' * 999) % (l * 333) | tuple }}", "no filter"},
    {"{{ ('{0:99999}' * 999).format(1) }}", "limit on output"},
    {"{{ strftime_now('%c' * 9000000) }}", "limit on"},
    {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "limit on depth"},
    {"{% macro m(n) %}{{ m(n + 1) ~ m(n + 1) }}{% endmacro %}{{ m(0) }}", "limit on depth"},
    {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
     "limit on depth"},
    {"{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{% call m() %}x{% endcall %}",
     "limit on depth"},
    {"{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", "limit on depth"},
    {"{% macro m() %}" + repeat("{% if true %}", 50) + repeat("(", 0) + "{{ m() }}" +
         repeat("{% endif %}", 50) + "{% endmacro %}{{ m() }}",
     "limit on depth"},
    {"{% macro m() %}{{ m()" + repeat(" + 'a'", 390) + " }}{% endmacro %}{{ m() }}", "limit on depth"},
    {"{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l "
     "}}",
     "limit on depth"},
    {"{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l | "
     "tojson }}",
     "limit on depth"},
    {"{% set a = namespace(l=[]) %}{% set b = namespace(l=[]) %}{% for i in range(5000) %}{% set a.l = "
     "[a.l] %}{% set b.l = [b.l] %}{% endfor %}{{ a.l == b.l }}{{ a.l < b.l }}",
     "limit on depth"},
    {"{% set ns = namespace(t=()) %}{% for i in range(5000) %}{% set ns.t = (ns.t,) %}{% endfor %}{{ "
     "{ns.t: 1} }}",
     "limit on depth"},
    {"{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", "limit on depth"},
    {"{% set ns = namespace() %}{% set ns.l = [ns] %}{{ ns.l }}", "limit on depth"},
    {"{% set ns = namespace(d={}) %}{% for i in range(99999) %}{% set ns.d = dict(ns.d, **{i ~ '': i}) "
     "%}{% endfor %}",
     "limit on"},
    {"{{ range(99999) | map('string') | map('list') | list | unique | list }}", "hash"},
    {"{{ range(99999) | map('string') | unique | list | length }}", "limit on work"},
    {"{{ 9223372036854775807 + 1 }}", "64 bits"},
    {"{{ 2 ** 64 }}", "64 bits"},
    {"{{ -9223372036854775807 - 2 }}", "64 bits"},
    {"{{ 9223372036854775807 * 2 }}", "64 bits"},
    {"{{ (-9223372036854775807 - 1) // -1 }}", "64 bits"},
    {"{{ 10 ** 10 ** 10 ** 10 }}", "64 bits"},
};

TEST(JinjaLimits, HostileTemplatesEndWithTheNameOfTheLimit) {
  const Json text = {{"x", std::string(1'000'000, 'a')}, {"l", Json::array({1, 2, 3})}};
  for (const Case& c : kHostile)
    EXPECT_THAT(error_of(c.source, text), HasSubstr(c.message)) << c.source.substr(0, 200);
}

TEST(JinjaLimits, DeepOrLargeSources) {
  const Case cases[] = {
      {"{{ " + repeat("(", 5000) + "1" + repeat(")", 5000) + " }}", "nest deeper"},
      {"{{ " + repeat("[", 5000) + repeat("]", 5000) + " }}", "nest deeper"},
      {"{{ " + repeat("{'a':", 5000) + "1" + repeat("}", 5000) + " }}", "nest deeper"},
      {"{{ " + repeat("not ", 5000) + "1 }}", "nest deeper"},
      {"{{ " + repeat("-", 5000) + "1 }}", "nest deeper"},
      {"{{ " + repeat("1 if 1 else ", 5000) + "1 }}", "nest deeper"},
      {"{{ " + repeat("a(", 5000) + repeat(")", 5000) + " }}", "nest deeper"},
      {"{{ " + repeat("a[", 5000) + repeat("]", 5000) + " }}", "nest deeper"},
      {"{% set " + repeat("(", 5000) + "a" + repeat(")", 5000) + " = 1 %}", "nest deeper"},
      {repeat("{% if 1 %}", 5000) + repeat("{% endif %}", 5000), "nest deeper"},
      {repeat("{% for i in l %}", 5000) + repeat("{% endfor %}", 5000), "nest deeper"},
      {"{{ 1" + repeat(" + 1", 5000) + " }}", "chains more than"},
      {"{{ a" + repeat(".a", 5000) + " }}", "chains more than"},
      {"{{ a" + repeat("()", 5000) + " }}", "chains more than"},
      {"{{ a" + repeat("|upper", 5000) + " }}", "chains more than"},
      {"{{ a" + repeat("|d is defined", 1) + repeat("|upper()|lower", 5000) + " }}", "chains more than"},
      {"{{ a" + repeat(" or a", 5000) + " }}", "chains more than"},
      {std::string(300'000, ' '), "more than the limit"},
      {"{{ '\xff' }}", "not UTF-8"},
      {"\xc0\x80", "not UTF-8"},
  };
  for (const Case& c : cases) EXPECT_THAT(error_of(c.source), HasSubstr(c.message)) << c.source.substr(0, 60);
  // Width is no depth: these are long, and fine.
  EXPECT_TRUE(render("{{ [1" + repeat(", 1", 5000) + "] | length }}").ok());
  EXPECT_TRUE(render("{% if 0 %}" + repeat("{% elif 0 %}", 5000) + "{% endif %}").ok());
  EXPECT_TRUE(render("{{ 1" + repeat(" ~ 1", 5000) + " }}").ok());
  EXPECT_TRUE(render("{{ 1" + repeat(" < 2", 1) + repeat(" < 3", 1) + repeat(" != 2", 3000) + " }}").ok());
  EXPECT_TRUE(render("{{ 1" + repeat(" + 1", 300) + " }}").ok());
}

TEST(JinjaLimits, SmallLimitsAreKeptExactly) {
  EXPECT_EQ(*render("{{ 'a' * 10 }}", Json::object(), {.output_bytes = 10}), "aaaaaaaaaa");
  EXPECT_FALSE(render("{{ 'a' * 11 }}", Json::object(), {.output_bytes = 10}).ok());
  EXPECT_FALSE(render("{{ 'a' * 6 }}{{ 'a' * 6 }}", Json::object(), {.output_bytes = 10}).ok());
  EXPECT_TRUE(render("{% for i in range(10) %}{% endfor %}", Json::object(), {.steps = 100}).ok());
  EXPECT_FALSE(render("{% for i in range(101) %}{% endfor %}", Json::object(), {.steps = 100}).ok());
  const std::string macro = "{% macro m(n) %}{{ n if n == 0 else m(n - 1) }}{% endmacro %}";
  EXPECT_EQ(*render(macro + "{{ m(9) }}", Json::object(), {.depth = 10}), "0");
  EXPECT_FALSE(render(macro + "{{ m(10) }}", Json::object(), {.depth = 10}).ok());
}

TEST(JinjaLimits, DeepInputsAreRefused) {
  Json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = Json::array({std::move(deep)});
  EXPECT_THAT(error_of("{{ x }}", {{"x", deep}}), HasSubstr("limit on depth"));
  EXPECT_THAT(error_of("{{ x }}", {{"x", uint64_t{1} << 63}}), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ x }}", {{"x", "\xed\xa0\x80"}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of("{{ x }}", {{"x", {{"a", Json::array({0, "\xff"})}}}}), HasSubstr("x.a[1]"));
}

TEST(JinjaLimits, ConstantsAreSafeToShare) {
  const auto chat = ChatTemplate::parse("{% set a = 'x' %}{{ a ~ m }}{{ [1, 2].pop() }}");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*chat->render_variables({{"m", i}}, {}), fmt::format("x{}2", i));
  // pop works on a copy of the input: the caller's messages stay.
  const Json variables = {{"l", Json::array({1, 2})}};
  EXPECT_EQ(*render("{{ l.pop(0) }}{{ l }}", variables), "1[2]");
  EXPECT_EQ(variables["l"].size(), 2u);
}

TEST(JinjaErrors, NameTheLineAndTheRule) {
  const Case cases[] = {
      {"a\nb\n{{ x.y.z }}", "line 3: 'x' is undefined"},
      {"{% set d = {} %}\n{{ d.a.b }}", "line 2: a value of type dict has no attribute 'a'"},
      {"{% if x %}\n\n\n", "line 3: the template ends"},
      {"\n{% foo %}", "line 2: unknown tag 'foo'"},
      {"{% for i in x %}{% endif %}", "here the open block needs 'else' or 'endfor'"},
      {"{% include 'x' %}", "'include' is not supported"},
      {"{% block x %}{% endblock %}", "'block' is not supported"},
      {"{{ 1 | nope }}", "no filter named 'nope'"},
      {"{{ 1 is nope }}", "no test named 'nope'"},
      {"{{ 'abc }}", "the string is not closed"},
      {"{{ '\\N{DASH}' }}", "\\N{...}"},
      {"{{ '\\ud800' }}", "surrogate"},
      {"{{ 99999999999999999999 }}", "64 bits"},
      {"{{ (1] }}", "unexpected ']', expected ')'"},
      {"{{ 1 ? 2 }}", "unexpected character '?'"},
      {"{# a", "the comment is not closed"},
      {"{% raw %}", "the raw block is not closed"},
      {"{% break %}", "outside of a loop"},
      {"{% set none = 1 %}", "cannot assign to 'none'"},
      {"{% set a.b = 1 %}", "only attributes of a namespace"},
      {"{% set a, b = [1] %}", "cannot unpack 1 values into 2 names"},
      {"{% for loop in [1] %}{% endfor %}", "'loop' cannot be assigned"},
      {"{{ f(a=1, 2) }}", "out of order"},
      {"{{ f(a=1, a=2) }}", "given twice"},
      {"{% macro m(a, a) %}{% endmacro %}", "named twice"},
      {"{% macro m(a=1, b) %}{% endmacro %}", "without a default"},
      {"{% macro m() %}{% endmacro %}{{ m(1) }}", "takes at most 0 arguments"},
      {"{% macro m() %}{% endmacro %}{{ m(x=1) }}", "takes no argument named 'x'"},
      {"{% call 1 %}{% endcall %}", "'call' needs a call"},
      {"{{ 'a' + 1 }}", "'+' does not work between a str and a int"},
      {"{{ 1 < 'a' }}", "cannot compare a int with a str"},
      {"{{ 1 / 0 }}", "division by zero"},
      {"{{ 5() }}", "a int cannot be called"},
      {"{{ [1] | map('upper') }}", "a generator cannot be printed; pass it through |list"},
      {"{{ 'a'.upper }}", "a method cannot be printed"},
      {"{{ {[]: 1} }}", "not hashable"},
      {"{{ [1].append(2) }}", "closed to templates"},
      {"{{ ''.__class__.x }}", "closed to templates"},
      {"{{ raise_exception('no\nnewline') }}", "the template refuses this conversation: no\\x0anewline"},
      {"{{ {}['no\nsuch'] + 'x' }}", "no attribute 'no\\x0asuch'"},
      {"{{ x | tojson }}", "type Undefined is not JSON"},
      {"{{ 'a' | wordwrap }}", "not supported"},
      {"{{ 'a'.encode() }}", "not supported"},
  };
  for (const Case& c : cases) EXPECT_THAT(error_of(c.source), HasSubstr(c.message)) << c.source;
}

TEST(JinjaErrors, HostileTextsPassThroughUnchanged) {
  const std::string nul("a\0b", 3);
  for (const std::string& text :
       {nul, std::string("{{ 7 * 7 }}"), std::string("{% raw %}"), std::string("\x1b[31m\r\n"),
        std::string("%s %d {0} \\n"), std::string("\u202e\u0000\ufeff\U0010ffff")}) {
    EXPECT_EQ(*render("{{ x }}", {{"x", text}}), text);
    EXPECT_EQ(*render("{{ x | tojson }}", {{"x", text}}), Json(text).dump()) << text;
    EXPECT_EQ(*render("{{ x.split('\\x01') | join }}", {{"x", text}}), text);
  }
}

}  // namespace
}  // namespace tern
