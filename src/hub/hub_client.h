// SPDX-License-Identifier: MIT
// The hub's interface: what a repository is, which files it has, and where they are. Repeats what may succeed
// later.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "hub/http.h"
#include "hub/hub_errors.h"
#include "hub/hub_json.h"
#include "hub/model_name.h"
#include "hub/retry.h"

namespace tern::hub {

struct HubOptions {
  std::string hub;    // normalize_hub_address
  std::string token;  // empty: none
  double connect_seconds = 20;
  double stall_seconds = 30;
  RetryPolicy retry;
  const std::atomic<bool>* cancel = nullptr;
  /// Told why a request is repeated; may be called from several threads at once.
  std::function<void(const std::string&)> on_note;
};

/// A token as it stands in a file or in the environment, without line ends. Errors: kUsage for what can be no
/// token; the text itself is never part of the message.
Result<std::string> parse_token(std::string_view text);

/// Tells on_note why, then waits. Errors: `error` where it is not worth repeating or has been repeated
/// enough; kCancelled.
Status wait_before_retry(const HubOptions& options, const HttpOutcome& outcome, int failures,
                         const Error& error);

class Hub {
 public:
  /// Errors: kUsage where a token would travel unencrypted (http to another machine).
  static Result<Hub> create(HubOptions options);

  const HubOptions& options() const { return options_; }
  HttpOptions http_options() const;
  HubContext context(const std::string& repo, const std::string& revision) const;

  /// Errors: of explain, kCorrupt for answers that are not understood.
  Result<RepoInfo> repo_info(const RepoRef& ref);
  Result<std::vector<RemoteFile>> files(const std::string& repo, const std::string& commit);
  std::string file_url(const std::string& repo, const std::string& commit, const std::string& path) const;

 private:
  explicit Hub(HubOptions options, Origin origin)
      : options_(std::move(options)), origin_(std::move(origin)) {}
  Result<std::string> get_json(const std::string& url, const HubContext& context, HttpOutcome* last);

  HubOptions options_;
  Origin origin_;
};

}  // namespace tern::hub
