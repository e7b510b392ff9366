// SPDX-License-Identifier: MIT
// tern: the program. Parses the subcommand and leaves the rest to its file.
#include <clocale>
#include <cstdio>

#include "cli/commands.h"
#include "cli/options.h"

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");  // line editing needs to know the terminal's characters
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come here too, with exit code 0.
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "tern: %s (tern --help lists what there is)\n", error.what());
    return 2;
  }
  // A full disk or a closed pipe shows only when the buffered output is written.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && exit_code == 0) {
    std::fprintf(stderr, "tern: cannot write to stdout\n");
    return 1;
  }
  return exit_code;
}
