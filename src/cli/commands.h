// SPDX-License-Identifier: MIT
// One function per subcommand: registers its flags and, when chosen, leaves its exit status in *exit_code.
#pragma once

#include <CLI/App.hpp>

namespace tern::cli {

void add_run_command(CLI::App& app, int* exit_code);         // run.cc
void add_chat_command(CLI::App& app, int* exit_code);        // chat.cc
void add_tokenize_command(CLI::App& app, int* exit_code);    // tokenize.cc
void add_template_command(CLI::App& app, int* exit_code);    // template.cc
void add_info_command(CLI::App& app, int* exit_code);        // info.cc
void add_perplexity_command(CLI::App& app, int* exit_code);  // perplexity.cc
void add_embed_command(CLI::App& app, int* exit_code);       // embed.cc
void add_bench_command(CLI::App& app, int* exit_code);       // bench.cc
void add_profile_command(CLI::App& app, int* exit_code);     // profile.cc
void add_pull_command(CLI::App& app, int* exit_code);        // pull.cc
void add_list_command(CLI::App& app, int* exit_code);        // list.cc
void add_show_command(CLI::App& app, int* exit_code);        // show.cc
void add_rm_command(CLI::App& app, int* exit_code);          // rm.cc
void add_completion_command(CLI::App& app, int* exit_code);  // completion.cc
void add_convert_command(CLI::App& app, int* exit_code);     // convert.cc
void add_verify_command(CLI::App& app, int* exit_code);      // verify.cc
void add_train_command(CLI::App& app, int* exit_code);       // train.cc
void add_distill_command(CLI::App& app, int* exit_code);     // distill.cc

}  // namespace tern::cli
