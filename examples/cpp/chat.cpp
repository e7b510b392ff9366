// SPDX-License-Identifier: MIT
// A conversation: chat MODEL [TEMPLATE_FILE [TOKENS]]. Reads a question from each line of stdin and answers
// on stdout. TEMPLATE_FILE holds a chat template (Jinja) for a model file that brings none; "" for the file's
// own.
//
//   c++ -std=c++17 chat.cpp $(pkg-config --cflags --libs tern) -o chat
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <tern/tern.hpp>

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open '" + path + "'");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void chat(const std::string& path, const std::string& template_file, int max_tokens) {
  using namespace tern::api;
  const Context context;
  std::cerr << context.describe() << '\n';
  ModelOptions options;
  if (!template_file.empty()) options.chat_template = read_file(template_file);
  Session session(Model(context, path, options));

  GenerateParams params;
  params.temperature = 0;
  params.max_tokens = max_tokens;
  for (std::string line; std::getline(std::cin, line);) {
    const Answer answer = session.ask(line, params, [](std::int32_t, std::string_view text) {
      std::cout << text << std::flush;
      return true;
    });
    std::cout << std::endl;
    std::cerr << '[' << answer.tokens.size() << " tokens; of the conversation, " << answer.cached_tokens
              << " were known and " << answer.prompt_tokens << " new]\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::cerr << "usage: chat MODEL [TEMPLATE_FILE [TOKENS]] <questions\n";
    return 2;
  }
  try {
    chat(argv[1], argc > 2 ? argv[2] : "", argc > 3 ? std::atoi(argv[3]) : -1);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "chat: " << e.what() << '\n';
    return 1;
  }
}
