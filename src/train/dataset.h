// SPDX-License-Identifier: MIT
// Batches of token rows for the trainer, made from the prepared token file. Decides which documents stand in
// which row: a pure function of (files, seed, row number), so that a run resumes exactly from one integer and
// two runs see the same rows. Called by the trainer; made by open() from what prepare() (corpus.h) returned.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "train/config.h"
#include "train/corpus.h"
#include "train/teacher_file.h"

namespace tern::train {

/// Rows for one forward pass; all vectors are row-major [rows, context].
///
/// The loss of a position is that of predicting targets[i] from tokens[..i] of the same segment, counted
/// where mask[i] is 1. A position attends to those positions at or before it in its row that have its own
/// segment id. RoPE positions may be plain column numbers: attention depends on differences only.
struct Batch {
  int32_t rows = 0, context = 0;
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;   // a valid id everywhere, also where mask is 0
  std::vector<uint8_t> mask;      // 1 where the loss counts: not the end of a document, padding, user turns
  std::vector<int32_t> segments;  // 0, 1, ... along the row; -1: padding
  std::vector<int32_t> sources;   // [rows] which of data.sources the row comes from

  // Distillation: what a teacher gives the next token, its teacher_k likeliest, [rows, context, teacher_k];
  // teacher_k is 0 and both are empty where no teacher is attached, and in held-out batches.
  int32_t teacher_k = 0;
  std::vector<int32_t> teacher_ids;
  std::vector<float> teacher_log_probs;  // -infinity at padding
};

/// How much of a source there is.
struct SourceStats {
  std::string path;  // as in the configuration
  SourceKind kind = SourceKind::kText;
  double share = 0;                                   // of the training rows
  int64_t documents = 0, tokens = 0;                  // training part
  int64_t heldout_documents = 0, heldout_tokens = 0;  // held-out part
};

/// Text is packed as a stream: documents in seeded order, each ended by <|endoftext|>, cut into rows of
/// `context` targets that continue; a new order and a new phase of the cuts in every epoch. Chat examples are
/// packed whole (first of the next 32 that fits, then padding); only one that is longer than a row is cut
/// into rows. Which source a row comes from follows the weights exactly in every 1,024 rows.
class Dataset {
 public:
  /// Opens the token file of `prepared`, checks its checksum, and plans rows of `context` tokens. `weights`
  /// comes from config.data.sources. Errors: kCorrupt, kIo with the file's name; kUsage where no source with
  /// a weight above 0 has a training document. Memory: the file is mapped; 8 to 16 bytes a document besides.
  static Result<std::unique_ptr<Dataset>> open(const Prepared& prepared, const DataConfig& config,
                                               int32_t context);
  ~Dataset();

  /// Training rows first_row .. first_row + rows - 1 of the endless sequence; first_row >= 0. Any order of
  /// calls gives the same rows, ascending calls are fast. `out`'s vectors are reused. Threads: one at a time.
  void batch(int64_t first_row, int32_t rows, Batch& out);

  /// From now on training rows are the first teacher->rows() ones, again and again, with the teacher's
  /// distributions; every position of a segment then counts (mask 1). Changes fingerprint(). Errors: kUsage
  /// where the file was collected from other rows.
  Status attach_teacher(std::shared_ptr<const TeacherFile> teacher);

  /// Rows that hold all held-out documents of a source, once each, in file order; the last one padded.
  int64_t heldout_rows(size_t source) const;
  /// Held-out rows of a source; first_row + rows <= heldout_rows(source).
  void heldout_batch(size_t source, int64_t first_row, int32_t rows, Batch& out);

  int32_t vocab_size() const;
  int32_t context() const;
  std::span<const SourceStats> sources() const;
  /// Hash of the token file and of everything that decides the order of rows; a checkpoint keeps it, so that
  /// resuming with other data is noticed.
  uint64_t fingerprint() const;

 private:
  struct Impl;
  explicit Dataset(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tern::train
