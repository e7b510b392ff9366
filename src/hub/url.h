// SPDX-License-Identifier: MIT
// Addresses: the hub's, those of its files, and where a redirect leads. Parsed by libcurl's own URL reader,
// so that what is checked here (host, scheme) is what is then connected to.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::hub {

/// Who answers: a token goes to the origin it was meant for and to no other.
struct Origin {
  std::string scheme, host;  // lower case
  std::string port;          // decimal, the scheme's own where none is written
  bool operator==(const Origin&) const = default;
  /// True for localhost, 127.0.0.0/8 and [::1].
  bool is_loopback() const;
};

/// The hub's address as given by a user, without a slash at the end. Errors: kUsage unless it is
/// http(s)://HOST[:PORT][/PATH] without user, query or fragment.
Result<std::string> normalize_hub_address(std::string_view text);

/// Errors: kCorrupt for anything but an absolute http or https address with a host and without a user name.
Result<Origin> origin_of(const std::string& url);

/// Where `location` (absolute or relative) leads from `base`. Errors: kCorrupt for other schemes, for a user
/// name, and for a way from https to http.
Result<std::string> resolve_redirect(const std::string& base, std::string_view location);

/// `text` with every byte but letters, digits and -._~ percent-encoded; `keep_slash` leaves '/' as it is.
std::string percent_encode(std::string_view text, bool keep_slash);
/// The reverse of percent_encode; a '%' without two hex digits stays as it is.
std::string percent_decode(std::string_view text);

/// For messages: without query and fragment, which may hold a signature that gives access.
std::string without_query(std::string_view url);

}  // namespace tern::hub
