// SPDX-License-Identifier: MIT
// The binary file of encoded documents: its layout, writing and checked opening. Written by prepare(), mapped
// by Dataset.
//
// Little-endian, every part padded with zeros to 8 bytes:
//   magic "TERNTOK1", u64 key, u64 hash of tokenizer.json, u32 vocabulary, u32 bytes of a token (2 or 4),
//   u32 id of <|endoftext|>, u32 number of sources;
//   for each source u64 documents, u64 tokens, u64 whether it has a mask;
//   for each source u64 ends[documents] (index of the token behind a document), u8 heldout[documents],
//   tokens, and with a mask one bit a token, lowest bit first: 1 where predicting this token counts;
//   u64 Hash64 of everything before.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/result.h"

namespace tern::train {

/// A source to write. A document's tokens are tokens[ends[i-1] .. ends[i]).
struct EncodedSource {
  std::vector<uint64_t> ends;    // [documents] ascending
  std::vector<uint8_t> heldout;  // [documents] 0 or 1
  std::vector<int32_t> tokens;
  std::vector<bool> mask;  // [tokens], or empty: every token counts
};

struct TokenFileHeader {
  uint64_t key = 0;             // what the file was made from (corpus.cc)
  uint64_t tokenizer_hash = 0;  // hash64 of tokenizer.json
  uint32_t vocab_size = 0, end_of_text = 0;
};

/// Writes the file atomically. Errors: kIo with the path.
Status write_token_file(const std::string& path, const TokenFileHeader& header,
                        std::span<const EncodedSource> sources);

/// An open token file. Immutable.
class TokenFile {
 public:
  struct Source {
    std::span<const uint64_t> ends;
    std::span<const uint8_t> heldout;
    std::span<const std::byte> tokens;
    std::span<const std::byte> mask;  // empty: every token counts

    size_t num_documents() const { return ends.size(); }
    uint64_t begin(size_t document) const { return document == 0 ? 0 : ends[document - 1]; }
    uint64_t end(size_t document) const { return ends[document]; }
  };

  /// Maps and checks the whole file once. Errors: kNotFound, kIo, kCorrupt with the path.
  static Result<std::shared_ptr<const TokenFile>> open(const std::string& path);

  const TokenFileHeader& header() const { return header_; }
  std::span<const Source> sources() const { return sources_; }
  uint64_t checksum() const { return checksum_; }
  int32_t token(const Source& source, uint64_t index) const;
  bool counts(const Source& source, uint64_t index) const {
    return source.mask.empty() || (static_cast<unsigned>(source.mask[index / 8]) >> (index % 8) & 1) != 0;
  }

 private:
  TokenFile() = default;
  Status parse();
  Status check_source(const Source& source) const;
  std::shared_ptr<const MappedFile> file_;
  TokenFileHeader header_;
  uint32_t token_bytes_ = 2;
  uint64_t checksum_ = 0;
  std::vector<Source> sources_;
};

}  // namespace tern::train
