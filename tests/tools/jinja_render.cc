// SPDX-License-Identifier: MIT
// Renders templates for the comparison with Python: one JSON object per line on stdin ({"template", "vars"}),
// one per line on stdout ({"text"} or {"error"}). Called by tests/scripts/jinja2_oracle_test.py.
#include <iostream>
#include <nlohmann/json.hpp>

#include "text/chat_template.h"

int main() {
  using Json = nlohmann::ordered_json;
  for (std::string line; std::getline(std::cin, line);) {
    const Json request = Json::parse(line);
    const auto chat = tern::ChatTemplate::parse(request["template"].get<std::string>());
    const auto text =
        chat.ok() ? chat->render_variables(request["vars"], {2024, 7, 26, 12, 34, 56}) : chat.error();
    const Json answer = text.ok() ? Json{{"text", *text}} : Json{{"error", text.error().message}};
    std::cout << answer.dump(-1, ' ', true) << '\n';
  }
  return 0;
}
