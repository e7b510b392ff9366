// SPDX-License-Identifier: MIT
// tern info [MODEL]: the machine, the kernels chosen for it and why; of a model its configuration, its bytes
// by class and everything that is doubtful about the file. Reads the header only: no weight is decoded.
#include <cstdio>
#include <map>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"

namespace tern::cli {

namespace {

struct InfoFlags {
  ModelFlags model;
  bool json = false;
};

/// The class of a tensor by what reads it: the question behind "which bytes cost time per token".
std::string_view tensor_class(const GgufTensorInfo& tensor, bool is_tied) {
  if (tensor.name == "token_embd.weight") return is_tied ? "embedding+head" : "embedding";
  if (tensor.name == "output.weight") return "head";
  if (tensor.name.find("norm") != std::string::npos) return "norms";
  if (is_ternary(tensor.dtype)) return "ternary linears";
  if (tensor.name.find("attn_") != std::string::npos || tensor.name.find("ffn_") != std::string::npos) {
    return tensor.name.ends_with(".scale") ? "scales" : "dense linears";
  }
  return "other";
}

struct ClassSize {
  uint64_t bytes = 0, weights = 0, tensors = 0;
  std::map<std::string_view, uint64_t> types;  // dtype name -> tensors
};

std::map<std::string_view, ClassSize> sizes_by_class(const GgufFile& file) {
  std::map<std::string_view, ClassSize> classes;
  const bool is_tied = file.find_tensor("output.weight") == nullptr;
  for (const auto& tensor : file.tensors) {
    ClassSize& size = classes[tensor_class(tensor, is_tied)];
    size.bytes += tensor.byte_size;
    size.weights += tensor.rows() * tensor.cols();
    size.tensors += 1;
    size.types[dtype_name(tensor.dtype)] += 1;
  }
  return classes;
}

/// An f32 as its shortest decimal form: 1e-05, not what its double looks like.
Json shortest(float value) { return Json::parse(fmt::format("{}", value)); }

Json config_json(const Config& c) {
  Json json = {{"architecture", c.architecture},
               {"name", c.name},
               {"hidden_size", c.hidden_size},
               {"intermediate_size", c.intermediate_size},
               {"num_layers", c.num_layers},
               {"num_heads", c.num_heads},
               {"num_kv_heads", c.num_kv_heads},
               {"head_dim", c.head_dim},
               {"vocab_size", c.vocab_size},
               {"max_seq_len", c.max_seq_len},
               {"rms_norm_eps", shortest(c.rms_norm_eps)},
               {"rope_theta", c.rope_theta},
               {"rope_dim", c.rope_dim},
               {"rope_pairs", c.rope_adjacent_pairs ? "adjacent" : "split halves"},
               {"gate", c.gate == GateKind::kRelu2 ? "relu2" : "silu"},
               {"sub_norms", c.has_sub_norms},
               {"activations", c.activation_bits == ActivationBits::kInt8 ? "int8" : "unstated"}};
  if (c.linear_norm_eps) json["linear_norm_eps"] = shortest(*c.linear_norm_eps);
  return json;
}

/// What a file says of itself, text side included: a tokenizer that cannot be used is a doubt here, not an
/// error.
struct ModelFacts {
  Config config;
  std::string tokenizer, chat_template;
  std::vector<std::string> doubts;
};

Result<ModelFacts> model_facts(const Weights& weights) {
  auto config = inspect_config(weights);
  if (!config.ok()) return std::move(config).error().in(weights.path());
  ModelFacts facts{std::move(config).value(), "none", "none", {}};
  facts.doubts = facts.config.doubts;
  const auto text = load_text_side(weights, {});
  if (!text.ok()) {
    facts.doubts.push_back("no text: " + text.error().message);
    return facts;
  }
  facts.tokenizer = text->tokenizer->description();
  if (text->chat.chat_template) facts.chat_template = text->chat.name;
  facts.doubts.insert(facts.doubts.end(), text->doubts.begin(), text->doubts.end());
  return facts;
}

Json model_json(const Weights& weights, const ModelFacts& facts) {
  const Config& config = facts.config;
  Json classes = Json::object();
  for (const auto& [name, size] : sizes_by_class(weights.gguf())) {
    Json types = Json::object();
    for (const auto& [type, count] : size.types) types[std::string(type)] = count;
    classes[std::string(name)] = {
        {"bytes", size.bytes}, {"weights", size.weights}, {"tensors", size.tensors}, {"types", types}};
  }
  return {{"path", weights.path()},
          {"file_bytes", weights.file_bytes()},
          {"container", fmt::format("GGUF v{}", weights.gguf().version)},
          {"config", config_json(config)},
          {"tokenizer", facts.tokenizer},
          {"chat_template", facts.chat_template},
          {"tensor_classes", classes},
          {"kv_type", default_kv_type(config) == KvType::kF16 ? "f16" : "f32"},
          {"kv_bytes_per_token", KvCache::bytes_per_page(config, default_kv_type(config)) / kPageRows},
          {"doubts", facts.doubts}};
}

void print_machine(const Context& context) {
  fmt::print("machine   {}\n", cpu_model_name());
  fmt::print("          {}, {} thread(s){}\n", context.topology().describe(), context.num_threads(),
             context.is_pinned() ? ", pinned" : "");
  fmt::print("features  {}\n", describe_cpu_features(context.cpu_features()));
  const std::string kernels = describe_kernels(context.kernels(), context.cpu_features());
  std::string_view label = "kernels";
  for (size_t begin = 0; begin < kernels.size(); label = "") {
    const size_t end = std::min(kernels.find('\n', begin), kernels.size());
    fmt::print("{:<9} {}\n", label, std::string_view(kernels).substr(begin, end - begin));
    begin = end + 1;
  }
}

void print_model(const Weights& weights, const ModelFacts& facts) {
  const Config& config = facts.config;
  fmt::print("model     {}\n", weights.path());
  fmt::print("          GGUF v{}, {}, {} tensors\n", weights.gguf().version,
             human_bytes(static_cast<double>(weights.file_bytes())), weights.gguf().tensors.size());
  const Json fields = config_json(config);
  for (const auto& [key, value] : fields.items()) {
    fmt::print("          {:<18} {}\n", key,
               value.is_string() ? one_line(value.get<std::string>(), 200) : value.dump());
  }
  fmt::print("          {:<18} {}\n          {:<18} {}\n", "tokenizer", facts.tokenizer, "chat template",
             facts.chat_template);
  fmt::print("bytes by class (what decoding one token reads, the embedding aside unless it is the head)\n");
  for (const auto& [name, size] : sizes_by_class(weights.gguf())) {
    std::string types;
    for (const auto& [type, count] : size.types) types += fmt::format(" {}x{}", count, type);
    fmt::print("          {:<16} {:>10}  {:>14} weights {}\n", name,
               human_bytes(static_cast<double>(size.bytes)), size.weights, types);
  }
  const KvType kv_type = default_kv_type(config);
  fmt::print("          {:<16} {:>10}  per token of context, {}\n", "KV cache",
             human_bytes(static_cast<double>(KvCache::bytes_per_page(config, kv_type)) / kPageRows),
             kv_type == KvType::kF16 ? "f16" : "f32");
  if (facts.doubts.empty()) fmt::print("doubts    none\n");
  for (const auto& doubt : facts.doubts) fmt::print("doubt     {}\n", one_line(doubt, 500));
}

Status run_info(const InfoFlags& flags) {
  ContextOptions options = flags.model.context;
  options.pin = !flags.model.no_pin;
  TERN_TRY_ASSIGN(const std::unique_ptr<Context> context, Context::create(options));
  Json json = {{"machine", machine_json(*context)}};
  json["machine"]["kernels"] = describe_kernels(context->kernels(), context->cpu_features());
  if (!flags.json) print_machine(*context);
  if (!flags.model.path.empty()) {
    TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(flags.model.path));
    TERN_TRY_ASSIGN(const ModelFacts facts, model_facts(*weights));
    json["model"] = model_json(*weights, facts);
    if (!flags.json) print_model(*weights, facts);
  }
  if (flags.json) print_json(json);
  return {};
}

}  // namespace

void add_info_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<InfoFlags>();
  auto* command =
      app.add_subcommand("info", "the machine and its kernels; a model's configuration, bytes and doubts");
  command->add_option("MODEL,-m,--model", flags->model.path, "model file (GGUF)");
  flags->model.add_machine_to(*command);
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    const Status status = run_info(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
