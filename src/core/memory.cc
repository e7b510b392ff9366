// SPDX-License-Identifier: MIT
#include "core/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace tern {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t mapped_size(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

bool is_mapped(size_t bytes) { return bytes >= kHugePage; }

}  // namespace

Result<Buffer> Buffer::allocate(size_t bytes) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  const auto fail = [bytes] {
    return make_error(ErrorCode::kOutOfMemory, "cannot allocate {} bytes: out of memory", bytes);
  };
  if (bytes > (size_t{1} << 46)) return fail();
  if (is_mapped(bytes)) {
    // Over-map by one huge page and cut the ends off, so that the block starts on a huge page.
    const size_t size = mapped_size(bytes);
    void* raw = ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return fail();
    auto* begin = static_cast<std::byte*>(raw);
    const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
    if (head > 0) ::munmap(begin, head);
    ::munmap(begin + head + size, kHugePage - head);
    ::madvise(begin + head, size, MADV_HUGEPAGE);
    buffer.data_ = begin + head;
  } else {
    const size_t rounded = (bytes + 63) / 64 * 64;
    buffer.data_ = static_cast<std::byte*>(std::aligned_alloc(64, rounded));
    if (buffer.data_ == nullptr) return fail();
    std::fill_n(buffer.data_, rounded, std::byte{0});
  }
  buffer.size_ = bytes;
  return buffer;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  if (is_mapped(size_)) {
    ::munmap(data_, mapped_size(size_));
  } else {
    std::free(data_);
  }
}

Result<std::shared_ptr<std::byte>> Arena::allocate(size_t bytes) {
  constexpr size_t kBlock = size_t{64} << 20;  // address space; the system commits only what is written
  if (block_ == nullptr || block_->size() - used_ < bytes) {
    TERN_TRY_ASSIGN(Buffer block, Buffer::allocate(std::max(kBlock, bytes)));
    block_ = std::make_shared<Buffer>(std::move(block));
    used_ = 0;
  }
  std::byte* part = block_->data() + used_;
  used_ = std::min(block_->size(), used_ + (bytes + 63) / 64 * 64);
  return std::shared_ptr<std::byte>(block_, part);
}

size_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

}  // namespace tern
