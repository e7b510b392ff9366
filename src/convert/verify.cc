// SPDX-License-Identifier: MIT
#include "convert/verify.h"

#include <algorithm>

#include "convert/checks.h"
#include "convert/i2s_order.h"
#include "convert/self_check.h"
#include "core/cpu_features.h"
#include "core/printable.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/registry.h"

namespace tern {
namespace {

using Kind = Finding::Kind;

/// "" where both hold the same numbers, else what differs.
std::string difference(const TensorFacts& file, const TensorFacts& wanted) {
  if (file.is_ternary != wanted.is_ternary)
    return file.is_ternary ? "ternary, dense there" : "dense, ternary there";
  if (file.values != wanted.values) return file.is_ternary ? "other trits" : "other values";
  if (file.is_ternary && file.scales.digest != wanted.scales.digest) {
    return fmt::format("other scales ({} to {}, {} to {} there)", file.scales.smallest, file.scales.largest,
                       wanted.scales.smallest, wanted.scales.largest);
  }
  return "";
}

class Verifier {
 public:
  Verifier(const std::string& path, const VerifyOptions& options) : path_(path), options_(options) {}
  Result<VerifyReport> run();

 private:
  void add(Kind kind, std::string what, std::string detail) {
    report_.findings.push_back({kind, std::move(what), std::move(detail)});
  }
  Result<std::vector<TensorFacts>> all_facts(const Checkpoint& checkpoint, std::string_view what) const;
  void compare(std::string what, const std::vector<TensorFacts>& wanted);
  Status check_source();
  void check_logits(const std::shared_ptr<const Weights>& weights, const SelfCheck* expected);
  void check_order(const std::shared_ptr<const Weights>& weights);

  const std::string& path_;
  const VerifyOptions& options_;
  VerifyReport report_;
};

Result<std::vector<TensorFacts>> Verifier::all_facts(const Checkpoint& checkpoint,
                                                     std::string_view what) const {
  std::vector<TensorFacts> all;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    TERN_TRY_ASSIGN(TensorFacts facts, facts_of(tensor));
    all.push_back(std::move(facts));
    if (!options_.progress) continue;
    options_.progress(what, static_cast<int64_t>(all.size()),
                      static_cast<int64_t>(checkpoint.tensors.size()));
  }
  return all;
}

/// Every wanted tensor must be in the file with the same numbers, and nothing else.
void Verifier::compare(std::string what, const std::vector<TensorFacts>& wanted) {
  size_t same = 0, bad = 0;
  std::string first;
  const auto note = [&](const std::string& name, const std::string& text) {
    if (bad++ == 0) first = fmt::format("'{}': {}", printable(name), text);
  };
  for (const TensorFacts& facts : wanted) {
    const auto at = std::find_if(report_.tensors.begin(), report_.tensors.end(),
                                 [&](const TensorFacts& f) { return f.name == facts.name; });
    const std::string differs = at == report_.tensors.end() ? "missing" : difference(*at, facts);
    if (differs.empty()) ++same;
    if (!differs.empty()) note(facts.name, differs);
  }
  if (report_.tensors.size() > wanted.size())
    note(path_, fmt::format("{} tensors more", report_.tensors.size() - wanted.size()));
  if (bad == 0) add(Kind::kOk, std::move(what), fmt::format("{} tensors hold the same numbers", same));
  if (bad > 0)
    add(Kind::kBad, std::move(what),
        fmt::format("{} of {} tensors differ; first {}", bad, wanted.size(), first));
}

Status Verifier::check_source() {
  if (options_.against.empty()) {
    add(Kind::kUnchecked, "source", "no --against SRC: the file was compared with its own certificate only");
    return {};
  }
  TERN_TRY_ASSIGN(const Checkpoint source, open_checkpoint(options_.against, options_.import));
  TERN_TRY_ASSIGN(const auto wanted, all_facts(source, "reading the source"));
  compare("source", wanted);
  return {};
}

void Verifier::check_logits(const std::shared_ptr<const Weights>& weights, const SelfCheck* expected) {
  if (expected == nullptr)
    add(Kind::kUnchecked, "logits", "no stored logits: kernel sets are compared with each other");
  const uint64_t features = detect_cpu_features();
  SelfCheck reference;
  for (const KernelTable* table : kernel_tables()) {
    const std::string what = fmt::format("logits {}", table->name);
    const auto kernels = choose_kernels(table->name, features);
    if (!kernels.ok()) {
      add(Kind::kUnchecked, what, kernels.error().message);
      continue;
    }
    const auto backend = make_cpu_backend(*kernels, options_.pool);
    const auto check = run_self_check(weights, *backend, {}, expected != nullptr ? expected : nullptr,
                                      [&](int64_t done, int64_t total) {
                                        if (options_.progress) options_.progress(what, done, total);
                                      });
    if (!check.ok()) {
      const bool cannot = check.error().code == ErrorCode::kUnsupported;
      add(cannot ? Kind::kUnchecked : Kind::kBad, what, check.error().message);
      if (cannot) return;
      continue;
    }
    report_.self_check = *check;
    if (expected == nullptr && reference.logits.empty()) reference = *check;
    const std::string& wanted = expected != nullptr ? expected->logits : reference.logits;
    if (check->logits == wanted) {
      add(Kind::kOk, what, fmt::format("equal bit for bit ({})", wanted.substr(0, 12)));
    } else {
      add(Kind::kBad, what, fmt::format("digest {}, expected {}", check->logits, wanted));
    }
  }
}

void Verifier::check_order(const std::shared_ptr<const Weights>& weights) {
  if (!has_unmarked_i2s(weights->gguf())) return;
  const auto kernels = choose_kernels("auto", detect_cpu_features());
  const auto backend = make_cpu_backend(*kernels, options_.pool);
  const I2sOrder assumed = options_.import.i2s_order.value_or(I2sOrder::kX86_128);
  const auto verdict = compare_i2s_orders(weights, *backend, assumed, options_.import.open_tokenizer);
  if (!verdict.ok() || !verdict->unchecked.empty()) {
    add(Kind::kUnchecked, "byte order", verdict.ok() ? verdict->unchecked : verdict.error().message);
  } else if (verdict->better) {
    add(Kind::kBad, "byte order",
        fmt::format("{} is clearly better than {} ({}): say --i2s-order {}", i2s_order_name(*verdict->better),
                    i2s_order_name(assumed), verdict->comparison, i2s_order_name(*verdict->better)));
  } else {
    add(Kind::kOk, "byte order",
        fmt::format("{}: no order is clearly better ({})", i2s_order_name(assumed), verdict->comparison));
  }
}

Result<VerifyReport> Verifier::run() {
  TERN_TRY_ASSIGN(const auto weights, Weights::open(path_, options_.import.weights));
  TERN_TRY_ASSIGN(Checkpoint checkpoint, open_gguf_checkpoint(path_, options_.import));
  auto facts = all_facts(checkpoint, "reading");
  if (!facts.ok()) {
    add(Kind::kBad, "tensors", facts.error().message);
    return std::move(report_);
  }
  report_.tensors = std::move(facts).value();
  auto certificate = read_certificate(weights->gguf());
  const SelfCheck* expected = nullptr;
  if (!certificate.ok()) {
    add(Kind::kBad, "certificate", certificate.error().message);
  } else if (!certificate->has_value()) {
    add(Kind::kUnchecked, "certificate", "the file has none: tern convert writes one");
  } else if ((*certificate)->numerics != kNumericsVersion) {
    add(Kind::kUnchecked, "certificate",
        fmt::format("made for numerics {}, this is numerics {}: logits may differ", (*certificate)->numerics,
                    kNumericsVersion));
  } else {
    compare("certificate", (*certificate)->tensors);
    if ((*certificate)->self_check) expected = &*(*certificate)->self_check;
  }
  if (Status status = check_source(); !status.ok()) add(Kind::kBad, "source", status.error().message);
  for (const std::string& line : check_weights(report_.tensors)) add(Kind::kUnchecked, "weights", line);
  const auto oddities = check_text(checkpoint, options_.import);
  if (!oddities.ok()) add(Kind::kBad, "text", oddities.error().message);
  check_order(weights);
  check_logits(weights, expected);
  return std::move(report_);
}

}  // namespace

bool VerifyReport::ok() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& f) { return f.kind == Finding::Kind::kBad; });
}

Result<VerifyReport> verify_model(const std::string& path, const VerifyOptions& options) {
  return Verifier(path, options).run();
}

}  // namespace tern
