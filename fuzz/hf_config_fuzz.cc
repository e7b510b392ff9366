// SPDX-License-Identifier: MIT
// Any bytes as config.json, as the index of shards and as tern_metadata.json: what is accepted must be within
// bounds, every message is one line.
#include <cstdint>
#include <string>

#include "convert/hf_config.h"
#include "convert/metadata_json.h"
#include "core/check.h"

namespace {

void check_message(const tern::Error& error) {
  TERN_CHECK(!error.message.empty() && error.message.find_first_of("\r\n") == std::string::npos,
             "message is not one line");
}

void check_config(const std::string& text) {
  const auto config = tern::parse_hf_config(text, {});
  if (!config.ok()) return check_message(config.error());
  TERN_CHECK(config->hidden > 0 && config->layers > 0 && config->layers <= 1 << 14,
             "sizes are within bounds");
  TERN_CHECK(config->heads % config->kv_heads == 0 && config->head_dim % 2 == 0, "heads divide");
  const auto keys = tern::hf_config_keys(*config);
  if (!keys.ok()) return check_message(keys.error());
  TERN_CHECK(keys->size() > 8, "a configuration has its keys");
}

void check_index(const std::string& text) {
  const auto index = tern::parse_shard_index(text);
  if (!index.ok()) return check_message(index.error());
  for (const auto& [tensor, file] : *index) {
    TERN_CHECK(file.find('/') == std::string::npos && file != ".." && !file.empty(),
               "a file of the same folder");
  }
}

void check_metadata(const std::string& text) {
  const auto keys = tern::metadata_from_json(text);
  if (!keys.ok()) return check_message(keys.error());
  const auto again = tern::metadata_to_json(*keys);
  TERN_CHECK(again.ok(), "what was read can be written");
  const auto back = tern::metadata_from_json(*again);
  TERN_CHECK(back.ok() && back->size() == keys->size(), "and read again");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_config(text);
  check_index(text);
  check_metadata(text);
  return 0;
}
