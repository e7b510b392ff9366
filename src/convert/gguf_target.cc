// SPDX-License-Identifier: MIT
// A checkpoint into a GGUF file: header, tensors one after the other, then the certificate into its reserved
// place.
#include <chrono>
#include <filesystem>

#include "convert/convert.h"
#include "convert/partial_file.h"
#include "convert/self_check.h"
#include "core/cpu_features.h"
#include "core/printable.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/registry.h"

namespace tern {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Bytes of a tensor as planned; a .scale tensor behind it counts for itself.
Result<uint64_t> planned_bytes(const TensorPlan& plan) {
  return tensor_byte_size(plan.dtype, plan.source->rows(), plan.source->cols());
}

class GgufTarget {
 public:
  GgufTarget(const Checkpoint& checkpoint, const std::string& path, const ConvertOptions& options,
             ConvertReport& report)
      : in_(checkpoint), path_(path), options_(options), report_(report) {}

  Status write();

 private:
  Status make_header();
  Status write_tensors(PartialFile& file);
  Status write_tensor(const TensorPlan& plan, PartialFile& file);
  Status certify(PartialFile& file);
  Status check_itself(const std::string& path, Certificate& certificate);
  bool is_cancelled() const { return options_.cancel != nullptr && options_.cancel->load(); }
  void show(std::string_view what, uint64_t done, uint64_t total) const {
    if (options_.progress) options_.progress(what, static_cast<int64_t>(done), static_cast<int64_t>(total));
  }

  const Checkpoint& in_;
  const std::string& path_;
  const ConvertOptions& options_;
  ConvertReport& report_;
  FilePlan plan_;
  std::string head_;
  size_t certificate_offset_ = 0, certificate_space_ = 0;
  uint64_t data_bytes_ = 0, done_bytes_ = 0;
  Rounding rounding_;
  std::string rounded_tensor_;
};

Status GgufTarget::make_header() {
  GgufWriter writer;
  uint64_t tensor_bytes = 0;
  uint32_t count = 0;
  std::vector<std::string> names;
  const auto nothing = [](std::span<std::byte>) { return Status(); };  // the data is written by this class
  for (const TensorPlan& plan : plan_.tensors) {
    TERN_TRY(writer.add_tensor(plan.name, plan.dtype, plan.source->shape, nothing));
    TERN_TRY_ASSIGN(const uint64_t bytes, planned_bytes(plan));
    tensor_bytes += bytes;
    data_bytes_ += gguf_padded(bytes, kGgufDefaultAlignment);
    names.push_back(plan.name);
    ++count;
    if (!plan.separate_scale) continue;
    const std::string stem = plan.name.substr(0, plan.name.size() - std::string_view(".weight").size());
    TERN_TRY(writer.add_tensor(stem + ".scale", DType::kF32, {1}, nothing));
    tensor_bytes += sizeof(float);
    data_bytes_ += kGgufDefaultAlignment;
    ++count;
  }
  for (const auto& [key, value] : plan_.keys) writer.set(key, value);
  writer.set("tern.numerics", kNumericsVersion);
  writer.set("tern.tensor_count", count);
  writer.set("tern.tensor_bytes", tensor_bytes);
  certificate_space_ = certificate_space(names);
  writer.set(kCertificateKey, std::string(certificate_space_, ' '));
  TERN_TRY_ASSIGN(head_, writer.header());
  // The value stands behind its key, the type and its length.
  const size_t key_at = head_.rfind(kCertificateKey);
  TERN_CHECK(key_at != std::string::npos, "the certificate's key is in the header");
  certificate_offset_ = key_at + std::string_view(kCertificateKey).size() + 4 + 8;
  return {};
}

Status GgufTarget::write_tensor(const TensorPlan& plan, PartialFile& file) {
  TensorFacts facts;
  Rounding rounding;
  TERN_TRY(transcode(
      plan,
      [&](std::span<const std::byte> bytes) -> Status {
        if (is_cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
        TERN_TRY(file.append(bytes));
        done_bytes_ += bytes.size();
        show("converting", done_bytes_, data_bytes_);
        return {};
      },
      facts, rounding));
  if (rounding.count > 0 && rounding.largest_error > rounding_.largest_error) {
    rounding_.largest_error = rounding.largest_error;
    rounded_tensor_ = plan.name;
  }
  rounding_.count += rounding.count;
  TERN_TRY(file.finish_tensor(kGgufDefaultAlignment, facts_to_line(facts)));
  report_.tensors.push_back(std::move(facts));
  if (!plan.separate_scale) return {};
  TERN_TRY(file.append(std::as_bytes(std::span(&plan.scale, 1))));
  return file.finish_tensor(kGgufDefaultAlignment, "scale");
}

Status GgufTarget::write_tensors(PartialFile& file) {
  const std::vector<PartialFile::Entry> kept = file.entries();
  size_t entry = 0;
  for (const TensorPlan& plan : plan_.tensors) {
    const size_t needed = plan.separate_scale ? 2 : 1;
    if (entry + needed <= kept.size()) {
      TERN_TRY_ASSIGN(TensorFacts facts, facts_from_line(kept[entry].note));
      report_.tensors.push_back(std::move(facts));
      for (size_t i = 0; i < needed; ++i) report_.resumed_bytes += kept[entry++].bytes;
      done_bytes_ = report_.resumed_bytes;
      continue;
    }
    if (entry < kept.size()) {  // the matrix is there, its scale is not
      TERN_TRY_ASSIGN(TensorFacts facts, facts_from_line(kept[entry].note));
      report_.tensors.push_back(std::move(facts));
      report_.resumed_bytes += kept[entry++].bytes;
      TERN_TRY(file.append(std::as_bytes(std::span(&plan.scale, 1))));
      TERN_TRY(file.finish_tensor(kGgufDefaultAlignment, "scale"));
      continue;
    }
    TERN_TRY(write_tensor(plan, file));
  }
  return {};
}

/// Loads what was written, layer by layer, with the scalar kernels.
Status GgufTarget::check_itself(const std::string& path, Certificate& certificate) {
  TERN_TRY_ASSIGN(const auto weights, Weights::open(path));
  TERN_TRY_ASSIGN(const KernelTable scalar, choose_kernels("scalar", detect_cpu_features()));
  const auto backend = make_cpu_backend(scalar, options_.pool);
  const auto begin = Clock::now();
  auto check = run_self_check(weights, *backend, {}, nullptr, [this](int64_t done, int64_t total) {
    show("self-check", static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  });
  report_.check_seconds = seconds_since(begin);
  if (check.ok()) {
    certificate.self_check = *check;
    report_.self_check = std::move(check).value();
    return {};
  }
  // What tern does not compute (yet) can be converted all the same; what it computes must work.
  if (check.error().code != ErrorCode::kUnsupported && check.error().code != ErrorCode::kNotFound) {
    return std::move(check).error().in("self-check of the written file");
  }
  certificate.unchecked = check.error().message;
  report_.notes.push_back(fmt::format("no self-check: {}", check.error().message));
  return {};
}

Status GgufTarget::certify(PartialFile& file) {
  Certificate certificate;
  certificate.source = report_.source_kind;
  certificate.tensors = report_.tensors;
  if (options_.skip_self_check) {
    certificate.unchecked = "the conversion was asked to skip it";
    report_.notes.push_back("no self-check: --no-self-check");
  } else {
    TERN_TRY(check_itself(file.path(), certificate));
  }
  TERN_TRY_ASSIGN(const std::string text, certificate_text(certificate, certificate_space_));
  return file.patch(certificate_offset_, text);
}

Status GgufTarget::write() {
  TERN_TRY_ASSIGN(plan_, plan_gguf(in_, options_.target));
  for (const std::string& note : plan_.notes) report_.notes.push_back(note);
  TERN_TRY(make_header());
  Digest source;
  source.update(in_.fingerprint);
  const auto begin = Clock::now();
  TERN_TRY_ASSIGN(PartialFile file, PartialFile::open(path_, source.hex(), head_));
  uint64_t there = 0;
  for (const PartialFile::Entry& entry : file.entries()) there += entry.bytes;
  Status status = check_free_space(path_, head_.size() + data_bytes_ - there);
  if (status.ok()) status = write_tensors(file);
  report_.seconds = seconds_since(begin);
  if (status.ok()) status = certify(file);
  if (status.ok()) status = file.commit();
  if (!status.ok()) {
    const ErrorCode code = status.error().code;
    if (code == ErrorCode::kCancelled) {
      return make_error(code, "stopped after {} of {} bytes; the same command goes on from there",
                        done_bytes_, data_bytes_);
    }
    if (code != ErrorCode::kIo) file.discard();  // a full disk can be emptied; other failures come again
    return std::move(status).error();
  }
  if (rounding_.count > 0) {
    report_.notes.push_back(fmt::format("{} values were rounded, by at most {:g} (tensor '{}')",
                                        rounding_.count, rounding_.largest_error,
                                        printable(rounded_tensor_)));
  }
  report_.written_bytes = head_.size() + data_bytes_;
  return {};
}

}  // namespace

Status write_gguf_target(const Checkpoint& checkpoint, const std::string& target,
                         const ConvertOptions& options, ConvertReport& report) {
  return GgufTarget(checkpoint, target, options, report).write();
}

}  // namespace tern
