// SPDX-License-Identifier: MIT
// Any bytes as what a hub's server may say (listings, repository, headers, redirects) and as what may lie in
// a store (manifests, journals). The first byte chooses. What is accepted must hold what the rest of the
// program relies on: safe paths, hashes that are hashes, extents inside the file, one-line messages.
#include <cstdint>
#include <string>

#include "core/check.h"
#include "core/printable.h"
#include "hub/digest.h"
#include "hub/headers.h"
#include "hub/hub_json.h"
#include "hub/journal.h"
#include "hub/manifest.h"
#include "hub/model_name.h"
#include "hub/select.h"
#include "hub/url.h"

namespace {

using namespace tern;
using namespace tern::hub;

void check_message(const Error& error) {
  TERN_CHECK(!error.message.empty() && is_plain_text(error.message), "message is not one plain line");
}

void check_tree(std::string_view text) {
  const auto files = parse_tree(text);
  if (!files.ok()) return check_message(files.error());
  for (const RemoteFile& file : *files) {
    TERN_CHECK(is_safe_path(file.path), "an unsafe path");
    TERN_CHECK(file.sha256.empty() || is_hex(file.sha256, 64), "no SHA-256");
    TERN_CHECK(file.git_sha1.empty() || is_hex(file.git_sha1, 40), "no git hash");
  }
  for (const char* selector : {"", "i2_s"}) {
    const auto selection = select_files(*files, selector);
    if (!selection.ok()) {
      check_message(selection.error());
    } else {
      TERN_CHECK(!selection->files.empty(), "nothing was selected");
    }
  }
}

void check_manifest(std::string_view text) {
  const auto manifest = parse_manifest(text);
  if (!manifest.ok()) return check_message(manifest.error());
  TERN_CHECK(is_model_name(manifest->name), "no name of a model");
  for (const ManifestFile& file : manifest->files) TERN_CHECK(is_safe_path(file.path), "an unsafe path");
  const auto again = parse_manifest(manifest_text(*manifest));
  TERN_CHECK(again.ok() && manifest_text(*again) == manifest_text(*manifest), "not read back");
}

void check_journal(std::string_view text) {
  const auto journal = parse_journal(text, 1000);
  if (!journal) return;
  for (const Extent& extent : journal->done.extents())
    TERN_CHECK(extent.begin < extent.end && extent.end <= 1000, "an extent outside");
  const auto again = parse_journal(journal_text(*journal), 1000);
  TERN_CHECK(again && again->done.extents() == journal->done.extents() && again->tag == journal->tag,
             "not read back");
}

void check_headers(std::string_view text) {
  Headers head;
  head.add_line("HTTP/1.1 200 OK");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    head.add_line(text.substr(begin, end - begin));
    begin = end + 1;
  }
  TERN_CHECK(head.status() == 0 || head.status() >= 100, "no status");
  if (const auto range = parse_content_range(text)) {
    TERN_CHECK(range->first <= range->last && (!range->total || range->last < *range->total), "no range");
  }
  if (const auto tag = parse_entity_tag(text)) {
    TERN_CHECK(is_plain_text(tag->value) && tag->value.find('"') == std::string::npos,
               "a tag that ends early");
  }
  if (const auto wait = parse_retry_after(text, 1'700'000'000))
    TERN_CHECK(*wait >= 0, "a wait into the past");
  (void)parse_next_link(text);
}

void check_urls(std::string_view text) {
  const auto target = resolve_redirect("https://hub.example/a/b", text);
  if (!target.ok()) {
    check_message(target.error());
  } else {
    TERN_CHECK(origin_of(*target).ok() && target->starts_with("https://"), "left https");
  }
  const auto hub = normalize_hub_address(text);
  if (!hub.ok()) check_message(hub.error());
  const auto ref = parse_repo_ref(text);
  if (!ref.ok()) {
    check_message(ref.error());
  } else {
    TERN_CHECK(parse_repo_ref(ref->name()).ok() && *parse_repo_ref(ref->name()) == *ref,
               "a name that is not read back");
  }
  TERN_CHECK(percent_decode(percent_encode(text, false)) == text, "encoding is not undone");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 6) {
    case 0:
      check_tree(text);
      break;
    case 1:
      check_manifest(text);
      break;
    case 2:
      check_journal(text);
      break;
    case 3:
      check_headers(text);
      break;
    case 4:
      check_urls(text);
      break;
    default: {
      const auto info = parse_repo_info(text);
      if (!info.ok()) check_message(info.error());
      (void)parse_error_body(text);
    }
  }
  return 0;
}
