// SPDX-License-Identifier: MIT
// A teacher's next-token distributions for the rows of a data set: its k likeliest tokens at every position.
// Decides layout, resuming and checking; written by collect.h, read by Dataset::attach_teacher().
//
// Little-endian: header "TERNTOP1", u64 fingerprint of the data set, u64 of the teacher, u32 vocabulary, u32
// k, u32 context, u32 0, u64 Hash64 of the 40 bytes before. Then rows of equal size: u32 ids[context][k],
// descending in probability; f16 ln p[context][k], padded with zeros to 8 bytes; u64 Hash64 of the row
// before. A position without a distribution has -infinity everywhere. Rows are appended as they are made: a
// file that ends inside a row was interrupted and is continued there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/result.h"

namespace tern::train {

struct TeacherHeader {
  uint64_t data_fingerprint = 0;  // Dataset::fingerprint()
  uint64_t teacher = 0;           // hash of the model file's bytes that decide (collect.h)
  uint32_t vocab_size = 0, k = 0, context = 0;

  bool operator==(const TeacherHeader&) const = default;
  size_t entries() const { return static_cast<size_t>(context) * k; }
  /// Bytes of a row in the file.
  size_t row_bytes() const { return (entries() * 6 + 7) / 8 * 8 + 8; }
};

/// One row, [context, k].
struct TeacherRow {
  std::vector<uint32_t> ids;
  std::vector<uint16_t> log_probs;  // f16 bits
};

/// Appends rows. Not atomic by design: what is there stays usable after a crash.
class TeacherWriter {
 public:
  /// Creates the file, or continues one with the same header behind its last row whose checksum is right.
  /// Errors: kUsage where the file belongs to other data, another teacher or another k; kCorrupt, kIo.
  static Result<TeacherWriter> open(const std::string& path, const TeacherHeader& header);
  TeacherWriter(TeacherWriter&& other) noexcept;
  TeacherWriter& operator=(TeacherWriter&&) = delete;
  ~TeacherWriter();

  int64_t rows() const { return rows_; }  // in the file
  Status append(const TeacherRow& row);
  /// Makes what was appended durable. Errors: kIo.
  Status sync();

 private:
  TeacherWriter(std::string path, TeacherHeader header, int fd, int64_t rows)
      : path_(std::move(path)), header_(header), fd_(fd), rows_(rows) {}
  std::string path_;
  TeacherHeader header_;
  int fd_;
  int64_t rows_;
  std::vector<std::byte> buffer_;
};

/// An open file; immutable.
class TeacherFile {
 public:
  /// Maps and checks every row. A row that was cut off at the end is left out. Errors: kNotFound, kIo,
  /// kCorrupt (damaged, or no row at all).
  static Result<std::shared_ptr<const TeacherFile>> open(const std::string& path);

  const TeacherHeader& header() const { return header_; }
  int64_t rows() const { return rows_; }
  /// Row `row` as floats: ids and ln p, [context, k] each.
  void read(int64_t row, std::span<int32_t> ids, std::span<float> log_probs) const;

 private:
  TeacherFile() = default;
  Status parse();
  std::shared_ptr<const MappedFile> file_;
  TeacherHeader header_;
  int64_t rows_ = 0;
};

}  // namespace tern::train
