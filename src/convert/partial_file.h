// SPDX-License-Identifier: MIT
// A large file that can be gone on with after an interruption: DST.partial grows beside DST, a journal beside
// it says which tensors are complete, each with a digest that is checked before it is used again. DST itself
// appears by rename when everything is there. Used by the GGUF writer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/digest.h"
#include "core/result.h"

namespace tern {

class PartialFile {
 public:
  /// A complete tensor: its place, and what its writer wants to know again after an interruption.
  struct Entry {
    uint64_t offset = 0, bytes = 0;
    std::string note;  // one line
  };

  /// Opens DST.partial and locks it. Where its journal names the same `identity` (one line: of sources and
  /// plan) the complete tensors are kept whose bytes still have their digest; otherwise the file starts anew
  /// with `head`. Errors: kIo with the path, also where another process is writing it.
  static Result<PartialFile> open(const std::string& path, const std::string& identity,
                                  const std::string& head);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();  // keeps both files

  const std::vector<Entry>& entries() const { return entries_; }  // that are complete, in order

  /// Appends a piece of the tensor that comes next.
  Status append(std::span<const std::byte> bytes);
  /// Ends the tensor: pads with zeros to `alignment`, and notes it in the journal.
  Status finish_tensor(uint64_t alignment, const std::string& note);

  const std::string& path() const { return partial_; }
  /// Overwrites bytes at the front (a value whose space was reserved).
  Status patch(uint64_t offset, std::string_view bytes);
  /// Makes everything durable and gives the file its name.
  Status commit();
  /// Removes both files; for failures that a second try would repeat.
  void discard();

 private:
  PartialFile(std::string path, int fd);
  Status start(const std::string& identity, const std::string& head);
  Status read_journal(const std::string& identity, uint64_t head_bytes);
  Status keep_dirty_pages_few();

  std::string path_, partial_, journal_path_;
  int fd_ = -1, journal_ = -1;
  uint64_t end_ = 0, begin_ = 0;  // of the file; of the tensor being written
  uint64_t flushed_ = 0;
  Digest digest_;  // of the tensor being written
  std::vector<Entry> entries_;
};

}  // namespace tern
