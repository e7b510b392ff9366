// SPDX-License-Identifier: MIT
// tern: the program. Parses the subcommand and leaves the rest to its file.
#include <langinfo.h>

#include <clocale>
#include <cstdio>
#include <cstring>
#include <exception>

#include "cli/commands.h"
#include "cli/options.h"

namespace {

bool is_command(const CLI::App& app, const std::string& name) {
  const auto commands =
      app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
  return !commands.empty();
}

}  // namespace

int main(int argc, char** argv) {
  // Line editing drops what the locale cannot spell; a bare container has the C locale although its terminal
  // is UTF-8.
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
  CLI::App app{"tern runs ternary (1.58-bit) and 1-bit language models"};
  app.set_version_flag("--version", "tern " TERN_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default(false);
  int exit_code = 0;
  tern::cli::add_run_command(app, &exit_code);
  tern::cli::add_chat_command(app, &exit_code);
  tern::cli::add_tokenize_command(app, &exit_code);
  tern::cli::add_template_command(app, &exit_code);
  tern::cli::add_info_command(app, &exit_code);
  tern::cli::add_perplexity_command(app, &exit_code);
  tern::cli::add_embed_command(app, &exit_code);
  tern::cli::add_bench_command(app, &exit_code);
  tern::cli::add_profile_command(app, &exit_code);
  tern::cli::add_pull_command(app, &exit_code);
  tern::cli::add_list_command(app, &exit_code);
  tern::cli::add_show_command(app, &exit_code);
  tern::cli::add_rm_command(app, &exit_code);
  tern::cli::add_completion_command(app, &exit_code);
  tern::cli::add_convert_command(app, &exit_code);
  tern::cli::add_verify_command(app, &exit_code);
  tern::cli::add_train_command(app, &exit_code);
  tern::cli::add_distill_command(app, &exit_code);
  if (argc > 1 && argv[1][0] != '-' && !is_command(app, argv[1])) {
    std::string names;
    for (const CLI::App* command : app.get_subcommands({})) names += " " + command->get_name();
    std::fprintf(stderr, "tern: unknown command '%s': expected one of%s\n", argv[1], names.c_str());
    return 2;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come here too, with exit code 0.
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "tern: %s (tern --help lists what there is)\n", error.what());
    return 2;
  } catch (const std::exception& error) {  // the standard library's: out of memory, no more threads
    std::fprintf(stderr, "tern: %s\n", error.what());
    return 1;
  }
  // A full disk or a closed pipe shows only when the buffered output is written.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && exit_code == 0) {
    std::fprintf(stderr, "tern: cannot write to stdout\n");
    return 1;
  }
  return exit_code;
}
