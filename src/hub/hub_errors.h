// SPDX-License-Identifier: MIT
// What a hub's refusal means for the user, in one line, and sizes for messages.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "hub/http.h"

namespace tern::hub {

struct HubContext {
  std::string hub, repo, revision;
  bool has_token = false;
};

/// The Error of a request that failed: gated, private, no such repository, revision or file, too many
/// requests, or what the transfer itself said. `what` is a file's path, or empty for the repository.
Error explain(const HttpOutcome& outcome, const HubContext& context, const std::string& what);

/// "1.19 GB"
std::string human_size(uint64_t bytes);

}  // namespace tern::hub
