// SPDX-License-Identifier: MIT
// A reader for just the protobuf wire format that ModelProto needs: varints, 32- and 64-bit fields, byte
// strings. Field numbers: sentencepiece_model.proto of the SentencePiece project. Unknown fields are skipped.
#include "text/sentencepiece_model.h"

#include <bit>
#include <cstring>

namespace tern {
namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;
  uint64_t integer = 0;    // kVarint, kFixed32, kFixed64
  std::string_view bytes;  // kBytes
  float as_float() const { return std::bit_cast<float>(static_cast<uint32_t>(integer)); }
};

// Reads the fields of one message.
class Message {
 public:
  Message(std::string_view file, std::string_view bytes) : file_(file), rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }

  Result<Field> next() {
    Field field;
    uint64_t tag = 0;
    if (!varint(tag) || tag >> 3 == 0 || tag >> 3 > (1u << 29)) return bad("a field tag");
    field.number = static_cast<uint32_t>(tag >> 3);
    field.wire = static_cast<uint32_t>(tag & 7);
    switch (field.wire) {
      case kVarint:
        if (!varint(field.integer)) return bad("a varint");
        return field;
      case kFixed32:
      case kFixed64: {
        const size_t size = field.wire == kFixed32 ? 4 : 8;
        if (rest_.size() < size) return bad("a fixed-size number");
        for (size_t i = 0; i < size; ++i)
          field.integer |= uint64_t{static_cast<uint8_t>(rest_[i])} << (8 * i);
        rest_.remove_prefix(size);
        return field;
      }
      case kBytes: {
        uint64_t size = 0;
        if (!varint(size) || size > rest_.size()) return bad("a length within the message");
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return field;
      }
      default:
        return bad("wire type 0, 1, 2 or 5");
    }
  }

 private:
  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return false;
      const uint8_t byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }
  Error bad(const char* expected) const {
    return make_error(ErrorCode::kCorrupt, "SentencePiece model: expected {} at byte {}", expected,
                      static_cast<size_t>(rest_.data() - file_.data()));
  }

  std::string_view file_, rest_;
};

// Calls take(field) -> Status for each field of `bytes`.
template <class Take>
Status for_fields(std::string_view file, std::string_view bytes, Take take) {
  Message message(file, bytes);
  while (!message.at_end()) {
    TERN_TRY_ASSIGN(const Field field, message.next());
    TERN_TRY(take(field));
  }
  return {};
}

Status expect(const Field& field, WireType wire, const char* name) {
  if (field.wire == wire) return {};
  return make_error(ErrorCode::kCorrupt, "SentencePiece model: field {} has wire type {}, {} expected", name,
                    field.wire, static_cast<uint32_t>(wire));
}

struct Trainer {
  uint64_t model_type = 1;  // 1 unigram, 2 BPE, 3 word, 4 char
  bool byte_fallback = false, space_suffix = false;
  int32_t unk = 0, bos = 1, eos = 2, pad = -1;
};

struct Normalization {
  std::string charsmap;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  std::string rules_tsv;
};

Status read_piece(std::string_view file, std::string_view bytes, TokenizerSpec& spec) {
  std::string_view piece;
  float score = 0;
  uint64_t type = 1;
  TERN_TRY(for_fields(file, bytes, [&](const Field& f) -> Status {
    if (f.number == 1) {
      TERN_TRY(expect(f, kBytes, "piece"));
      piece = f.bytes;
    } else if (f.number == 2) {
      TERN_TRY(expect(f, kFixed32, "score"));
      score = f.as_float();
    } else if (f.number == 3) {
      TERN_TRY(expect(f, kVarint, "type"));
      type = f.integer;
    }
    return {};
  }));
  if (type < 1 || type > 6) {
    return make_error(ErrorCode::kCorrupt, "SentencePiece model: piece {} has type {}, 1 to 6 expected",
                      spec.tokens.size(), type);
  }
  if (piece.empty()) {
    return make_error(ErrorCode::kCorrupt, "SentencePiece model: piece {} is empty", spec.tokens.size());
  }
  spec.tokens.emplace_back(piece);
  spec.scores.push_back(score);
  spec.types.push_back(static_cast<TokenType>(type));
  return {};
}

Status read_trainer(std::string_view file, std::string_view bytes, Trainer& out) {
  return for_fields(file, bytes, [&](const Field& f) -> Status {
    switch (f.number) {
      case 3:
        out.model_type = f.integer;
        return expect(f, kVarint, "model_type");
      case 24:
        out.space_suffix = f.integer != 0;
        return expect(f, kVarint, "treat_whitespace_as_suffix");
      case 35:
        out.byte_fallback = f.integer != 0;
        return expect(f, kVarint, "byte_fallback");
      case 40:
        out.unk = static_cast<int32_t>(f.integer);
        return expect(f, kVarint, "unk_id");
      case 41:
        out.bos = static_cast<int32_t>(f.integer);
        return expect(f, kVarint, "bos_id");
      case 42:
        out.eos = static_cast<int32_t>(f.integer);
        return expect(f, kVarint, "eos_id");
      case 43:
        out.pad = static_cast<int32_t>(f.integer);
        return expect(f, kVarint, "pad_id");
      default:
        return {};
    }
  });
}

Status read_normalizer(std::string_view file, std::string_view bytes, Normalization& out) {
  return for_fields(file, bytes, [&](const Field& f) -> Status {
    switch (f.number) {
      case 2:
        out.charsmap = f.bytes;
        return expect(f, kBytes, "precompiled_charsmap");
      case 3:
        out.add_dummy_prefix = f.integer != 0;
        return expect(f, kVarint, "add_dummy_prefix");
      case 4:
        out.remove_extra_whitespaces = f.integer != 0;
        return expect(f, kVarint, "remove_extra_whitespaces");
      case 5:
        out.escape_whitespaces = f.integer != 0;
        return expect(f, kVarint, "escape_whitespaces");
      case 6:
        out.rules_tsv = f.bytes;
        return expect(f, kBytes, "normalization_rule_tsv");
      default:
        return {};
    }
  });
}

// The trainer writes which ids are special; a piece of that id must be of a fitting type, else the id is not
// used.
void set_special_ids(const Trainer& trainer, TokenizerSpec& spec) {
  const int32_t vocab = static_cast<int32_t>(spec.tokens.size());
  const auto control = [&](int32_t id) -> std::optional<int32_t> {
    if (id < 0 || id >= vocab || spec.types[id] != TokenType::kControl) return std::nullopt;
    return id;
  };
  spec.bos = control(trainer.bos);
  spec.eos = control(trainer.eos);
  spec.pad = control(trainer.pad);
  spec.add_bos = spec.bos.has_value();
  for (int32_t id = 0; id < vocab && !spec.unk; ++id) {
    if (spec.types[id] == TokenType::kUnknown) spec.unk = id;
  }
}

}  // namespace

Result<TokenizerSpec> parse_sentencepiece(std::string_view file) {
  TokenizerSpec spec;
  spec.source = "SentencePiece model";
  Trainer trainer;
  Normalization rules, denormal;
  denormal.remove_extra_whitespaces = false;
  bool any_normalizer = false;
  TERN_TRY(for_fields(file, file, [&](const Field& f) -> Status {
    if (f.number < 1 || f.number > 5) return {};
    TERN_TRY(expect(f, kBytes, "of ModelProto"));
    switch (f.number) {
      case 1:
        return read_piece(file, f.bytes, spec);
      case 2:
        return read_trainer(file, f.bytes, trainer);
      case 3:
        any_normalizer = true;
        return read_normalizer(file, f.bytes, rules);
      case 5:
        return read_normalizer(file, f.bytes, denormal);
      default:
        return {};
    }
  }));
  if (spec.tokens.empty())
    return make_error(ErrorCode::kCorrupt, "SentencePiece model: no pieces in {} bytes", file.size());
  if (trainer.model_type != 1 && trainer.model_type != 2) {
    return make_error(ErrorCode::kUnsupported,
                      "SentencePiece model: type {}, only unigram (1) and BPE (2) are supported",
                      trainer.model_type);
  }
  if (trainer.space_suffix) {
    return make_error(ErrorCode::kUnsupported,
                      "SentencePiece model: treat_whitespace_as_suffix is not supported");
  }
  if (!denormal.charsmap.empty()) {
    return make_error(ErrorCode::kUnsupported, "SentencePiece model: a denormalizer map is not supported");
  }
  if (!any_normalizer)
    spec.doubts.push_back("the model names no normalizer: SentencePiece's defaults are used");
  spec.model = trainer.model_type == 2 ? TokenizerModel::kCharBpe : TokenizerModel::kUnigram;
  spec.merge_rule = MergeRule::kByScore;
  spec.byte_fallback = trainer.byte_fallback;
  spec.space_mark = rules.escape_whitespaces;
  spec.strip_leading_space = rules.add_dummy_prefix || rules.remove_extra_whitespaces;
  set_special_ids(trainer, spec);
  NormStep step;
  step.kind = NormStep::Kind::kSentencePiece;
  step.scope = NormStep::Scope::kStartOrAfterControl;
  step.charsmap = std::move(rules.charsmap);
  step.add_prefix = rules.add_dummy_prefix;
  step.remove_extra_spaces = rules.remove_extra_whitespaces;
  step.escape_spaces = rules.escape_whitespaces;
  spec.normalizer.push_back(std::move(step));
  return spec;
}

}  // namespace tern
