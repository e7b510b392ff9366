// SPDX-License-Identifier: MIT
// tern info [MODEL]: the machine, the kernels chosen for it and why; of a model its configuration, its bytes
// by class and everything that is doubtful about the file. Reads the header only, unless --activations asks
// to run the model.
#include <cstdio>
#include <map>

#include "cli/activation_report.h"
#include "cli/commands.h"
#include "cli/container_facts.h"
#include "cli/container_flags.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "core/cpu_features.h"
#include "core/printable.h"
#include "kernels/registry.h"

namespace tern::cli {

namespace {

struct InfoFlags {
  ModelFlags model;
  ContainerFlags container;
  ActivationFlags activations;
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
               {"activations", activation_name(c.activation_bits)}};
  if (c.rope_yarn) {
    json["rope_yarn"] = {{"factor", c.rope_yarn->factor},
                         {"original_context", c.rope_yarn->original_context}};
  }
  if (c.has_qk_norm) json["qk_norm"] = true;
  if (c.has_linear_norms) json["linear_norms"] = true;
  if (c.pooling) json["pooling"] = static_cast<int>(*c.pooling);
  if (c.linear_norm_eps) json["linear_norm_eps"] = shortest(*c.linear_norm_eps);
  return json;
}

/// What a file says of itself, text side included: what cannot be used is a doubt here, not an error.
struct ModelFacts {
  std::string path;
  uint64_t file_bytes = 0, num_tensors = 0;
  ContainerFacts container;
  std::optional<Config> config;  // nullopt: the file is no model that tern can run, and a doubt says why
  std::string tokenizer = "none", chat_template = "none";
  std::vector<std::string> doubts;
};

void add_text_facts(const Weights& weights, ModelFacts& facts) {
  const auto text = load_text_side(weights, {});
  if (!text.ok()) {
    facts.doubts.push_back("no text: " + text.error().message);
    return;
  }
  facts.tokenizer = text->tokenizer->description();
  if (text->chat.chat_template) facts.chat_template = text->chat.name;
  facts.doubts.insert(facts.doubts.end(), text->doubts.begin(), text->doubts.end());
}

ModelFacts gguf_model_facts(const Weights& weights, std::optional<I2sOrder> order) {
  ModelFacts facts;
  facts.path = weights.path();
  facts.file_bytes = weights.file_bytes();
  facts.num_tensors = weights.gguf().tensors.size();
  facts.container = gguf_facts(weights, order);
  auto config = inspect_config(weights);
  if (config.ok()) {
    facts.config = std::move(config).value();
    facts.doubts = facts.config->doubts;
  } else {
    facts.doubts.push_back("cannot be run: " + config.error().message);
  }
  facts.doubts.insert(facts.doubts.end(), facts.container.doubts.begin(), facts.container.doubts.end());
  add_text_facts(weights, facts);
  return facts;
}

Json class_json(const GgufFile& file) {
  Json classes = Json::object();
  for (const auto& [name, size] : sizes_by_class(file)) {
    Json types = Json::object();
    for (const auto& [type, count] : size.types) types[std::string(type)] = count;
    classes[std::string(name)] = {
        {"bytes", size.bytes}, {"weights", size.weights}, {"tensors", size.tensors}, {"types", types}};
  }
  return classes;
}

/// The activations of the ternary linears: a fact of the model, not of the container, but what a wrong file
/// hides.
std::string activation_text(const ModelFacts& facts) {
  return facts.config ? std::string(activation_name(facts.config->activation_bits)) : "unknown";
}

Json model_json(const ModelFacts& facts) {
  Json json = {{"path", facts.path},
               {"file_bytes", facts.file_bytes},
               {"tensors", facts.num_tensors},
               {"container", facts.container.container},
               {"byte_order", facts.container.byte_order},
               {"ternary", facts.container.ternary_json()},
               {"activation", activation_text(facts)},
               {"tokenizer", facts.tokenizer},
               {"chat_template", facts.chat_template},
               {"doubts", facts.doubts}};
  if (!facts.config) return json;
  const KvType kv_type = default_kv_type(*facts.config);
  json["config"] = config_json(*facts.config);
  json["kv_type"] = kv_type == KvType::kF16 ? "f16" : "f32";
  json["kv_bytes_per_token"] = KvCache::bytes_per_page(*facts.config, kv_type) / kPageRows;
  return json;
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

void print_field(std::string_view name, std::string_view value) {
  fmt::print("          {:<18} {}\n", name, one_line(value, 300));
}

void print_model(const ModelFacts& facts) {
  fmt::print("model     {}\n", one_line(facts.path, 500));
  fmt::print("          {}, {}, {}, {} tensors\n", facts.container.container, facts.container.byte_order,
             human_bytes(static_cast<double>(facts.file_bytes)), facts.num_tensors);
  for (const TernaryFact& fact : facts.container.ternary) {
    print_field(fact.type, fmt::format("{} tensors, byte order {}, scales: {}", fact.tensors, fact.byte_order,
                                       fact.scales));
  }
  if (facts.container.ternary.empty()) print_field("ternary tensors", "none");
  if (facts.config) {
    const Json fields = config_json(*facts.config);
    for (const auto& [key, value] : fields.items())
      print_field(key, value.is_string() ? value.get<std::string>() : value.dump());
  } else {
    print_field("activations", activation_text(facts));
  }
  print_field("tokenizer", facts.tokenizer);
  print_field("chat template", facts.chat_template);
}

void print_sizes(const GgufFile& file, const Config& config) {
  fmt::print("bytes by class (what decoding one token reads, the embedding aside unless it is the head)\n");
  for (const auto& [name, size] : sizes_by_class(file)) {
    std::string types;
    for (const auto& [type, count] : size.types) types += fmt::format(" {}x{}", count, type);
    fmt::print("          {:<16} {:>10}  {:>14} weights {}\n", name,
               human_bytes(static_cast<double>(size.bytes)), size.weights, types);
  }
  const KvType kv_type = default_kv_type(config);
  fmt::print("          {:<16} {:>10}  per token of context, {}\n", "KV cache",
             human_bytes(static_cast<double>(KvCache::bytes_per_page(config, kv_type)) / kPageRows),
             kv_type == KvType::kF16 ? "f16" : "f32");
}

void print_doubts(const std::vector<std::string>& doubts) {
  if (doubts.empty()) fmt::print("doubts    none\n");
  for (const auto& doubt : doubts) fmt::print("doubt     {}\n", one_line(doubt, 500));
}

/// A safetensors file by itself, or nothing where the file is none.
Result<std::optional<ModelFacts>> safetensors_model_facts(const std::string& path) {
  TERN_TRY_ASSIGN(const auto mapped, MappedFile::open(path));
  if (!looks_like_safetensors(mapped->bytes())) return std::optional<ModelFacts>();
  const auto file = parse_safetensors(mapped->bytes());
  if (!file.ok()) return Error(file.error()).in(printable(path, 512));
  ModelFacts facts;
  facts.path = path;
  facts.file_bytes = mapped->bytes().size();
  facts.num_tensors = file->tensors.size();
  facts.container = safetensors_facts(*file);
  facts.doubts = facts.container.doubts;
  return std::optional<ModelFacts>(std::move(facts));
}

/// Prints a model, or fills `json`.
Status report_model(const InfoFlags& flags, Json* json) {
  TERN_TRY_ASSIGN(const auto safetensors, safetensors_model_facts(flags.model.path));
  if (safetensors) {
    *json = model_json(*safetensors);
    if (!flags.json) print_model(*safetensors);
    if (!flags.json) print_doubts(safetensors->doubts);
    return {};
  }
  TERN_TRY_ASSIGN(const WeightsOptions options, flags.container.weights_options());
  TERN_TRY_ASSIGN(const auto order, flags.container.order());
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(flags.model.path, options));
  const ModelFacts facts = gguf_model_facts(*weights, order);
  *json = model_json(facts);
  (*json)["tensor_classes"] = class_json(weights->gguf());
  if (flags.json) return {};
  print_model(facts);
  if (facts.config) print_sizes(weights->gguf(), *facts.config);
  print_doubts(facts.doubts);
  return {};
}

Status run_info(const InfoFlags& flags) {
  TERN_TRY(flags.activations.check());
  if (flags.activations.is_wanted && flags.model.path.empty()) return no_model();
  ContextOptions options = flags.model.context;
  options.pin = !flags.model.no_pin;
  TERN_TRY_ASSIGN(const std::unique_ptr<Context> context, Context::create(options));
  Json json = {{"machine", machine_json(*context)}};
  json["machine"]["kernels"] = describe_kernels(context->kernels(), context->cpu_features());
  if (!flags.json) print_machine(*context);
  if (!flags.model.path.empty()) {
    TERN_TRY(report_model(flags, &json["model"]));
  }
  if (flags.activations.is_wanted) {
    TERN_TRY(report_activations(*context, flags.model.path, flags.container, flags.activations, flags.json,
                                &json["activations"]));
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
  flags->container.add_to(*command);
  flags->activations.add_to(*command);
  flags->model.add_machine_to(*command);
  command->add_flag("--json", flags->json, "print one JSON object (docs/json.md)");
  command->callback([flags, exit_code] {
    Status status = find_model(&flags->model.path);
    if (status.ok()) status = run_info(*flags);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
