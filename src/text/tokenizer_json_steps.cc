// SPDX-License-Identifier: MIT
// Translates the step objects of tokenizer.json one by one. Whatever is not known here is refused by its
// name: a step that was left out would give wrong ids without a word.
#include "text/tokenizer_json_steps.h"

#include "text/byte_alphabet.h"

namespace tern::json {
namespace {

constexpr int kMaxDepth = 8;  // of Sequence in Sequence
constexpr std::string_view kSpaceMark = "\u2581";

Error unknown_part(std::string_view path, std::string_view type) {
  return make_error(ErrorCode::kUnsupported, "{}: type \"{}\" is not supported", path, type);
}

// {"String": s} or {"Regex": r}
Status read_pattern(const Object& object, std::string_view path, bool& is_regex, std::string_view& text) {
  const auto pattern = member(object, "pattern");
  if (!pattern) return make_error(ErrorCode::kCorrupt, "{}: no \"pattern\"", path);
  TERN_TRY_ASSIGN(const Object choice, as_object(*pattern, std::string(path) + ".pattern"));
  for (const bool regex : {false, true}) {
    if (const auto value = member(choice, regex ? "Regex" : "String")) {
      TERN_TRY_ASSIGN(text, as_string(*value, std::string(path) + ".pattern"));
      is_regex = regex;
      return {};
    }
  }
  return make_error(ErrorCode::kUnsupported, "{}.pattern: neither a String nor a Regex", path);
}

Result<SplitBehavior> read_behavior(const Object& object, std::string_view path) {
  TERN_TRY_ASSIGN(const auto name, get_string(object, "behavior", path));
  if (name.empty() || name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  return make_error(ErrorCode::kUnsupported, "{}: behavior \"{}\" is not supported", path, name);
}

// Calls read(element, path) for each member of an array of steps.
template <class Read>
Status for_steps(const Object& object, const char* key, std::string_view path, Read read) {
  const auto list = member(object, key);
  if (!list) return make_error(ErrorCode::kCorrupt, "{}: no \"{}\"", path, key);
  TERN_TRY_ASSIGN(const Array steps, as_array(*list, fmt::format("{}.{}", path, key)));
  size_t i = 0;
  for (const Element step : steps) {
    TERN_TRY(read(step, fmt::format("{}.{}[{}]", path, key, i)));
    ++i;
  }
  return {};
}

Status normalizer_step(const Element& element, const std::string& path, TokenizerSpec& spec, int depth) {
  using Kind = NormStep::Kind;
  TERN_TRY_ASSIGN(const Object object, as_object(element, path));
  TERN_TRY_ASSIGN(const auto type, type_of(object, path));
  NormStep step;
  if (type == "Sequence") {
    if (depth >= kMaxDepth) return make_error(ErrorCode::kUnsupported, "{}: nested too deeply", path);
    return for_steps(object, "normalizers", path, [&](const Element& e, const std::string& p) {
      return normalizer_step(e, p, spec, depth + 1);
    });
  }
  if (type == "NFC") {
    step.kind = Kind::kNfc;
  } else if (type == "NFD") {
    step.kind = Kind::kNfd;
  } else if (type == "NFKC") {
    step.kind = Kind::kNfkc;
  } else if (type == "NFKD") {
    step.kind = Kind::kNfkd;
  } else if (type == "Lowercase") {
    step.kind = Kind::kLowercase;
  } else if (type == "Strip") {
    step.kind = Kind::kStrip;
    TERN_TRY_ASSIGN(step.left, get_bool(object, "strip_left", true, path));
    TERN_TRY_ASSIGN(step.right, get_bool(object, "strip_right", true, path));
  } else if (type == "Prepend") {
    step.kind = Kind::kPrepend;
    TERN_TRY_ASSIGN(step.text, get_string(object, "prepend", path));
  } else if (type == "Replace") {
    bool is_regex = false;
    std::string_view text;
    TERN_TRY(read_pattern(object, path, is_regex, text));
    step.kind = is_regex ? Kind::kReplaceRegex : Kind::kReplace;
    step.text = text;
    TERN_TRY_ASSIGN(step.with, get_string(object, "content", path));
  } else {
    return unknown_part(path, type);
  }
  spec.normalizer.push_back(std::move(step));
  return {};
}

class PreReader {
 public:
  PreReader(TokenizerSpec& spec, bool& byte_level) : spec_(spec), byte_level_(byte_level) {}

  Status read(const Element& element, const std::string& path, int depth) {
    TERN_TRY_ASSIGN(const Object object, as_object(element, path));
    TERN_TRY_ASSIGN(const auto type, type_of(object, path));
    if (type == "Sequence") {
      if (depth >= kMaxDepth) return make_error(ErrorCode::kUnsupported, "{}: nested too deeply", path);
      return for_steps(object, "pretokenizers", path,
                       [&](const Element& e, const std::string& p) { return read(e, p, depth + 1); });
    }
    if (!spec_.pre_description.empty()) spec_.pre_description += '+';
    spec_.pre_description.append(type);
    if (type == "ByteLevel") return read_byte_level(object, path);
    if (type == "Metaspace") return read_metaspace(object, path);
    if (type == "Split") return read_split(object, path);
    PreStep step{.kind = PreStep::Kind::kCharRun};
    if (type == "Digits") {
      TERN_TRY_ASSIGN(const bool single, get_bool(object, "individual_digits", false, path));
      step.set.classes = char_class::kNumber;
      if (single) step.max_run = 1;
    } else if (type == "Punctuation") {
      TERN_TRY_ASSIGN(step.behavior, read_behavior(object, path));
      step.max_run = 1;
      step.set.classes = char_class::kPunctuation;
      step.set.ascii = "$+<=>^`|~";  // ASCII punctuation that Unicode calls symbols
    } else if (type == "WhitespaceSplit") {
      step.behavior = SplitBehavior::kRemoved;
      step.set.classes = char_class::kSpace;
    } else if (type == "Whitespace") {
      step.kind = PreStep::Kind::kWords;
      step.behavior = SplitBehavior::kRemoved;
      step.invert = true;
    } else {
      return unknown_part(path, type);
    }
    add(std::move(step));
    return {};
  }

 private:
  void add(PreStep step) {
    first_ = false;
    spec_.pre_tokenizer.push_back(std::move(step));
  }

  Status read_byte_level(const Object& object, const std::string& path) {
    TERN_TRY_ASSIGN(const bool prefix, get_bool(object, "add_prefix_space", true, path));
    TERN_TRY_ASSIGN(const bool use_regex, get_bool(object, "use_regex", true, path));
    if (byte_level_) return make_error(ErrorCode::kUnsupported, "{}: a second ByteLevel", path);
    if (prefix) {
      if (!first_)
        return make_error(ErrorCode::kUnsupported, "{}: add_prefix_space behind another step", path);
      NormStep step;
      step.kind = NormStep::Kind::kPrepend;
      step.text = " ";
      step.unless_present = true;
      spec_.normalizer.push_back(std::move(step));
      spec_.strip_leading_space = false;
    }
    if (use_regex) add({.kind = PreStep::Kind::kGpt2});
    add({.kind = PreStep::Kind::kByteAlphabet});
    byte_level_ = true;
    return {};
  }

  Status read_metaspace(const Object& object, const std::string& path) {
    if (!first_) return make_error(ErrorCode::kUnsupported, "{}: Metaspace behind another step", path);
    TERN_TRY_ASSIGN(const auto mark, get_string(object, "replacement", path));
    if (mark != kSpaceMark) return make_error(ErrorCode::kUnsupported, "{}: replacement \"{}\"", path, mark);
    TERN_TRY_ASSIGN(const bool old_prefix, get_bool(object, "add_prefix_space", true, path));
    TERN_TRY_ASSIGN(auto scheme, get_string(object, "prepend_scheme", path));
    TERN_TRY_ASSIGN(const bool split, get_bool(object, "split", true, path));
    if (scheme.empty()) scheme = old_prefix ? "always" : "never";
    NormStep spaces;
    spaces.kind = NormStep::Kind::kReplace;
    spaces.text = " ";
    spaces.with = kSpaceMark;
    spec_.normalizer.push_back(std::move(spaces));
    if (scheme != "never") {
      NormStep prefix;
      prefix.kind = NormStep::Kind::kPrepend;
      prefix.text = kSpaceMark;
      prefix.unless_present = true;
      if (scheme == "first") {
        prefix.scope = NormStep::Scope::kTextStart;
      } else if (scheme != "always") {
        return make_error(ErrorCode::kUnsupported, "{}: prepend_scheme \"{}\"", path, scheme);
      }
      spec_.normalizer.push_back(std::move(prefix));
    }
    first_ = false;
    if (split) {
      add({.kind = PreStep::Kind::kLiteral,
           .behavior = SplitBehavior::kMergedWithNext,
           .text = std::string(kSpaceMark)});
    }
    return {};
  }

  Status read_split(const Object& object, const std::string& path) {
    bool is_regex = false;
    std::string_view text;
    TERN_TRY(read_pattern(object, path, is_regex, text));
    PreStep step;
    if (is_regex) {
      step = step_for_regex(text);
    } else {
      step.kind = PreStep::Kind::kLiteral;
      step.text = text;
      if (byte_level_) {  // the text it is compared with is written in the byte-level alphabet
        auto bytes = bytes_of_alphabet(text);
        if (!bytes)
          return make_error(ErrorCode::kUnsupported, "{}: a pattern that byte-level text cannot match", path);
        step.text = std::move(*bytes);
      }
    }
    TERN_TRY_ASSIGN(step.behavior, read_behavior(object, path));
    TERN_TRY_ASSIGN(step.invert, get_bool(object, "invert", false, path));
    add(std::move(step));
    return {};
  }

  TokenizerSpec& spec_;
  bool& byte_level_;
  bool first_ = true;
};

Status decoder_step(const Element& element, const std::string& path, TokenizerSpec& spec, bool& byte_level,
                    int depth) {
  TERN_TRY_ASSIGN(const Object object, as_object(element, path));
  TERN_TRY_ASSIGN(const auto type, type_of(object, path));
  if (type == "Sequence") {
    if (depth >= kMaxDepth) return make_error(ErrorCode::kUnsupported, "{}: nested too deeply", path);
    return for_steps(object, "decoders", path, [&](const Element& e, const std::string& p) {
      return decoder_step(e, p, spec, byte_level, depth + 1);
    });
  }
  if (type == "ByteLevel") {
    byte_level = true;
  } else if (type == "Metaspace") {
    TERN_TRY_ASSIGN(const bool old_prefix, get_bool(object, "add_prefix_space", true, path));
    TERN_TRY_ASSIGN(const auto scheme, get_string(object, "prepend_scheme", path));
    spec.space_mark = true;
    spec.strip_leading_space = scheme.empty() ? old_prefix : scheme != "never";
  } else if (type == "Replace") {
    bool is_regex = false;
    std::string_view text;
    TERN_TRY(read_pattern(object, path, is_regex, text));
    TERN_TRY_ASSIGN(const auto content, get_string(object, "content", path));
    if (is_regex || text != kSpaceMark || content != " ") {
      return make_error(ErrorCode::kUnsupported, "{}: only U+2581 by a space can be replaced", path);
    }
    spec.space_mark = true;
  } else if (type == "Strip") {
    TERN_TRY_ASSIGN(const auto content, get_string(object, "content", path));
    int64_t start = 0, stop = 0;
    const auto e = member(object, "start"), f = member(object, "stop");
    const bool numbers = (!e || !e->get(start)) && (!f || !f->get(stop));
    if (!numbers || content != " " || start != 1 || stop != 0) {
      return make_error(ErrorCode::kUnsupported, "{}: only one leading space can be stripped", path);
    }
    spec.strip_leading_space = true;
  } else if (type != "ByteFallback" && type != "Fuse") {  // these two are what decode() does anyway
    return unknown_part(path, type);
  }
  return {};
}

Status template_processing(const Object& object, const std::string& path, TokenizerSpec& spec) {
  const auto ids = member(object, "special_tokens");
  bool seen_text = false;
  spec.prefix.clear();
  spec.suffix.clear();
  TERN_TRY(for_steps(object, "single", path, [&](const Element& e, const std::string& p) -> Status {
    TERN_TRY_ASSIGN(const Object piece, as_object(e, p));
    if (member(piece, "Sequence")) {
      if (seen_text) return make_error(ErrorCode::kUnsupported, "{}: the text twice", p);
      seen_text = true;
      return {};
    }
    if (spec.prefix.size() + spec.suffix.size() > 16)
      return make_error(ErrorCode::kUnsupported, "{}: too many tokens", p);
    const auto special = member(piece, "SpecialToken");
    if (!special || !ids) return make_error(ErrorCode::kCorrupt, "{}: neither Sequence nor SpecialToken", p);
    TERN_TRY_ASSIGN(const Object named, as_object(*special, p));
    TERN_TRY_ASSIGN(const auto name, get_string(named, "id", p));
    TERN_TRY_ASSIGN(const Object table, as_object(*ids, path + ".special_tokens"));
    const auto entry = member(table, name);
    if (!entry)
      return make_error(ErrorCode::kCorrupt, "{}: special token \"{}\" is not in special_tokens", p, name);
    TERN_TRY_ASSIGN(const Object fields, as_object(*entry, p));
    return for_steps(fields, "ids", p, [&](const Element& id, const std::string& q) -> Status {
      TERN_TRY_ASSIGN(const int32_t value, as_id(id, q));
      (seen_text ? spec.suffix : spec.prefix).push_back(value);
      return {};
    });
  }));
  if (!seen_text)
    return make_error(ErrorCode::kCorrupt, "{}.single: no Sequence, so there is no place for text", path);
  spec.add_bos = !spec.prefix.empty();
  spec.add_eos = !spec.suffix.empty();
  return {};
}

Status post_step(const Element& element, const std::string& path, TokenizerSpec& spec, int depth) {
  TERN_TRY_ASSIGN(const Object object, as_object(element, path));
  TERN_TRY_ASSIGN(const auto type, type_of(object, path));
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return template_processing(object, path, spec);
  if (type != "Sequence") return unknown_part(path, type);
  if (depth >= kMaxDepth) return make_error(ErrorCode::kUnsupported, "{}: nested too deeply", path);
  return for_steps(object, "processors", path,
                   [&](const Element& e, const std::string& p) { return post_step(e, p, spec, depth + 1); });
}

}  // namespace

Status read_normalizer(const Element& element, TokenizerSpec& spec) {
  return normalizer_step(element, "normalizer", spec, 0);
}

Status read_pre_tokenizer(const Element& element, TokenizerSpec& spec, bool& byte_level) {
  return PreReader(spec, byte_level).read(element, "pre_tokenizer", 0);
}

Status read_decoder(const Element& element, TokenizerSpec& spec, bool& byte_level) {
  return decoder_step(element, "decoder", spec, byte_level, 0);
}

Status read_post_processor(const Element& element, TokenizerSpec& spec) {
  return post_step(element, "post_processor", spec, 0);
}

}  // namespace tern::json
