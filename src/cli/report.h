// SPDX-License-Identifier: MIT
// Reports that several commands print: the machine, the timings of an answer. Schemas: docs/json.md.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/context.h"
#include "engine/generate.h"

namespace tern::cli {

using Json = nlohmann::ordered_json;

/// One line of JSON on stdout; invalid UTF-8 in strings is replaced, never an error.
void print_json(const Json& json);

Json machine_json(const Context& context);
Json timings_json(const Timings& timings, double load_seconds);
/// "load 0.12 s | prompt 5 tokens, 1.2 ms/token, 830 tok/s | answer 64 tokens, ..."; without the load where
/// it is absent.
std::string timings_line(const Timings& timings, std::optional<double> load_seconds);

/// "1.19 GB"
std::string human_bytes(double bytes);

}  // namespace tern::cli
