// SPDX-License-Identifier: MIT
// Which documents stand in which row during one pass over a source: pure functions of lengths and a seed.
// Decides order, cutting and packing; Dataset turns plans into token rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tern::train {

/// Columns of a row that come from one document: inputs are its tokens begin .. begin + columns - 1, targets
/// the same one further.
struct Piece {
  uint32_t document;
  uint32_t begin;
  uint32_t columns;
};

/// Rows of a pass: row r is pieces[row_begin[r] .. row_begin[r + 1]), at most `context` columns in all.
struct RowPlan {
  std::vector<Piece> pieces;
  std::vector<uint32_t> row_begin = {0};

  size_t num_rows() const { return row_begin.size() - 1; }
  std::span<const Piece> row(size_t r) const {
    return std::span(pieces).subspan(row_begin[r], row_begin[r + 1] - row_begin[r]);
  }
};

/// A document as packing sees it.
struct DocumentLength {
  uint32_t document;  // index in its source
  uint32_t columns;   // tokens - 1, at least 1
};

/// Puts the documents into the order of a pass; a pure function of (count, seed).
void shuffle_documents(std::vector<DocumentLength>& documents, uint64_t seed);

/// A stream of documents cut every `context` columns. `skip`: columns left out at the start. The rest that
/// does not fill a row is a short last row where `keep_rest` or where it is the only one, and left out
/// otherwise.
RowPlan plan_stream(std::span<const DocumentLength> documents, uint32_t context, uint64_t skip,
                    bool keep_rest);

/// Documents packed whole: each row takes the first of the next 32 that still fits. Longer ones than a row
/// are cut into pieces of a row first.
RowPlan plan_whole(std::span<const DocumentLength> documents, uint32_t context);

/// The sources of `rows` consecutive rows: each source exactly its apportioned number (largest remainder, at
/// least one for a share above 0), shuffled by seed. Shares sum to 1; at most `rows` of them are above 0.
std::vector<int32_t> mixture_cycle(std::span<const int32_t> counts, uint64_t seed);
std::vector<int32_t> apportion(std::span<const double> shares, int32_t rows);

}  // namespace tern::train
