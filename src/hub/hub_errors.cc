// SPDX-License-Identifier: MIT
#include "hub/hub_errors.h"

#include "core/printable.h"
#include "hub/hub_json.h"

namespace tern::hub {
namespace {

// X-Error-Code is the hub's own word for the reason; the status alone does not tell gated from private.
std::string reason_code(const HttpOutcome& outcome) {
  return std::string(outcome.head.find("x-error-code").value_or(""));
}

// The hub's own sentence, where it has one.
std::string said(const HttpOutcome& outcome) {
  std::string text = printable(outcome.head.find("x-error-message").value_or(""), 300);
  if (text.empty()) text = parse_error_body(outcome.error_body);
  return text.empty() ? text : fmt::format(" (the hub says: {})", text);
}

Error refused(const HttpOutcome& outcome, const HubContext& context) {
  const int status = outcome.head.status();
  const std::string code = reason_code(outcome);
  const std::string place = fmt::format("{} of {}", context.repo, context.hub);
  if (code == "GatedRepo") {
    return make_error(ErrorCode::kIo, "{} is gated: accept its terms at {}/{} with your account{}{}", place,
                      context.hub, context.repo,
                      context.has_token ? "; the token given has no access yet"
                                        : ", then set HF_TOKEN or give --token-file FILE",
                      said(outcome));
  }
  if (code == "RepoNotFound" && !context.has_token) {
    return make_error(ErrorCode::kNotFound,
                      "{} does not exist, or is private: then set HF_TOKEN or give --token-file FILE{}",
                      place, said(outcome));
  }
  if (!context.has_token) {
    return make_error(ErrorCode::kIo, "{} needs a token (HTTP {}): set HF_TOKEN or give --token-file FILE{}",
                      place, status, said(outcome));
  }
  return make_error(
      ErrorCode::kIo,
      "{}: the token given {} (HTTP {}): check HF_TOKEN or --token-file, and that your account may read it{}",
      place, status == 401 ? "is not accepted" : "has no access", status, said(outcome));
}

Error not_found(const HttpOutcome& outcome, const HubContext& context, const std::string& what) {
  const std::string code = reason_code(outcome);
  if (code == "RevisionNotFound") {
    return make_error(ErrorCode::kNotFound, "{} of {} has no revision '{}'{}", context.repo, context.hub,
                      context.revision, said(outcome));
  }
  if (!what.empty()) {
    return make_error(ErrorCode::kNotFound, "{} of {} has no file '{}' at {}{}", context.repo, context.hub,
                      printable(what, 200), context.revision, said(outcome));
  }
  return make_error(ErrorCode::kNotFound, "{} does not exist at {}: check the name and --hub{}", context.repo,
                    context.hub, said(outcome));
}

}  // namespace

Error explain(const HttpOutcome& outcome, const HubContext& context, const std::string& what) {
  const int status = outcome.head.status();
  const Error& error = outcome.status.error();
  const bool is_answer = status >= 400;
  if (!is_answer || error.code == ErrorCode::kCancelled) return error;
  if (status == 401 || status == 403) return refused(outcome, context);
  if (status == 404) return not_found(outcome, context, what);
  if (status == 429) {
    return make_error(
        ErrorCode::kIo, "{} asks for fewer requests (HTTP 429){}: try again later{}{}", context.hub,
        outcome.retry_after ? fmt::format(", in {:.0f} s", *outcome.retry_after) : "",
        context.has_token ? "" : ", or set HF_TOKEN, which has a larger allowance", said(outcome));
  }
  return Error{error.code, error.message + said(outcome)};
}

std::string human_size(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

}  // namespace tern::hub
