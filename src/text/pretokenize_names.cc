// SPDX-License-Identifier: MIT
// What the pre-tokenizer names of GGUF files mean, and which regular expressions of tokenizer.json have a
// hand-written splitter. Source of the expressions: FORMATS.md A.8; deepseek-coder and default as llama.cpp
// defines them.
#include <array>

#include "text/byte_alphabet.h"
#include "text/pretokenize.h"

namespace tern {
namespace {

using namespace char_class;
using Kind = PreStep::Kind;

PreStep gpt2() { return {.kind = Kind::kGpt2}; }
PreStep llama3(uint32_t max_numbers) { return {.kind = Kind::kLlama3, .max_run = max_numbers}; }
PreStep run(CharSet set, uint32_t min = 1, uint32_t max = UINT32_MAX, bool space_prefix = false) {
  return {.kind = Kind::kCharRun,
          .min_run = min,
          .max_run = max,
          .space_prefix = space_prefix,
          .set = std::move(set)};
}

CharSet digits() { return {.ascii = "0123456789"}; }

// [\p{P}\$\+<=>\^~\|`]+, without the backtick in `default`
PreStep falcon_punctuation(bool backtick) {
  return run({.classes = kPunctuation, .ascii = backtick ? "$+<=>^~|`" : "$+<=>^~|"});
}

PreRecipe falcon_bitnet() {
  return {.steps = {falcon_punctuation(true), gpt2(), run(digits(), 1, 1)},
          .description = "falcon3/falcon_e as bitnet.cpp defines them: punctuation, gpt-2, single digits"};
}

PreRecipe llama_bpe() {
  return {.steps = {llama3(3)}, .ignore_merges = true, .add_bos = true, .description = "llama-bpe (Llama 3)"};
}

PreRecipe deepseek_coder() {
  // [一-龥ࠀ-一가-퟿]+
  const CharSet east_asian{.ranges = {{0x4E00, 0x9FA5}, {0x0800, 0x4E00}, {0xAC00, 0xD7FF}}};
  return {.steps = {run({.ascii = "\r\n"}, 1, 1), run({.classes = kLetter}, 1, UINT32_MAX, true),
                    run({.classes = kPunctuation}, 1, UINT32_MAX, true), run(east_asian),
                    run({.classes = kNumber}, 1, 1)},
          .description = "deepseek-coder"};
}

PreRecipe default_recipe() {
  return {.steps = {falcon_punctuation(false), gpt2(), run({.classes = kNumber}), run(digits(), 3, 3)},
          .description = "default: punctuation, gpt-2, numbers, groups of three digits"};
}

PreRecipe falcon() {
  return {.steps = {falcon_punctuation(true), gpt2(), run(digits(), 3, 3)},
          .description = "falcon (7B, 40B)"};
}

PreRecipe falcon3() {
  PreRecipe recipe = llama_bpe();
  recipe.description = "falcon3 as llama.cpp defines it: the same as llama-bpe";
  recipe.doubt =
      "pre-tokenizer falcon3 has two readings; llama.cpp's is used, falcon3-bitnet chooses bitnet.cpp's";
  return recipe;
}

PreRecipe falcon_e() {
  PreRecipe recipe = falcon_bitnet();
  recipe.doubt =
      "pre-tokenizer falcon_e is defined by bitnet.cpp only; falcon_e-llama chooses llama-bpe instead";
  return recipe;
}

PreRecipe gpt2_recipe() { return {.steps = {gpt2()}, .description = "gpt-2"}; }
PreRecipe mpt() { return {.steps = {gpt2()}, .description = "mpt: the same as gpt-2"}; }
PreRecipe qwen2() { return {.steps = {llama3(1)}, .description = "qwen2"}; }

struct Named {
  std::string_view name;
  PreRecipe (*make)();
};
constexpr std::array<Named, 19> kNames{{
    {"llama-bpe", llama_bpe},
    {"llama3", llama_bpe},
    {"llama-v3", llama_bpe},
    {"gpt-2", gpt2_recipe},
    {"phi-2", gpt2_recipe},
    {"olmo", gpt2_recipe},
    {"mpt", mpt},
    {"qwen2", qwen2},
    {"deepseek-r1-qwen", qwen2},
    {"stablelm2", qwen2},
    {"falcon", falcon},
    {"falcon3", falcon3},
    {"falcon3-bitnet", falcon_bitnet},
    {"falcon_e", falcon_e},
    {"falcon_e-bitnet", falcon_bitnet},
    {"falcon_e-llama", llama_bpe},
    {"falcon3-llama", llama_bpe},
    {"deepseek-coder", deepseek_coder},
    {"default", default_recipe},
}};

}  // namespace

std::optional<PreRecipe> pre_recipe(std::string_view name) {
  for (const Named& entry : kNames) {
    if (entry.name == name) return entry.make();
  }
  return std::nullopt;
}

std::string known_pre_names() {
  std::string out;
  for (const Named& entry : kNames) {
    if (!out.empty()) out.append(", ");
    out.append(entry.name);
  }
  return out;
}

PreStep step_for_regex(std::string_view pattern) {
  const std::string head = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|";
  const std::string tail = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  if (pattern == head + "\\p{N}{1,3}" + tail) return llama3(3);
  if (pattern == head + "\\p{N}" + tail) return llama3(1);
  constexpr std::string_view kGpt2 =
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
  constexpr std::string_view kGpt2Short =
      "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
  if (pattern == std::string(kGpt2) + "|\\s+" || pattern == std::string(kGpt2Short) + "|\\s+") return gpt2();
  if (pattern == "[0-9][0-9][0-9]" || pattern == "[0-9]{3}") return run(digits(), 3, 3);
  if (pattern == "[0-9]") return run(digits(), 1, 1);
  if (pattern == "\\p{N}") return run({.classes = kNumber}, 1, 1);
  if (pattern == "\\p{N}+") return run({.classes = kNumber});
  if (pattern == "\\p{N}{1,3}") return run({.classes = kNumber}, 1, 3);
  if (pattern == "[\\r\\n]" || pattern == "[\r\n]") return run({.ascii = "\r\n"}, 1, 1);
  if (pattern == "\\s?\\p{L}+") return run({.classes = kLetter}, 1, UINT32_MAX, true);
  if (pattern == "\\s?\\p{P}+") return run({.classes = kPunctuation}, 1, UINT32_MAX, true);
  return {.kind = Kind::kRegex, .text = std::string(pattern)};
}

std::string alphabet_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) append_utf8(text, byte_to_alphabet(static_cast<uint8_t>(c)));
  return text;
}

std::optional<std::string> bytes_of_alphabet(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    const int byte = alphabet_to_byte(c.code_point);
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
    i += c.length;
  }
  return out;
}

}  // namespace tern
