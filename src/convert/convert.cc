// SPDX-License-Identifier: MIT
#include "convert/convert.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "convert/checks.h"
#include "convert/i2s_order.h"
#include "core/cpu_features.h"
#include "core/printable.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/registry.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

/// DST must not exist, must have a folder, and must not lie inside SRC.
Status check_paths(const std::string& source, const std::string& target, bool force) {
  std::error_code error;
  const fs::path from = fs::weakly_canonical(fs::absolute(source), error);
  if (error || !fs::exists(from, error)) {
    return make_error(ErrorCode::kNotFound, "'{}' does not exist", printable(source, 512));
  }
  const fs::path to = fs::weakly_canonical(fs::absolute(target), error);
  const fs::path inside = to.lexically_relative(from);
  if (to == from || (fs::is_directory(from) && !inside.empty() && *inside.begin() != "..")) {
    return make_error(ErrorCode::kUsage, "'{}' lies inside the source '{}': choose another place",
                      printable(target, 512), printable(source, 512));
  }
  if (!fs::is_directory(to.parent_path(), error)) {
    return make_error(ErrorCode::kUsage, "the folder of '{}' does not exist", printable(target, 512));
  }
  if (fs::exists(to, error) && !force) {
    return make_error(ErrorCode::kUsage, "'{}' exists: --force replaces it", printable(target, 512));
  }
  return {};
}

/// A file that does not name the byte order of its I2_S tensors must not be clearly better in another one.
Status check_i2s_order(const std::string& source, const ConvertOptions& options, ConvertReport& report) {
  if (options.import.i2s_order || fs::is_directory(source)) return {};
  TERN_TRY_ASSIGN(const auto weights, Weights::open(source, options.import.weights));
  if (!has_unmarked_i2s(weights->gguf())) return {};
  TERN_TRY_ASSIGN(const KernelTable kernels, choose_kernels("auto", detect_cpu_features()));
  const auto backend = make_cpu_backend(kernels, options.pool);
  const auto verdict =
      compare_i2s_orders(weights, *backend, I2sOrder::kX86_128, options.import.open_tokenizer);
  if (!verdict.ok()) {
    // A model that cannot be run can still be converted; its order is then the user's responsibility.
    report.notes.push_back(
        fmt::format("the byte order of I2_S could not be tested: {}", verdict.error().message));
    return {};
  }
  if (!verdict->unchecked.empty()) report.notes.push_back(verdict->unchecked);
  if (!verdict->better) return {};
  return make_error(
      ErrorCode::kUnsupported,
      "the file does not say the byte order of its I2_S tensors, and a test text is predicted clearly "
      "better in another one ({}): say --i2s-order {}",
      verdict->comparison, i2s_order_name(*verdict->better));
}

}  // namespace

Status check_free_space(const std::string& path, uint64_t bytes) {
  struct statvfs info{};
  const std::string folder = fs::path(path).has_parent_path() ? fs::path(path).parent_path().string() : ".";
  if (::statvfs(folder.c_str(), &info) != 0) return {};
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  if (free >= bytes) return {};
  return make_error(ErrorCode::kIo, "'{}' needs {} bytes, its disk has {} free", printable(path, 512), bytes,
                    free);
}

Result<ConvertReport> convert_model(const std::string& source, const std::string& target,
                                    const ConvertOptions& options) {
  TERN_TRY(check_paths(source, target, options.force));
  ConvertReport report;
  TERN_TRY_ASSIGN(Checkpoint checkpoint, open_checkpoint(source, options.import));
  report.source_kind = checkpoint.kind;
  report.source_bytes = checkpoint.source_bytes;
  report.notes = checkpoint.doubts;
  TERN_TRY(check_i2s_order(source, options, report));
  TERN_TRY_ASSIGN(const auto oddities, check_text(checkpoint, options.import));
  for (const std::string& line : oddities) {
    if (std::find(report.notes.begin(), report.notes.end(), line) == report.notes.end())
      report.notes.push_back(line);
  }
  report.architecture = checkpoint.text("general.architecture");
  TERN_TRY(options.to_hf ? write_hf_target(checkpoint, target, options, report)
                         : write_gguf_target(checkpoint, target, options, report));
  for (std::string& line : check_weights(report.tensors)) report.notes.push_back(std::move(line));
  return report;
}

}  // namespace tern
