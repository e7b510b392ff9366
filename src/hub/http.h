// SPDX-License-Identifier: MIT
// One GET: follows redirects itself, sends the token to the origin it is for and nowhere else, refuses what
// is neither http nor https, gives up on connections that stall. Repeating is the caller's business
// (retry.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/result.h"
#include "hub/extents.h"
#include "hub/headers.h"
#include "hub/url.h"

namespace tern::hub {

struct HttpOptions {
  std::string token;  // empty: none
  Origin token_origin;
  double connect_seconds = 20;
  double stall_seconds = 30;  // without a byte
  std::string user_agent = "tern";
};

struct HttpRequest {
  std::string url;
  std::optional<Extent> range;
  std::string if_range;  // a strong entity tag without quotes, or empty
  bool fresh_connection =
      false;  // not one that is kept: after a failure it may hold bytes of the answer before
  const std::atomic<bool>* cancel = nullptr;
  /// The head of the answer that counts (2xx), before its body, with the X-Linked-Etag of any answer on the
  /// way (empty: none): what a hub calls a file that it stores elsewhere. An Error ends the transfer.
  std::function<Status(const Headers&, const std::string& linked_tag)> on_head;
  /// A piece of its body. An Error ends the transfer.
  std::function<Status(std::span<const std::byte>)> on_body;
};

struct HttpOutcome {
  Status status;              // of everything: connection, answer, callbacks
  bool is_transient = false;  // the same request may succeed later
  std::optional<double> retry_after = std::nullopt;
  Headers head;            // of the last answer
  std::string linked_tag;  // as given to on_head
  std::string error_body;  // up to 4 KiB of the body of an answer that is not 2xx
};

/// A connection that is kept between requests. Not for two threads at once; make one for each.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpOutcome get(const HttpRequest& request);

 private:
  struct Handle;
  HttpOptions options_;
  std::unique_ptr<Handle> handle_;
};

}  // namespace tern::hub
