// SPDX-License-Identifier: MIT
#include "cli/activation_report.h"

#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "engine/activations.h"

namespace tern::cli {

namespace {

Json count_json(const ZeroCount& count) {
  return {{"zeros", count.zeros}, {"total", count.total}, {"share", count.share()}};
}

Json linear_json(const LinearZeros& linear) {
  return {{"weights", count_json(linear.weights)}, {"inputs", count_json(linear.inputs)}};
}

Json report_json(const ActivationReport& report) {
  Json layers = Json::array();
  for (const LayerZeros& layer : report.layers) {
    Json entry = Json::object();
    for (size_t n = 0; n < kLayerLinears.size(); ++n) {
      if (layer.linears[n].weights.total == 0) continue;  // dense
      entry[std::string(kLayerLinears[n])] = linear_json(layer.linears[n]);
    }
    if (layer.gate.total > 0) entry["gate"] = count_json(layer.gate);
    entry["product"] = count_json(layer.product);
    layers.push_back(std::move(entry));
  }
  Json json = {{"tokens", report.tokens}, {"layers", std::move(layers)}};
  if (report.head.weights.total > 0) json["output"] = linear_json(report.head);
  return json;
}

/// A column of a table: percent, or a dash where nothing was counted.
std::string percent(const ZeroCount& count) {
  return count.total == 0 ? fmt::format("{:>9}", "-") : fmt::format("{:>9.2f}", 100 * count.share());
}

LayerZeros sum_of(const std::vector<LayerZeros>& layers) {
  LayerZeros sum;
  for (const LayerZeros& layer : layers) {
    for (size_t n = 0; n < kLayerLinears.size(); ++n) {
      sum.linears[n].weights += layer.linears[n].weights;
      sum.linears[n].inputs += layer.linears[n].inputs;
    }
    sum.gate += layer.gate;
    sum.product += layer.product;
  }
  return sum;
}

void print_weights(std::string_view name, const LayerZeros& layer) {
  std::string line = fmt::format("{:>5}", name);
  for (const LinearZeros& linear : layer.linears) line += percent(linear.weights);
  fmt::print("{}\n", line);
}

void print_inputs(std::string_view name, const LayerZeros& layer) {
  // q, k and v read the same rows, gate and up too, unless each has a norm of its own: then this is the mean.
  ZeroCount attn, ffn;
  for (const size_t n : {0, 1, 2}) attn += layer.linears[n].inputs;
  for (const size_t n : {4, 5}) ffn += layer.linears[n].inputs;
  fmt::print("{:>5}{}{}{}{}{}{}\n", name, percent(attn), percent(layer.linears[3].inputs), percent(ffn),
             percent(layer.linears[6].inputs), percent(layer.gate), percent(layer.product));
}

void print_report(const ActivationReport& report, const Config& config) {
  const LayerZeros sum = sum_of(report.layers);
  const bool is_relu2 = config.gate == GateKind::kRelu2;
  fmt::print("zeros     over {} tokens of text\n", report.tokens);
  fmt::print("weights that are 0, %\n{:>5}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n", "layer", "q", "k", "v",
             "output", "gate", "up", "down");
  for (size_t i = 0; i < report.layers.size(); ++i) print_weights(std::to_string(i), report.layers[i]);
  print_weights("all", sum);
  fmt::print("activations that are 0, %: in front of the products as {}; of the gate: {} exactly 0\n",
             activation_name(config.activation_bits),
             is_relu2 ? "relu2(gate), and relu2(gate) * up," : "silu(gate) * up");
  fmt::print("{:>5}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n", "layer", "q,k,v", "output", "gate,up", "down",
             is_relu2 ? "relu2" : "", "* up");
  for (size_t i = 0; i < report.layers.size(); ++i) print_inputs(std::to_string(i), report.layers[i]);
  print_inputs("all", sum);
  if (report.head.weights.total > 0) {
    fmt::print("head: {:.2f} % of the weights, {:.2f} % of what enters it\n",
               100 * report.head.weights.share(), 100 * report.head.inputs.share());
  }
}

}  // namespace

void ActivationFlags::add_to(CLI::App& command) {
  command.add_flag("--activations", is_wanted,
                   "run the text of -f and count zeros: of weights, of activations, of gates");
  command.add_option("-f,--file", file, "with --activations: a file with the text (- for stdin)");
  command.add_option("--window", window, "with --activations: tokens per window")->capture_default_str();
  command.add_option("--act", activations,
                     "with --activations: activations of the ternary linears: int8, int16 or f32");
}

Status ActivationFlags::check() const {
  if (is_wanted && file.empty()) return make_error(ErrorCode::kUsage, "--activations needs a text: -f FILE");
  if (!is_wanted && !file.empty()) return make_error(ErrorCode::kUsage, "-f belongs to --activations");
  return {};
}

Status report_activations(Context& context, const std::string& path, const ContainerFlags& container,
                          const ActivationFlags& flags, bool as_json, Json* json) {
  TERN_TRY_ASSIGN(const std::string text, read_text(flags.file));
  LoadOptions options;
  TERN_TRY_ASSIGN(options.i2s_order, container.order());
  if (!flags.activations.empty()) {
    auto bits = parse_activation_bits(flags.activations);
    if (!bits.ok()) return std::move(bits).error().in("--act");
    options.activations = *bits;
  }
  TERN_TRY_ASSIGN(const WeightsOptions weights_options, container.weights_options());
  TERN_TRY_ASSIGN(const std::shared_ptr<const Weights> weights, Weights::open(path, weights_options));
  Progress loading("loading", true);
  options.progress = [&](int64_t done, int64_t total) { loading.update(done, total); };
  TERN_TRY_ASSIGN(const std::shared_ptr<const Model> model, Model::load(weights, context.backend(), options));
  loading.finish();

  TERN_TRY_ASSIGN(const TextSide side, load_text_side(*weights, {}));
  EncodeOptions encode;
  encode.add_bos = false;
  encode.add_eos = false;
  const std::vector<int32_t> tokens = side.tokenizer->encode(text, encode);
  const int32_t first = side.tokenizer->add_bos_default() ? side.tokenizer->bos_id().value_or(-1) : -1;
  const int64_t window = std::min(flags.window, model->config().max_seq_len);
  Progress running("counting", true);
  const InterruptGuard interrupt;
  const auto report = measure_activations(model, context.backend(), tokens, window, first, [&](int64_t done) {
    running.update(done, static_cast<int64_t>(tokens.size()));
    return !interrupt.cancelled().load();
  });
  running.finish();
  if (!report.ok()) return Error(report.error());
  if (as_json) {
    *json = report_json(*report);
    (*json)["window"] = window;
    (*json)["activations"] = activation_name(model->config().activation_bits);
  } else {
    print_report(*report, model->config());
  }
  return {};
}

}  // namespace tern::cli
