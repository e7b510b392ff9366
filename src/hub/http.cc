// SPDX-License-Identifier: MIT
#include "hub/http.h"

#include <curl/curl.h>

#include <ctime>
#include <mutex>

#include "core/printable.h"
#include "hub/digest.h"

namespace tern::hub {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxErrorBody = 4096;
constexpr long kReceiveBuffer = 256 * 1024;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

// What libcurl's callbacks share while one hop is in progress.
struct Transfer {
  const HttpRequest& request;
  HttpOutcome& outcome;
  Status callback_status = {};
  bool has_head = false;  // on_head was called

  bool is_answer() const { return outcome.head.status() >= 200 && outcome.head.status() < 300; }

  void note_linked_tag() {
    const auto value = outcome.head.find("x-linked-etag");
    const auto tag = value ? parse_entity_tag(*value) : std::nullopt;
    if (tag) outcome.linked_tag = tag->value;
  }

  bool give_head() {
    if (has_head || !is_answer()) return true;
    has_head = true;
    note_linked_tag();
    if (request.on_head) callback_status = request.on_head(outcome.head, outcome.linked_tag);
    return callback_status.ok();
  }

  bool give_body(std::span<const std::byte> bytes) {
    if (!is_answer()) {
      const size_t room = kMaxErrorBody - outcome.error_body.size();
      outcome.error_body.append(reinterpret_cast<const char*>(bytes.data()), std::min(room, bytes.size()));
      return bytes.size() <= room;  // enough of an error page
    }
    if (!give_head()) return false;
    if (request.on_body) callback_status = request.on_body(bytes);
    return callback_status.ok();
  }
};

size_t on_header_line(char* data, size_t size, size_t count, void* user) {
  static_cast<Transfer*>(user)->outcome.head.add_line({data, size * count});
  return size * count;
}

size_t on_data(char* data, size_t size, size_t count, void* user) {
  const std::span<const char> text(data, size * count);
  return static_cast<Transfer*>(user)->give_body(std::as_bytes(text)) ? text.size() : 0;
}

// Called at least once a second, also while nothing arrives.
int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* cancel = static_cast<Transfer*>(user)->request.cancel;
  return cancel != nullptr && *cancel ? 1 : 0;
}

bool is_transient_code(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:  // an answer that does not begin as one: schemes were checked before
      return true;
    default:
      return false;
  }
}

bool is_transient_status(int status) {
  return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Error transfer_error(CURLcode code, const char* detail, const std::string& url) {
  const bool is_trust = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  return make_error(ErrorCode::kIo, "{}: {}{}", without_query(url),
                    printable(*detail != '\0' ? detail : curl_easy_strerror(code), 300),
                    is_trust ? " (are the system's certificates installed? Debian: ca-certificates)" : "");
}

}  // namespace

struct HttpClient::Handle {
  CURL* curl = curl_easy_init();
  char error_text[CURL_ERROR_SIZE] = {};
  ~Handle() { curl_easy_cleanup(curl); }

  HeaderList headers_for(const HttpRequest& request, const HttpOptions& options,
                         const std::string& url) const;
  CURLcode perform(const HttpRequest& request, const HttpOptions& options, const std::string& url,
                   Transfer& transfer);
};

HeaderList HttpClient::Handle::headers_for(const HttpRequest& request, const HttpOptions& options,
                                           const std::string& url) const {
  HeaderList list;
  const auto add = [&](const std::string& line) {
    list.reset(curl_slist_append(list.release(), line.c_str()));
  };
  // Compressed bytes would have other offsets than the file's.
  add("Accept-Encoding: identity");
  if (request.range) {
    add(fmt::format("Range: bytes={}-{}", request.range->begin, request.range->end - 1));
    if (!request.if_range.empty()) add(fmt::format("If-Range: \"{}\"", request.if_range));
  }
  const auto origin = origin_of(url);
  if (!options.token.empty() && origin.ok() && *origin == options.token_origin) {
    add("Authorization: Bearer " + options.token);
  }
  return list;
}

CURLcode HttpClient::Handle::perform(const HttpRequest& request, const HttpOptions& options,
                                     const std::string& url, Transfer& transfer) {
  const HeaderList headers = headers_for(request, options, url);
  curl_easy_reset(curl);  // keeps connections
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_HEADEROPT,
                   static_cast<long>(CURLHEADER_SEPARATE));  // a proxy does not see the token
  curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, options.user_agent.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, request.fresh_connection ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_seconds * 1000));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_seconds));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kReceiveBuffer);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header_line);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  error_text[0] = '\0';
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, nullptr);  // the list ends here
  return code;
}

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)) {
  // Since 7.84 this is thread-safe by itself; older ones need the guard.
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  handle_ = std::make_unique<Handle>();
}

HttpClient::~HttpClient() = default;

HttpOutcome HttpClient::get(const HttpRequest& request) {
  HttpOutcome outcome;
  if (handle_->curl == nullptr) {
    outcome.status = make_error(ErrorCode::kOutOfMemory, "libcurl cannot be set up");
    return outcome;
  }
  std::string url = request.url;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    outcome.head = {};
    outcome.error_body.clear();
    Transfer transfer{request, outcome};
    const CURLcode code = handle_->perform(request, options_, url, transfer);
    transfer.note_linked_tag();
    const int status = outcome.head.status();
    const bool is_cut_error_page = code == CURLE_WRITE_ERROR && !transfer.is_answer() && status != 0;
    if (!transfer.callback_status.ok()) {
      outcome.status = transfer.callback_status;
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
      outcome.status = make_error(ErrorCode::kCancelled, "stopped");
    } else if (code != CURLE_OK && !is_cut_error_page) {
      outcome.status = transfer_error(code, handle_->error_text, url);
      outcome.is_transient = is_transient_code(code);
    } else if (is_redirect(status) && outcome.head.find("location")) {
      auto next = resolve_redirect(url, *outcome.head.find("location"));
      if (next.ok()) {
        url = std::move(next).value();
        continue;
      }
      outcome.status = std::move(next).error();
    } else if (!transfer.is_answer()) {
      outcome.status = make_error(status == 404 ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: HTTP status {}",
                                  without_query(url), status);
      outcome.is_transient = is_transient_status(status);
      const auto wait = outcome.head.find("retry-after");
      if (outcome.is_transient && wait) outcome.retry_after = parse_retry_after(*wait, std::time(nullptr));
    } else if (!transfer.give_head()) {  // an answer without a body
      outcome.status = transfer.callback_status;
    }
    return outcome;
  }
  outcome.status =
      make_error(ErrorCode::kIo, "{}: more than {} redirects", without_query(request.url), kMaxRedirects);
  return outcome;
}

}  // namespace tern::hub
