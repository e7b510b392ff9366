// SPDX-License-Identifier: MIT
#include "train/teacher_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/float16.h"
#include "core/printable.h"
#include "train/hash.h"

namespace tern::train {
namespace {

constexpr char kMagic[] = {'T', 'E', 'R', 'N', 'T', 'O', 'P', '1'};
constexpr size_t kHeaderBytes = 48;
constexpr uint32_t kMaxK = 1024, kMaxContext = 1u << 20;

uint64_t sum_of(std::span<const std::byte> bytes) {
  Hash64 hash;
  hash.add(bytes);
  return hash.value();
}

std::vector<std::byte> header_bytes(const TeacherHeader& header) {
  std::vector<std::byte> bytes(kHeaderBytes);
  const uint64_t wide[] = {header.data_fingerprint, header.teacher};
  const uint32_t narrow[] = {header.vocab_size, header.k, header.context, 0};
  std::memcpy(bytes.data(), kMagic, 8);
  std::memcpy(bytes.data() + 8, wide, 16);
  std::memcpy(bytes.data() + 24, narrow, 16);
  const uint64_t sum = sum_of(std::span(bytes).first(40));
  std::memcpy(bytes.data() + 40, &sum, 8);
  return bytes;
}

Result<TeacherHeader> read_header(std::span<const std::byte> bytes) {
  const auto bad = [](const char* what) {
    return make_error(ErrorCode::kCorrupt, "not a teacher file: {}", what);
  };
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic, 8) != 0)
    return bad("wrong magic or size");
  uint64_t sum = 0, wide[2];
  uint32_t narrow[4];
  std::memcpy(&sum, bytes.data() + 40, 8);
  if (sum != sum_of(bytes.first(40))) return bad("the header's checksum is wrong");
  std::memcpy(wide, bytes.data() + 8, 16);
  std::memcpy(narrow, bytes.data() + 24, 16);
  const TeacherHeader header{wide[0], wide[1], narrow[0], narrow[1], narrow[2]};
  if (header.vocab_size == 0 || header.vocab_size > INT32_MAX || header.k == 0 || header.k > kMaxK ||
      header.k > header.vocab_size || header.context == 0 || header.context > kMaxContext) {
    return bad("the header contradicts itself");
  }
  return header;
}

bool is_whole(std::span<const std::byte> row) {
  uint64_t sum = 0;
  std::memcpy(&sum, row.data() + row.size() - 8, 8);
  return sum == sum_of(row.first(row.size() - 8));
}

Error io_error(const char* what, const std::string& path) {
  return make_error(ErrorCode::kIo, "cannot {} '{}': {}", what, printable(path, 512), std::strerror(errno));
}

Status write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return io_error("write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

// Rows of the file that may be kept; 0 where there is no file, or an interrupted header.
Result<int64_t> rows_to_keep(const std::string& path, const TeacherHeader& header) {
  const auto file = MappedFile::open(path);
  if (!file.ok() && file.error().code == ErrorCode::kNotFound) return int64_t{0};
  if (!file.ok()) return file.error();
  const auto bytes = (*file)->bytes();
  if (bytes.size() < kHeaderBytes) return int64_t{0};
  TERN_TRY_ASSIGN(const TeacherHeader there, read_header(bytes));
  if (!(there == header)) {
    return make_error(ErrorCode::kUsage,
                      "'{}' was collected from another teacher, other data or with another k: delete it or "
                      "choose another file",
                      printable(path, 512));
  }
  auto rows = static_cast<int64_t>((bytes.size() - kHeaderBytes) / header.row_bytes());
  const auto row = [&](int64_t i) {
    return bytes.subspan(kHeaderBytes + static_cast<size_t>(i) * header.row_bytes(), header.row_bytes());
  };
  // After a crash only rows at the end can be damaged.
  while (rows > 0 && !is_whole(row(rows - 1))) --rows;
  return rows;
}

}  // namespace

Result<TeacherWriter> TeacherWriter::open(const std::string& path, const TeacherHeader& header) {
  TERN_TRY_ASSIGN(const int64_t rows, rows_to_keep(path, header));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return io_error("create", path);
  TeacherWriter writer(path, header, fd, rows);
  const auto kept =
      static_cast<off_t>(rows == 0 ? 0 : kHeaderBytes + static_cast<size_t>(rows) * header.row_bytes());
  if (::ftruncate(fd, kept) != 0 || ::lseek(fd, kept, SEEK_SET) < 0) return io_error("cut off", path);
  if (rows == 0) TERN_TRY(write_all(fd, header_bytes(header), path));
  return writer;
}

TeacherWriter::TeacherWriter(TeacherWriter&& other) noexcept
    : path_(std::move(other.path_)),
      header_(other.header_),
      fd_(std::exchange(other.fd_, -1)),
      rows_(other.rows_),
      buffer_(std::move(other.buffer_)) {}

TeacherWriter::~TeacherWriter() {
  if (fd_ >= 0) ::close(fd_);
}

Status TeacherWriter::append(const TeacherRow& row) {
  TERN_CHECK(row.ids.size() == header_.entries() && row.log_probs.size() == header_.entries(), "a whole row");
  buffer_.assign(header_.row_bytes(), std::byte{0});
  std::memcpy(buffer_.data(), row.ids.data(), 4 * row.ids.size());
  std::memcpy(buffer_.data() + 4 * row.ids.size(), row.log_probs.data(), 2 * row.log_probs.size());
  const uint64_t sum = sum_of(std::span(buffer_).first(buffer_.size() - 8));
  std::memcpy(buffer_.data() + buffer_.size() - 8, &sum, 8);
  TERN_TRY(write_all(fd_, buffer_, path_));
  ++rows_;
  return {};
}

Status TeacherWriter::sync() { return ::fsync(fd_) == 0 ? Status() : Status(io_error("sync", path_)); }

Result<std::shared_ptr<const TeacherFile>> TeacherFile::open(const std::string& path) {
  std::shared_ptr<TeacherFile> file(new TeacherFile());
  TERN_TRY_ASSIGN(file->file_, MappedFile::open(path));
  if (Status status = file->parse(); !status.ok()) {
    return std::move(status).error().in(fmt::format("'{}'", printable(path, 512)));
  }
  return std::shared_ptr<const TeacherFile>(std::move(file));
}

Status TeacherFile::parse() {
  const auto bytes = file_->bytes();
  TERN_TRY_ASSIGN(header_, read_header(bytes));
  const size_t size = header_.row_bytes();
  rows_ = static_cast<int64_t>((bytes.size() - kHeaderBytes) / size);
  if (rows_ == 0) return make_error(ErrorCode::kCorrupt, "it has no row yet");
  for (int64_t r = 0; r < rows_; ++r) {
    const auto row = bytes.subspan(kHeaderBytes + static_cast<size_t>(r) * size, size);
    if (!is_whole(row)) return make_error(ErrorCode::kCorrupt, "the checksum of row {} is wrong", r);
    for (size_t i = 0; i < header_.entries(); ++i) {
      uint32_t id = 0;
      std::memcpy(&id, row.data() + 4 * i, 4);
      if (id >= header_.vocab_size)
        return make_error(ErrorCode::kCorrupt, "row {} has a token outside the vocabulary", r);
    }
  }
  return {};
}

void TeacherFile::read(int64_t row, std::span<int32_t> ids, std::span<float> log_probs) const {
  const size_t n = header_.entries();
  TERN_CHECK(row >= 0 && row < rows_ && ids.size() == n && log_probs.size() == n, "a row that exists");
  const std::byte* data =
      file_->bytes().data() + kHeaderBytes + static_cast<size_t>(row) * header_.row_bytes();
  std::memcpy(ids.data(), data, 4 * n);
  for (size_t i = 0; i < n; ++i) {
    uint16_t half = 0;
    std::memcpy(&half, data + 4 * n + 2 * i, 2);
    log_probs[i] = f16_to_f32(half);
  }
}

}  // namespace tern::train
