// SPDX-License-Identifier: MIT
#include "convert/certificate.h"

#include <bit>

#include "convert/hf_config.h"
#include "core/printable.h"

namespace tern {
namespace {

constexpr size_t kBytesPerTensor = 420;  // of everything but the name: digests, counts of 20 digits, floats
constexpr size_t kBytesOfRest = 8192;

const char* scope_name(ScaleScope scope) {
  return scope == ScaleScope::kTensor ? "tensor" : scope == ScaleScope::kRow ? "row" : "group";
}

Json float_json(float value) { return Json::parse(fmt::format("{}", value)); }

Json facts_to_json(const TensorFacts& f) {
  Json json = {{"name", f.name}, {"type", std::string(dtype_name(f.dtype))}, {"values", f.values}};
  if (!f.is_ternary) return json;
  json["scales"] = f.scales.digest;
  json["scope"] = scope_name(f.scales.scope);
  json["scale_min"] = float_json(f.scales.smallest);
  json["scale_max"] = float_json(f.scales.largest);
  json["counts"] = {f.counts.minus, f.counts.zero, f.counts.plus, f.counts.two};
  const double total = static_cast<double>(std::max<uint64_t>(1, f.counts.total()));
  json["zero"] = Json::parse(fmt::format("{:.4f}", static_cast<double>(f.counts.zero) / total));
  json["plus"] = Json::parse(fmt::format("{:.4f}", static_cast<double>(f.counts.plus) / total));
  return json;
}

DType dtype_named(std::string_view name, bool* is_known) {
  for (int i = 0; i <= static_cast<int>(DType::kHfU8); ++i) {
    if (dtype_name(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  }
  *is_known = false;
  return DType::kF32;
}

/// A member of the wanted type, or a cleared `good`.
std::string text_of(const Json& json, const char* key, bool* good) {
  const auto at = json.find(key);
  if (at == json.end() || !at->is_string()) *good = false;
  return *good ? at->get<std::string>() : std::string();
}

float number_of(const Json& json, const char* key, bool* good) {
  const auto at = json.find(key);
  if (at == json.end() || !at->is_number()) *good = false;
  return *good ? at->get<float>() : 0.0f;
}

Result<TensorFacts> facts_from_json(const Json& json) {
  TensorFacts f;
  bool good = json.is_object();
  f.name = good ? text_of(json, "name", &good) : "";
  const std::string type = good ? text_of(json, "type", &good) : "";
  f.dtype = dtype_named(type, &good);
  f.values = good ? text_of(json, "values", &good) : "";
  f.is_ternary = good && json.contains("scales");
  if (f.is_ternary) {
    f.scales.digest = text_of(json, "scales", &good);
    const std::string scope = good ? text_of(json, "scope", &good) : "";
    f.scales.scope = scope == "row"     ? ScaleScope::kRow
                     : scope == "group" ? ScaleScope::kGroup
                                        : ScaleScope::kTensor;
    f.scales.smallest = good ? number_of(json, "scale_min", &good) : 0;
    f.scales.largest = good ? number_of(json, "scale_max", &good) : 0;
    const auto counts = json.find("counts");
    good = good && counts != json.end() && counts->is_array() && counts->size() == 4;
    for (size_t i = 0; good && i < 4; ++i) good = (*counts)[i].is_number_unsigned();
    if (good) f.counts = {(*counts)[0], (*counts)[1], (*counts)[2], (*counts)[3]};
  }
  if (good) return f;
  return make_error(ErrorCode::kCorrupt, "an entry of the certificate is broken");
}

Json self_check_json(const SelfCheck& check) {
  Json largest = Json::array();
  for (const auto& [id, value] : check.largest) largest.push_back({id, float_json(value)});
  return {{"tokens", check.tokens}, {"logits", check.logits}, {"largest", largest}};
}

Result<std::optional<SelfCheck>> self_check_from(const Json& json) {
  const auto at = json.find("self_check");
  if (at == json.end() || !at->is_object()) return std::optional<SelfCheck>();
  SelfCheck check;
  bool good = true;
  check.logits = text_of(*at, "logits", &good);
  const auto tokens = at->find("tokens");
  good = good && tokens != at->end() && tokens->is_array();
  for (size_t i = 0; good && i < tokens->size(); ++i) {
    good = (*tokens)[i].is_number_unsigned() && (*tokens)[i].get<uint64_t>() <= INT32_MAX;
    if (good) check.tokens.push_back((*tokens)[i].get<int32_t>());
  }
  if (!good || check.tokens.empty() || check.tokens.size() > 64) {
    return make_error(ErrorCode::kCorrupt, "the self-check of the certificate is broken");
  }
  const auto largest = at->find("largest");
  for (size_t i = 0; largest != at->end() && i < largest->size(); ++i) {
    const Json& pair = (*largest)[i];
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() || !pair[1].is_number())
      continue;
    check.largest.emplace_back(pair[0].get<int32_t>(), pair[1].get<float>());
  }
  return std::optional(std::move(check));
}

}  // namespace

std::string facts_to_line(const TensorFacts& facts) { return facts_to_json(facts).dump(); }

Result<TensorFacts> facts_from_line(std::string_view line) {
  TERN_TRY_ASSIGN(const Json json, parse_json(line, "journal"));
  return facts_from_json(json);
}

size_t certificate_space(const std::vector<std::string>& tensor_names) {
  size_t space = kBytesOfRest;
  for (const std::string& name : tensor_names) space += kBytesPerTensor + 2 * name.size();
  return space;
}

Result<std::string> certificate_text(const Certificate& certificate, size_t space) {
  Json json = {{"numerics", certificate.numerics}, {"source", certificate.source}};
  if (certificate.self_check) json["self_check"] = self_check_json(*certificate.self_check);
  if (!certificate.unchecked.empty()) json["unchecked"] = certificate.unchecked.substr(0, 1000);
  Json tensors = Json::array();
  for (const TensorFacts& facts : certificate.tensors) tensors.push_back(facts_to_json(facts));
  json["tensors"] = std::move(tensors);
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > space) {
    return make_error(ErrorCode::kUnsupported,
                      "a certificate of {} bytes does not fit the {} reserved for it", text.size(), space);
  }
  text.resize(space, ' ');
  return text;
}

Result<std::optional<Certificate>> read_certificate(const GgufFile& file) {
  TERN_TRY_ASSIGN(const auto text, file.get_string(kCertificateKey));
  if (!text) return std::optional<Certificate>();
  if (text->find_first_not_of(' ') == std::string_view::npos) {
    return make_error(ErrorCode::kCorrupt,
                      "the certificate was never filled in: the conversion did not finish");
  }
  TERN_TRY_ASSIGN(const Json json, parse_json(*text, kCertificateKey));
  Certificate certificate;
  const auto numerics = json.is_object() ? json.find("numerics") : json.end();
  const auto tensors = json.is_object() ? json.find("tensors") : json.end();
  if (!json.is_object() || numerics == json.end() || !numerics->is_number_unsigned() ||
      tensors == json.end() || !tensors->is_array()) {
    return make_error(ErrorCode::kCorrupt, "{}: expected an object with numerics and tensors",
                      kCertificateKey);
  }
  certificate.numerics = numerics->get<uint32_t>();
  if (const auto source = json.find("source"); source != json.end() && source->is_string()) {
    certificate.source = source->get<std::string>();
  }
  if (const auto why = json.find("unchecked"); why != json.end() && why->is_string()) {
    certificate.unchecked = why->get<std::string>();
  }
  for (const Json& entry : *tensors) {
    TERN_TRY_ASSIGN(TensorFacts facts, facts_from_json(entry));
    certificate.tensors.push_back(std::move(facts));
  }
  TERN_TRY_ASSIGN(certificate.self_check, self_check_from(json));
  return std::optional(std::move(certificate));
}

}  // namespace tern
