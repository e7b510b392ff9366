// SPDX-License-Identifier: MIT
#include "hub/hub_client.h"

#include <algorithm>
#include <random>
#include <set>

#include "core/printable.h"

namespace tern::hub {
namespace {

constexpr size_t kMaxAnswer = size_t{64} << 20, kMaxToken = 1024, kMaxFiles = 100'000;
constexpr int kMaxPages = 200;

}  // namespace

Result<std::string> parse_token(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  const bool is_good = !text.empty() && text.size() <= kMaxToken &&
                       std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
  if (!is_good) {
    return make_error(ErrorCode::kUsage,
                      "the token is none: expected one line of printable characters without blanks");
  }
  return std::string(text);
}

Status wait_before_retry(const HubOptions& options, const HttpOutcome& outcome, int failures,
                         const Error& error) {
  const RetryPolicy& policy = options.retry;
  const bool asks_too_much = outcome.retry_after && *outcome.retry_after > policy.longest_wait;
  if (!outcome.is_transient || failures >= policy.attempts || asks_too_much) return error;
  std::random_device device;
  const double random = std::uniform_real_distribution<double>()(device);
  const double seconds = retry_delay(policy, failures, outcome.retry_after, random);
  if (options.on_note)
    options.on_note(fmt::format("{}; again in {:.1f} s", outcome.status.error().message, seconds));
  return wait_seconds(seconds, options.cancel);
}

Result<Hub> Hub::create(HubOptions options) {
  TERN_TRY_ASSIGN(Origin origin, origin_of(options.hub));
  if (!options.token.empty() && origin.scheme != "https" && !origin.is_loopback()) {
    return make_error(ErrorCode::kUsage,
                      "the token would travel unencrypted to {}: use https, or unset HF_TOKEN", options.hub);
  }
  return Hub(std::move(options), std::move(origin));
}

HttpOptions Hub::http_options() const {
  HttpOptions http;
  http.token = options_.token;
  http.token_origin = origin_;
  http.connect_seconds = options_.connect_seconds;
  http.stall_seconds = options_.stall_seconds;
  return http;
}

HubContext Hub::context(const std::string& repo, const std::string& revision) const {
  return {options_.hub, repo, revision, !options_.token.empty()};
}

Result<std::string> Hub::get_json(const std::string& url, const HubContext& context, HttpOutcome* last) {
  HttpClient client(http_options());
  std::string body;
  HttpRequest request;
  request.url = url;
  request.cancel = options_.cancel;
  request.on_body = [&](std::span<const std::byte> bytes) -> Status {
    if (body.size() + bytes.size() > kMaxAnswer) {
      return make_error(ErrorCode::kCorrupt, "{}: the answer is larger than {}", without_query(url),
                        human_size(kMaxAnswer));
    }
    body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  for (int failures = 1;; ++failures) {
    body.clear();
    *last = client.get(request);
    if (last->status.ok()) return body;
    TERN_TRY(wait_before_retry(options_, *last, failures, explain(*last, context, "")));
  }
}

Result<RepoInfo> Hub::repo_info(const RepoRef& ref) {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}", options_.hub,
                                      percent_encode(ref.repo, true), percent_encode(ref.revision, false));
  HttpOutcome last;
  TERN_TRY_ASSIGN(const std::string body, get_json(url, context(ref.repo, ref.revision), &last));
  auto info = parse_repo_info(body);
  if (!info.ok()) return std::move(info).error().in(options_.hub);
  return info;
}

Result<std::vector<RemoteFile>> Hub::files(const std::string& repo, const std::string& commit) {
  std::vector<RemoteFile> all;
  std::set<std::string> seen;
  std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true", options_.hub,
                                percent_encode(repo, true), percent_encode(commit, false));
  for (int page = 0; page < kMaxPages; ++page) {
    HttpOutcome last;
    TERN_TRY_ASSIGN(const std::string body, get_json(url, context(repo, commit), &last));
    auto files = parse_tree(body);
    if (!files.ok()) return std::move(files).error().in(options_.hub);
    for (RemoteFile& file : *files) {
      if (!seen.insert(file.path).second || all.size() >= kMaxFiles) {
        return make_error(ErrorCode::kCorrupt, "{}: the list of files does not end, or names '{}' twice",
                          options_.hub, printable(file.path, 200));
      }
      all.push_back(std::move(file));
    }
    const auto link = last.head.find("link");
    const auto next = link ? parse_next_link(*link) : std::nullopt;
    if (!next) return all;
    TERN_TRY_ASSIGN(url, resolve_redirect(url, *next));
    TERN_TRY_ASSIGN(const Origin origin, origin_of(url));
    if (origin != origin_) {
      return make_error(ErrorCode::kCorrupt,
                        "{}: the next page of its list of files is on another machine: {}", options_.hub,
                        printable(without_query(url), 200));
    }
  }
  return make_error(ErrorCode::kCorrupt, "{}: the list of files has more than {} pages", options_.hub,
                    kMaxPages);
}

std::string Hub::file_url(const std::string& repo, const std::string& commit, const std::string& path) const {
  return fmt::format("{}/{}/resolve/{}/{}", options_.hub, percent_encode(repo, true),
                     percent_encode(commit, false), percent_encode(path, true));
}

}  // namespace tern::hub
