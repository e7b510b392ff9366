// SPDX-License-Identifier: MIT
// make_model: writes a GGUF file with random weights in the shape of a real model, or a small one. For ./run
// without a bundled model, for tests and for measuring speed: the text such a model writes means nothing.
#include <charconv>
#include <cstdio>

#include "tests/tools/tool_main.h"

namespace {

using namespace tern;
using namespace tern::test;

constexpr const char* kHelp =
    "make_model --shape NAME --out FILE [--type TYPE] [--embedding TYPE] [--seed N]\n"
    "  Writes a GGUF file with random weights. The same arguments give the same bytes everywhere.\n"
    "  --shape NAME      one of:{}\n"
    "  --type TYPE       of the projections, ternary:{} (default: the first that can hold the\n"
    "                    shape); of dense shapes: f32 f16 bf16 q8_0 (default f16)\n"
    "  --embedding TYPE  f32 f16 bf16 q8_0 (default f16)\n"
    "  --seed N          default 1\n";

std::string shape_names() {
  std::string names;
  for (const ModelShape& shape : known_shapes()) names += " " + shape.name;
  return names;
}

Status make(const ToolFlags& flags) {
  if (!flags.positional.empty()) {
    return make_error(ErrorCode::kUsage, "'{}' is not a flag (--out FILE names the file)", flags.positional);
  }
  const std::string name = flags.get("shape", ""), out = flags.get("out", ""),
                    seed_text = flags.get("seed", "1");
  const ModelShape* shape = find_shape(name);
  if (shape == nullptr) {
    return make_error(ErrorCode::kUsage, "--shape '{}' is unknown: expected one of{}", name, shape_names());
  }
  if (out.empty()) return make_error(ErrorCode::kUsage, "--out FILE is missing");
  uint64_t seed = 0;
  const auto [end, code] = std::from_chars(seed_text.data(), seed_text.data() + seed_text.size(), seed);
  if (code != std::errc() || end != seed_text.data() + seed_text.size()) {
    return make_error(ErrorCode::kUsage, "--seed is '{}', expected 0 to 2^64 - 1", seed_text);
  }
  const TestModel model = random_model(*shape, seed);
  TERN_TRY_ASSIGN(const GgufOptions options,
                  gguf_options(model, flags.get("type", "auto"), flags.get("embedding", "f16")));
  return write_with_progress(gguf_contents(model, options), out);
}

}  // namespace

int main(int argc, char** argv) {
  const auto flags = parse_flags(argc, argv, {"shape", "type", "embedding", "seed", "out"});
  if (!flags.ok()) return exit_status("make_model", flags.error());
  if (flags->wants_help || argc == 1) {
    std::string types;
    for (const Container& container : ternary_containers()) types += " " + container.name;
    fmt::print(kHelp, shape_names(), types);
    return argc == 1 ? 2 : 0;
  }
  return exit_status("make_model", make(*flags));
}
