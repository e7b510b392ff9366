// SPDX-License-Identifier: MIT
#include "train/checkpoint.h"

#include <torch/torch.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "core/mapped_file.h"
#include "formats/safetensors.h"

namespace tern::train {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "tern-checkpoint-1";
constexpr std::string_view kPrefix = "checkpoint-", kSuffix = ".safetensors";
constexpr size_t kKept = 2;

std::span<const std::byte> bytes_of(const float* values, int64_t count) {
  return std::as_bytes(std::span(values, static_cast<size_t>(count)));
}

/// Every part of every parameter: visit(name, shape, offset in the flat vectors, count).
template <class Visit>
Status for_each_part(const TrainModel& model, const Visit& visit) {
  for (const Parameter& p : model.parameters()) {
    const int64_t cols = p.value.size(-1);
    for (const Part& part : p.parts) {
      std::vector<uint64_t> shape = {static_cast<uint64_t>(cols)};
      if (p.is_matrix) shape.insert(shape.begin(), static_cast<uint64_t>(part.rows));
      TERN_TRY(visit(part.name, shape, p.offset + part.row * cols, part.rows * cols));
    }
  }
  return {};
}

/// Steps of the checkpoints of a folder, ascending.
Result<std::vector<int64_t>> list_steps(const std::string& folder) {
  std::vector<int64_t> steps;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) ||
        name.size() <= kPrefix.size() + kSuffix.size())
      continue;
    const char *begin = name.data() + kPrefix.size(), *stop = name.data() + name.size() - kSuffix.size();
    int64_t step = 0;
    if (std::from_chars(begin, stop, step).ptr == stop) steps.push_back(step);
  }
  if (failed && failed != std::errc::no_such_file_or_directory) {
    return make_error(ErrorCode::kIo, "cannot list '{}': {}", folder, failed.message());
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string path_of(const std::string& folder, int64_t step) {
  return fmt::format("{}/{}{:07}{}", folder, kPrefix, step, kSuffix);
}

Result<uint64_t> number(const SafetensorsFile& file, std::string_view key, int base = 10) {
  for (const auto& [name, value] : file.metadata) {
    uint64_t result = 0;
    if (name != key) continue;
    const char* end = value.data() + value.size();
    if (std::from_chars(value.data(), end, result, base).ptr == end && result < uint64_t{1} << 63)
      return result;
    if (base == 16 && std::from_chars(value.data(), end, result, base).ptr == end) return result;
    break;
  }
  return make_error(ErrorCode::kCorrupt, "metadata '{}' is missing or no number: not a tern checkpoint", key);
}

Result<std::string> text(const SafetensorsFile& file, std::string_view key) {
  for (const auto& [name, value] : file.metadata) {
    if (name == key) return value;
  }
  return make_error(ErrorCode::kCorrupt, "metadata '{}' is missing: not a tern checkpoint", key);
}

Result<RunState> state_of(const SafetensorsFile& file) {
  TERN_TRY_ASSIGN(const std::string format, text(file, "format"));
  if (format != kFormat) {
    return make_error(ErrorCode::kUnsupported, "format '{}', expected '{}'", format, kFormat);
  }
  RunState state;
  TERN_TRY_ASSIGN(state.step, number(file, "step"));
  TERN_TRY_ASSIGN(state.next_row, number(file, "next_row"));
  TERN_TRY_ASSIGN(state.fingerprint, number(file, "fingerprint", 16));
  TERN_TRY_ASSIGN(state.vocab_size, number(file, "vocab_size"));
  TERN_TRY_ASSIGN(state.config, text(file, "config"));
  TERN_TRY_ASSIGN(state.config_base, text(file, "config_base"));
  return state;
}

Result<RunState> load(const MappedFile& mapped, TrainModel* model, Tensor m, Tensor v) {
  TERN_TRY_ASSIGN(const SafetensorsFile file, parse_safetensors(mapped.bytes()));
  TERN_TRY_ASSIGN(RunState state, state_of(file));
  if (model == nullptr) return state;
  const auto fill = [&](const std::string& name, const std::vector<uint64_t>& shape, float* to,
                        int64_t count) -> Status {
    const SafetensorsTensor* tensor = file.find(name);
    if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->shape != shape) {
      return make_error(ErrorCode::kCorrupt,
                        "tensor '{}' is missing or not f32 of {} values: the checkpoint is of another model",
                        name, count);
    }
    std::memcpy(to, tensor->data.data(), tensor->data.size());
    return {};
  };
  TERN_TRY(for_each_part(
      *model,
      [&](const std::string& name, const std::vector<uint64_t>& shape, int64_t at, int64_t count) -> Status {
        TERN_TRY(fill(name, shape, model->values().data_ptr<float>() + at, count));
        if (m.defined()) TERN_TRY(fill("adam.m." + name, shape, m.data_ptr<float>() + at, count));
        if (v.defined()) TERN_TRY(fill("adam.v." + name, shape, v.data_ptr<float>() + at, count));
        return {};
      }));
  return state;
}

Result<RunState> open_and_load(const std::string& path, TrainModel* model, Tensor m, Tensor v) {
  TERN_TRY_ASSIGN(const auto mapped, MappedFile::open(path));
  auto state = load(*mapped, model, std::move(m), std::move(v));
  if (!state.ok()) return std::move(state).error().in(path);
  return state;
}

}  // namespace

Status save_checkpoint(const std::string& folder, const RunState& state, const TrainModel& model,
                       const Tensor& m, const Tensor& v) {
  std::vector<SafetensorsTensor> tensors;
  const auto add = [&](const std::string& prefix, const Tensor& flat) {
    return for_each_part(model, [&](const std::string& name, const std::vector<uint64_t>& shape, int64_t at,
                                    int64_t count) {
      tensors.push_back({prefix + name, DType::kF32, shape, bytes_of(flat.data_ptr<float>() + at, count)});
      return Status();
    });
  };
  TERN_TRY(add("", model.values()));
  TERN_TRY(add("adam.m.", m));
  TERN_TRY(add("adam.v.", v));
  TERN_TRY(write_safetensors(path_of(folder, state.step), tensors,
                             {{"format", std::string(kFormat)},
                              {"step", fmt::format("{}", state.step)},
                              {"next_row", fmt::format("{}", state.next_row)},
                              {"fingerprint", fmt::format("{:x}", state.fingerprint)},
                              {"vocab_size", fmt::format("{}", state.vocab_size)},
                              {"config", state.config},
                              {"config_base", state.config_base}}));
  TERN_TRY_ASSIGN(const std::vector<int64_t> steps, list_steps(folder));
  for (size_t i = 0; i + kKept < steps.size(); ++i) {
    std::error_code ignored;  // an old file that stays harms nothing
    fs::remove(path_of(folder, steps[i]), ignored);
  }
  return {};
}

Result<std::optional<std::string>> find_checkpoint(const std::string& folder) {
  TERN_TRY_ASSIGN(const std::vector<int64_t> steps, list_steps(folder));
  if (steps.empty()) return std::optional<std::string>();
  return std::optional<std::string>(path_of(folder, steps.back()));
}

Result<RunState> read_checkpoint_state(const std::string& path) {
  return open_and_load(path, nullptr, {}, {});
}

Result<RunState> load_checkpoint(const std::string& path, TrainModel& model, Tensor m, Tensor v) {
  return open_and_load(path, &model, std::move(m), std::move(v));
}

}  // namespace tern::train
