// SPDX-License-Identifier: MIT
// tern completion bash|zsh|fish: a completion script made from the program's own flags, so that it never lags
// behind them. Names of models come from `tern list` at the time of completing.
#include <cstdio>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/text_model.h"

namespace tern::cli {

namespace {

struct Flag {
  std::vector<std::string> names;  // with their dashes
  std::string description;
};

std::vector<Flag> flags_of(const CLI::App& command) {
  std::vector<Flag> flags;
  for (const CLI::Option* option : command.get_options()) {
    Flag flag{{}, option->get_description()};
    for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
    if (!flag.names.empty()) flags.push_back(std::move(flag));
  }
  return flags;
}

std::string words_of(const CLI::App& command) {
  std::string words;
  for (const Flag& flag : flags_of(command)) {
    for (const std::string& name : flag.names) words += (words.empty() ? "" : " ") + name;
  }
  return words;
}

/// In single quotes for a shell: descriptions hold quotes and dollars.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

// Both shells: the word after `tern` is a command, a word with a dash one of its flags, every other one a
// model or a file.
constexpr std::string_view kBash = R"sh(_tern() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{commands}' -- "$current"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{cases}  esac
  case $current in
    -*) ;;
    *) words=$(tern list 2>/dev/null | awk 'NR > 1 {{print $1}}')
       COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
  COMPREPLY+=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F _tern tern
)sh";

std::string bash_script(const CLI::App& app) {
  std::string commands, cases;
  for (const CLI::App* command : app.get_subcommands({})) {
    commands += (commands.empty() ? "" : " ") + command->get_name();
    cases += fmt::format("    {}) words='{}' ;;\n", command->get_name(), words_of(*command));
  }
  return fmt::format(fmt::runtime(kBash), fmt::arg("commands", commands), fmt::arg("cases", cases));
}

// Zsh runs bash's completions.
std::string zsh_script(const CLI::App& app) {
  return "#compdef tern\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(app);
}

std::string fish_script(const CLI::App& app) {
  std::string script = "complete -c tern -e\n";
  std::string names;
  for (const CLI::App* command : app.get_subcommands({})) {
    const std::string name = command->get_name();
    script += fmt::format("complete -c tern -n __fish_use_subcommand -f -a {} -d {}\n", name,
                          shell_quoted(command->get_description()));
    for (const Flag& flag : flags_of(*command)) {
      script += fmt::format("complete -c tern -n '__fish_seen_subcommand_from {}'", name);
      for (const std::string& word : flag.names) {
        script += word.starts_with("--") ? " -l " + word.substr(2) : " -s " + word.substr(1);
      }
      script += fmt::format(" -d {}\n", shell_quoted(flag.description));
    }
  }
  return script +
         "complete -c tern -n 'not __fish_use_subcommand' -a \"(tern list 2>/dev/null | awk 'NR > 1 {print "
         "\\$1}')\"\n";
}

Status run_completion(const CLI::App& app, const std::string& shell) {
  std::string script;
  if (shell == "bash") {
    script = bash_script(app);
  } else if (shell == "zsh") {
    script = zsh_script(app);
  } else if (shell == "fish") {
    script = fish_script(app);
  } else {
    return make_error(ErrorCode::kUsage, "'{}': expected bash, zsh or fish", one_line(shell, 100));
  }
  write_out(script);
  return {};
}

}  // namespace

void add_completion_command(CLI::App& app, int* exit_code) {
  auto shell = std::make_shared<std::string>();
  auto* command = app.add_subcommand(
      "completion", "a completion script for bash, zsh or fish: source <(tern completion bash)");
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->callback([&app, shell, exit_code] {
    const Status status = run_completion(app, *shell);
    if (status.ok()) return;
    print_error(status.error());
    *exit_code = exit_code_of(status.error());
  });
}

}  // namespace tern::cli
