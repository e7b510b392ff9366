// SPDX-License-Identifier: MIT
// tern train ...: hands everything to tern-train, the program that links libtorch, where it was built.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/train_program.h"

namespace tern::cli {

namespace {

/// Beside this program, or where packages put programs that are not called by hand.
std::string find_trainer() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return {};
  for (const char* place : {"tern-train", "../libexec/tern/tern-train"}) {
    const auto path = self.parent_path() / place;
    if (::access(path.c_str(), X_OK) == 0) return path.string();
  }
  return {};
}

}  // namespace

Status run_trainer(const std::vector<std::string>& words) {
  const std::string program = find_trainer();
  if (program.empty()) {
    return make_error(
        ErrorCode::kUnsupported,
        "the trainer (tern-train) was not built: install libtorch (Debian: libtorch-dev) and configure "
        "again with -DTERN_TRAIN=ON");
  }
  std::vector<char*> arguments = {const_cast<char*>(program.c_str())};
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::fflush(stdout);
  ::execv(program.c_str(), arguments.data());
  return make_error(ErrorCode::kIo, "cannot start '{}': {}", program, std::strerror(errno));
}

void add_train_command(CLI::App& app, int* exit_code) {
  auto* command = app.add_subcommand("train", "train a model, or export a checkpoint (tern train --help)");
  command->prefix_command();  // every word behind it is the trainer's
  command->set_help_flag();   // --help too
  command->callback([command, exit_code] {
    const Status status = run_trainer(command->remaining());
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
