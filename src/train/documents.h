// SPDX-License-Identifier: MIT
// Reads one data source: which files it names, where a document begins and ends, what a chat example is, and
// which documents are held out. Called by prepare(); the parser is also fuzzed by itself.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/mapped_file.h"
#include "core/result.h"
#include "train/config.h"

namespace tern::train {

struct ChatTurn {
  std::string_view role, content;
};

/// A text, or the turns of a conversation. Views into SourceText.
struct Document {
  std::string_view text;        // empty for a chat
  std::vector<ChatTurn> turns;  // empty for a text
  uint64_t hash = 0;            // of its content alone
  bool heldout = false;
};

/// The documents of a source, in the order of its files.
struct SourceText {
  std::vector<Document> documents;
  int64_t bytes = 0;                                     // of the files
  uint64_t content_hash = 0;                             // of the files' bytes, names aside
  std::vector<std::shared_ptr<const MappedFile>> files;  // what the views point into
  std::deque<std::string> owned;
};

/// The files that a source's path names, sorted by name: the file itself, the files of a folder (hidden ones
/// aside), or those that a pattern with * and ? in the last part matches. Errors: kNotFound where there are
/// none.
Result<std::vector<std::string>> source_files(const std::string& path);

/// Appends the documents of one file's text. `name` is for messages; `text` must live as long as `out`.
/// Errors: kCorrupt with name and byte offset (not UTF-8) or line (JSON lines).
Status parse_documents(std::string_view text, const DataSource& source, const std::string& name,
                       SourceText& out);

/// Reads all files of a source and marks the documents whose hash is below `heldout`. `progress` gets bytes
/// done; false cancels. Errors: those above; kUsage where the source has no document; kCancelled.
Result<SourceText> read_source(const DataSource& source, double heldout,
                               const std::function<bool(int64_t bytes)>& progress);

}  // namespace tern::train
