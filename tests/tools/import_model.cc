// SPDX-License-Identifier: MIT
// import_model: writes a checkpoint of llama2.c or bitllama2.c as GGUF, in any container that can hold it
// exactly.
#include <cstdio>
#include <filesystem>

#include "tests/tools/tool_main.h"

namespace {

using namespace tern;
using namespace tern::test;

constexpr const char* kHelp =
    "import_model SRC.bin --format FORMAT --out FILE [--type TYPE] [--embedding TYPE] [--vocabulary "
    "TOK.bin]\n"
    "  --format FORMAT      llama2c | bitllama-msb | bitllama-lsb (where the first weight of a byte stands)\n"
    "  --type TYPE          of the projections, ternary:{} (default: the first that can hold the\n"
    "                       model); of llama2c: f32 f16 bf16 q8_0 (default f32)\n"
    "  --embedding TYPE     f32 f16 bf16 q8_0 (default f32)\n"
    "  --vocabulary FILE    llama2.c's tokenizer file (default: tok512.bin beside SRC.bin, where it is)\n";

Result<TestModel> import(const std::string& source, const std::string& format) {
  if (format == "llama2c") return import_llama2c(source);
  if (format == "bitllama-msb") return import_bitllama2(source, true);
  if (format == "bitllama-lsb") return import_bitllama2(source, false);
  return make_error(ErrorCode::kUsage,
                    "--format '{}' is unknown: expected llama2c, bitllama-msb or bitllama-lsb", format);
}

Status convert(const ToolFlags& flags) {
  const std::string out = flags.get("out", "");
  if (flags.positional.empty()) return make_error(ErrorCode::kUsage, "the file to import is missing");
  if (out.empty()) return make_error(ErrorCode::kUsage, "--out FILE is missing");
  TERN_TRY_ASSIGN(TestModel model, import(flags.positional, flags.get("format", "")));

  const auto beside = std::filesystem::path(flags.positional).parent_path() / "tok512.bin";
  std::string vocabulary = flags.get("vocabulary", "");
  if (vocabulary.empty() && std::filesystem::exists(beside)) vocabulary = beside.string();
  if (vocabulary.empty()) {
    fmt::print(stderr, "import_model: no vocabulary file: the model will know token ids only\n");
  } else {
    TERN_TRY_ASSIGN(model.vocabulary, import_llama2c_vocabulary(vocabulary, model.shape.vocab));
  }
  const std::string type = flags.get("type", model.shape.is_ternary ? "auto" : "f32");
  TERN_TRY_ASSIGN(const GgufOptions options, gguf_options(model, type, flags.get("embedding", "f32")));
  return write_with_progress(gguf_contents(model, options), out);
}

}  // namespace

int main(int argc, char** argv) {
  const auto flags = parse_flags(argc, argv, {"format", "type", "embedding", "vocabulary", "out"});
  if (!flags.ok()) return exit_status("import_model", flags.error());
  if (flags->wants_help || argc == 1) {
    std::string types;
    for (const Container& container : ternary_containers()) types += " " + container.name;
    fmt::print(kHelp, types);
    return argc == 1 ? 2 : 0;
  }
  return exit_status("import_model", convert(*flags));
}
