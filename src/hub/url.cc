// SPDX-License-Identifier: MIT
#include "hub/url.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/printable.h"

namespace tern::hub {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

std::optional<std::string> part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string copy = text;
  curl_free(text);
  return copy;
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

Result<Url> parse(const std::string& text, ErrorCode code) {
  Url url(curl_url());
  if (url == nullptr) return make_error(ErrorCode::kOutOfMemory, "no memory for an address");
  const bool is_good = text.size() <= 16384 && text.find('\0') == std::string::npos && is_plain_text(text) &&
                       curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) == CURLUE_OK;
  const std::string scheme = lower(is_good ? part_of(url.get(), CURLUPART_SCHEME).value_or("") : "");
  if (!is_good || (scheme != "http" && scheme != "https") ||
      part_of(url.get(), CURLUPART_HOST).value_or("").empty()) {
    return make_error(code, "'{}' is no address: expected http(s)://HOST[:PORT]/..., without a user name",
                      printable(without_query(text), 200));
  }
  return url;
}

Origin origin(CURLU* url) {
  return {lower(part_of(url, CURLUPART_SCHEME).value_or("")),
          lower(part_of(url, CURLUPART_HOST).value_or("")),
          part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT).value_or("")};
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool Origin::is_loopback() const {
  if (host == "localhost" || host == "[::1]" || host == "::1") return true;
  return host.starts_with("127.") &&
         std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

Result<std::string> normalize_hub_address(std::string_view text) {
  TERN_TRY_ASSIGN(const Url url, parse(std::string(text), ErrorCode::kUsage));
  if (part_of(url.get(), CURLUPART_QUERY) || part_of(url.get(), CURLUPART_FRAGMENT)) {
    return make_error(
        ErrorCode::kUsage,
        "the hub's address '{}' has a query or a fragment: expected http(s)://HOST[:PORT][/PATH]",
        printable(without_query(text), 200));
  }
  std::string address = part_of(url.get(), CURLUPART_URL).value_or("");
  while (address.ends_with('/')) address.pop_back();
  return address;
}

Result<Origin> origin_of(const std::string& text) {
  TERN_TRY_ASSIGN(const Url url, parse(text, ErrorCode::kCorrupt));
  return origin(url.get());
}

Result<std::string> resolve_redirect(const std::string& base, std::string_view location) {
  TERN_TRY_ASSIGN(const Url url, parse(base, ErrorCode::kCorrupt));
  const Origin from = origin(url.get());
  const std::string target(location);
  // Setting a relative address on a handle that holds an absolute one resolves it (RFC 3986, section 5).
  const bool is_set =
      target.find('\0') == std::string::npos && is_plain_text(target) && !target.empty() &&
      curl_url_set(url.get(), CURLUPART_URL, target.c_str(), CURLU_DISALLOW_USER) == CURLUE_OK;
  if (!is_set) {
    return make_error(ErrorCode::kCorrupt, "redirect from {} to '{}', which is no address",
                      without_query(base), printable(without_query(target), 200));
  }
  const std::string resolved = part_of(url.get(), CURLUPART_URL).value_or("");
  TERN_TRY_ASSIGN(const Origin to, origin_of(resolved));
  if (from.scheme == "https" && to.scheme == "http") {
    return make_error(ErrorCode::kCorrupt, "redirect from {} to {} leaves https: refused",
                      without_query(base), printable(without_query(resolved), 200));
  }
  return resolved;
}

std::string percent_encode(std::string_view text, bool keep_slash) {
  std::string out;
  for (const char c : text) {
    if (is_unreserved(c) || (keep_slash && c == '/')) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = i + 2 < text.size() && text[i] == '%' ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low < 0) {
      out += text[i];
    } else {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

std::string without_query(std::string_view url) {
  return std::string(url.substr(0, url.find_first_of("?#")));
}

}  // namespace tern::hub
