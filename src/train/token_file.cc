// SPDX-License-Identifier: MIT
#include "train/token_file.h"

#include <cstring>

#include "core/atomic_file.h"
#include "train/hash.h"

namespace tern::train {
namespace {

constexpr char kMagic[] = {'T', 'E', 'R', 'N', 'T', 'O', 'K', '1'};
constexpr size_t kMaxSources = 100'000;

// Writes parts, pads them, and sums them up.
class Parts {
 public:
  explicit Parts(AtomicFile& file) : file_(file) {}
  Status add(std::span<const std::byte> bytes) {
    static constexpr std::byte kZeros[8] = {};
    const std::span<const std::byte> padding(kZeros, (8 - bytes.size() % 8) % 8);
    hash_.add(bytes);
    hash_.add(padding);
    TERN_TRY(file_.write(bytes));
    return file_.write(padding);
  }
  template <class T>
  Status add_list(const std::vector<T>& list) {
    return add(std::as_bytes(std::span(list)));
  }
  Status finish() {
    const uint64_t sum = hash_.value();
    return file_.write(std::as_bytes(std::span(&sum, 1)));
  }

 private:
  AtomicFile& file_;
  Hash64 hash_;
};

Status write_source(Parts& parts, const EncodedSource& source, bool wide) {
  TERN_TRY(parts.add_list(source.ends));
  TERN_TRY(parts.add_list(source.heldout));
  if (wide) {
    TERN_TRY(parts.add_list(source.tokens));
  } else {
    TERN_TRY(parts.add_list(std::vector<uint16_t>(source.tokens.begin(), source.tokens.end())));
  }
  std::vector<uint8_t> bits((source.mask.size() + 7) / 8);
  for (size_t i = 0; i < source.mask.size(); ++i)
    bits[i / 8] |= static_cast<uint8_t>(source.mask[i]) << (i % 8);
  return parts.add_list(bits);
}

// Takes parts off a mapped file; ok() is false once it was too short.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  template <class T>
  T value() {
    T v{};
    const auto part = take(sizeof(T));
    if (ok_) std::memcpy(&v, part.data(), sizeof(T));
    return v;
  }
  // `count` elements of `size` bytes (at most 8) and their padding.
  std::span<const std::byte> part(uint64_t count, uint64_t size) {
    if (count > rest_.size() / size) {
      ok_ = false;
      return {};
    }
    const auto bytes = take(count * size);
    take((8 - count * size % 8) % 8);
    return bytes;
  }

 private:
  std::span<const std::byte> take(uint64_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return bytes;
  }
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

}  // namespace

Status write_token_file(const std::string& path, const TokenFileHeader& header,
                        std::span<const EncodedSource> sources) {
  const bool wide = header.vocab_size > 65536;
  TERN_TRY_ASSIGN(AtomicFile file, AtomicFile::create(path));
  Parts parts(file);
  TERN_TRY(parts.add(std::as_bytes(std::span(kMagic))));
  TERN_TRY(parts.add_list(std::vector<uint64_t>{header.key, header.tokenizer_hash}));
  TERN_TRY(parts.add_list(std::vector<uint32_t>{header.vocab_size, wide ? 4u : 2u, header.end_of_text,
                                                static_cast<uint32_t>(sources.size())}));
  for (const EncodedSource& s : sources) {
    TERN_TRY(parts.add_list(std::vector<uint64_t>{s.ends.size(), s.tokens.size(), s.mask.empty() ? 0u : 1u}));
  }
  for (const EncodedSource& s : sources) TERN_TRY(write_source(parts, s, wide));
  TERN_TRY(parts.finish());
  return file.commit();
}

Result<std::shared_ptr<const TokenFile>> TokenFile::open(const std::string& path) {
  std::shared_ptr<TokenFile> file(new TokenFile());
  TERN_TRY_ASSIGN(file->file_, MappedFile::open(path));
  if (Status status = file->parse(); !status.ok()) {
    return std::move(status).error().in(fmt::format("'{}' (delete it to have it made anew)", path));
  }
  return std::shared_ptr<const TokenFile>(std::move(file));
}

Status TokenFile::parse() {
  const auto bytes = file_->bytes();
  const auto bad = [](const char* what) {
    return make_error(ErrorCode::kCorrupt, "not a token file: {}", what);
  };
  if (bytes.size() < 56 || bytes.size() % 8 != 0 || std::memcmp(bytes.data(), kMagic, 8) != 0) {
    return bad("wrong magic or size");
  }
  Hash64 hash;
  hash.add(bytes.first(bytes.size() - 8));
  std::memcpy(&checksum_, bytes.data() + bytes.size() - 8, 8);
  if (checksum_ != hash.value()) return bad("the checksum is wrong");
  Reader reader(bytes.subspan(8, bytes.size() - 16));
  header_.key = reader.value<uint64_t>();
  header_.tokenizer_hash = reader.value<uint64_t>();
  header_.vocab_size = reader.value<uint32_t>();
  token_bytes_ = reader.value<uint32_t>();
  header_.end_of_text = reader.value<uint32_t>();
  const auto count = reader.value<uint32_t>();
  if ((token_bytes_ != 2 && token_bytes_ != 4) || count > kMaxSources || header_.vocab_size > INT32_MAX ||
      header_.end_of_text >= header_.vocab_size) {
    return bad("the header contradicts itself");
  }
  struct Sizes {
    uint64_t documents, tokens, has_mask;
  };
  std::vector<Sizes> sizes;
  for (uint32_t i = 0; i < count && reader.ok(); ++i) sizes.push_back(reader.value<Sizes>());
  for (const Sizes& size : sizes) {
    Source source;
    const auto ends = reader.part(size.documents, 8);
    const auto heldout = reader.part(size.documents, 1);
    source.tokens = reader.part(size.tokens, token_bytes_);
    if (size.has_mask != 0) source.mask = reader.part(size.tokens / 8 + (size.tokens % 8 != 0), 1);
    if (!reader.ok()) return bad("it is cut short");
    source.ends = {reinterpret_cast<const uint64_t*>(ends.data()), size.documents};
    source.heldout = {reinterpret_cast<const uint8_t*>(heldout.data()), size.documents};
    TERN_TRY(check_source(source));
    sources_.push_back(source);
  }
  return reader.ok() && reader.at_end() ? Status() : bad("it has another length than its header says");
}

Status TokenFile::check_source(const Source& source) const {
  const uint64_t tokens = source.tokens.size() / token_bytes_;
  uint64_t before = 0;
  for (const uint64_t end : source.ends) {
    if (end <= before || end > tokens) return make_error(ErrorCode::kCorrupt, "documents are not in order");
    before = end;
  }
  if (before != tokens) return make_error(ErrorCode::kCorrupt, "documents do not end with the tokens");
  for (uint64_t i = 0; i < tokens; ++i) {
    if (static_cast<uint32_t>(token(source, i)) >= header_.vocab_size) {
      return make_error(ErrorCode::kCorrupt, "token {} is outside the vocabulary", i);
    }
  }
  return {};
}

int32_t TokenFile::token(const Source& source, uint64_t index) const {
  if (token_bytes_ == 2) {
    uint16_t id = 0;
    std::memcpy(&id, source.tokens.data() + 2 * index, 2);
    return id;
  }
  int32_t id = 0;
  std::memcpy(&id, source.tokens.data() + 4 * index, 4);
  return id;
}

}  // namespace tern::train
