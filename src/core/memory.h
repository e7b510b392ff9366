// SPDX-License-Identifier: MIT
// Owned, aligned, zeroed memory for weights, activations and caches. Large blocks ask for huge pages.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "core/result.h"

namespace tern {

/// A block of zeroed bytes, aligned to 64 (to a huge page where the block is large). Move-only; empty when
/// moved from.
class Buffer {
 public:
  Buffer() = default;
  /// Errors: kOutOfMemory with the number of bytes. Pages are touched lazily by the system.
  static Result<Buffer> allocate(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Hands out parts of large blocks, so that many matrices share huge pages without rounding each one up to
/// them (a 4.4 MB matrix of its own would take 6 MB). A block lives until the last part of it and the arena
/// are gone.
class Arena {
 public:
  /// `bytes` > 0 zeroed bytes, aligned to 64. Errors: kOutOfMemory.
  Result<std::shared_ptr<std::byte>> allocate(size_t bytes);

 private:
  std::shared_ptr<Buffer> block_;
  size_t used_ = 0;
};

/// Peak resident memory of this process in bytes, file pages included (VmHWM), or 0 where the system does not
/// say.
size_t peak_resident_bytes();

}  // namespace tern
