// SPDX-License-Identifier: MIT
#include "train/saved_run.h"

#include <torch/torch.h>

#include <filesystem>

#include "core/mapped_file.h"
#include "text/chat_format.h"
#include "text/tokenizer_json.h"

namespace tern::train {

namespace {

int32_t control_token(const Tokenizer& tokenizer, std::string_view text) {
  const auto id = tokenizer.find(text);
  return id && tokenizer.is_control(*id) ? *id : -1;
}

Status open_tokenizer(const std::string& path, SavedRun& run) {
  TERN_TRY_ASSIGN(const auto file, MappedFile::open(path));
  run.tokenizer_json.assign(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  auto spec = parse_tokenizer_json(run.tokenizer_json);
  if (!spec.ok()) return std::move(spec).error().in(path);
  run.spec = std::move(spec).value();
  TERN_TRY_ASSIGN(run.tokenizer, Tokenizer::create(run.spec));
  if (static_cast<int64_t>(run.tokenizer->vocab_size()) != run.state.vocab_size) {
    return make_error(ErrorCode::kCorrupt, "{}: {} tokens, but the checkpoint was trained with {}", path,
                      run.tokenizer->vocab_size(), run.state.vocab_size);
  }
  run.end_of_text = control_token(*run.tokenizer, "<|endoftext|>");
  if (run.end_of_text < 0) run.end_of_text = run.tokenizer->eos_id().value_or(-1);
  run.im_start = control_token(*run.tokenizer, "<|im_start|>");
  run.im_end = control_token(*run.tokenizer, "<|im_end|>");
  return {};
}

}  // namespace

Result<SavedRun> open_saved_run(const std::string& path) {
  std::string file = path;
  if (std::filesystem::is_directory(path)) {
    TERN_TRY_ASSIGN(const auto newest, find_checkpoint(path));
    if (!newest) return make_error(ErrorCode::kNotFound, "no checkpoint in '{}'", path);
    file = *newest;
  }
  SavedRun run;
  TERN_TRY_ASSIGN(run.state, read_checkpoint_state(file));
  TERN_TRY_ASSIGN(run.config, parse_train_config(run.state.config, run.state.config_base));
  run.config.model.vocab_size = static_cast<int32_t>(run.state.vocab_size);
  run.model = TrainModel::create(run.config.model, run.config.ternary, 0);
  TERN_TRY_ASSIGN(run.state, load_checkpoint(file, run.model, {}, {}));
  TERN_TRY(open_tokenizer((std::filesystem::path(file).parent_path() / "tokenizer.json").string(), run));
  return run;
}

ExportModel export_model_of(const SavedRun& run) {
  ExportModel out;
  out.shape = run.config.model;
  out.ternary = run.config.ternary;
  out.name = run.config.name;
  out.spec = run.spec;
  out.tokenizer_json = run.tokenizer_json;
  out.pre = run.config.tokenizer.pre;
  out.end_of_text = run.end_of_text;
  out.im_end = run.im_end;
  if (run.im_start >= 0 && run.im_end >= 0) out.chat_template = find_builtin_chat_template("chatml")->source;
  const StepWeights weights = run.model.quantize(torch::kFloat);
  for (size_t i = 0; i < run.model.parameters().size(); ++i) {
    const Parameter& p = run.model.parameters()[i];
    const int64_t cols = p.value.size(-1);
    for (size_t k = 0; k < p.parts.size(); ++k) {
      const Part& part = p.parts[k];
      ExportTensor t;
      t.name = part.name;
      t.rows = p.is_matrix ? static_cast<uint64_t>(part.rows) : 0;
      t.cols = static_cast<uint64_t>(cols);
      t.ternary = part.ternary;
      const float* values = p.value.data_ptr<float>() + part.row * cols;
      t.values.assign(values, values + part.rows * cols);
      if (part.ternary) {
        const float* trits = weights.tensors[i].data_ptr<float>() + part.row * cols;
        t.trits.assign(trits, trits + part.rows * cols);
        t.scale = static_cast<float>(weights.factors[i][k]);
      }
      out.tensors.push_back(std::move(t));
    }
  }
  return out;
}

}  // namespace tern::train
