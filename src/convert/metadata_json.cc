// SPDX-License-Identifier: MIT
#include "convert/metadata_json.h"

#include <bit>
#include <cmath>

#include "convert/hf_config.h"
#include "core/printable.h"

namespace tern {
namespace {

template <class T>
struct NameOf;
template <>
struct NameOf<uint8_t> {
  static constexpr const char* kName = "u8";
};
template <>
struct NameOf<int8_t> {
  static constexpr const char* kName = "i8";
};
template <>
struct NameOf<uint16_t> {
  static constexpr const char* kName = "u16";
};
template <>
struct NameOf<int16_t> {
  static constexpr const char* kName = "i16";
};
template <>
struct NameOf<uint32_t> {
  static constexpr const char* kName = "u32";
};
template <>
struct NameOf<int32_t> {
  static constexpr const char* kName = "i32";
};
template <>
struct NameOf<uint64_t> {
  static constexpr const char* kName = "u64";
};
template <>
struct NameOf<int64_t> {
  static constexpr const char* kName = "i64";
};
template <>
struct NameOf<float> {
  static constexpr const char* kName = "f32";
};
template <>
struct NameOf<double> {
  static constexpr const char* kName = "f64";
};
template <>
struct NameOf<bool> {
  static constexpr const char* kName = "bool";
};
template <>
struct NameOf<std::string> {
  static constexpr const char* kName = "string";
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

/// Floats that JSON cannot write become their bits in hexadecimal.
template <class T>
Json element_to_json(const T& value) {
  if constexpr (std::is_same_v<T, float>) {
    if (!std::isfinite(value)) return fmt::format("0x{:08x}", std::bit_cast<uint32_t>(value));
    return Json::parse(fmt::format("{}", value));
  } else if constexpr (std::is_same_v<T, double>) {
    if (!std::isfinite(value)) return fmt::format("0x{:016x}", std::bit_cast<uint64_t>(value));
    return value;
  } else {
    return value;
  }
}

template <class T>
bool element_from_json(const Json& json, T& out) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (!json.is_string()) return false;
    out = json.get<std::string>();
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) return false;
    out = json.get<bool>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (json.is_string()) {
      const std::string text = json.get<std::string>();
      if (text.size() != 2 + 2 * sizeof(T) || !text.starts_with("0x")) return false;
      char* end = nullptr;
      const uint64_t bits = std::strtoull(text.c_str() + 2, &end, 16);
      if (*end != '\0') return false;
      if constexpr (sizeof(T) == 4) out = std::bit_cast<float>(static_cast<uint32_t>(bits));
      if constexpr (sizeof(T) == 8) out = std::bit_cast<double>(bits);
      return true;
    }
    if (!json.is_number()) return false;
    out = json.get<T>();
  } else {
    if (!json.is_number_integer()) return false;
    if constexpr (std::is_unsigned_v<T>) {
      if (!json.is_number_unsigned() || json.get<uint64_t>() > std::numeric_limits<T>::max()) return false;
    } else {
      const int64_t value = json.get<int64_t>();
      if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) return false;
    }
    out = json.get<T>();
  }
  return true;
}

template <class T>
bool try_type(const std::string& type, const Json& value, bool is_array, GgufWriteValue& out) {
  if (type != NameOf<T>::kName) return false;
  if (!is_array) {
    T element{};
    if (!element_from_json(value, element)) return false;
    out = std::move(element);
    return true;
  }
  std::vector<T> elements;
  for (const Json& item : value) {
    T element{};
    if (!element_from_json(item, element)) return false;
    elements.push_back(std::move(element));
  }
  out = std::move(elements);
  return true;
}

bool value_from_json(const std::string& type, const Json& value, bool is_array, GgufWriteValue& out) {
  const auto try_one = [&]<class T>(T*) { return try_type<T>(type, value, is_array, out); };
  return try_one(static_cast<uint8_t*>(nullptr)) || try_one(static_cast<int8_t*>(nullptr)) ||
         try_one(static_cast<uint16_t*>(nullptr)) || try_one(static_cast<int16_t*>(nullptr)) ||
         try_one(static_cast<uint32_t*>(nullptr)) || try_one(static_cast<int32_t*>(nullptr)) ||
         try_one(static_cast<uint64_t*>(nullptr)) || try_one(static_cast<int64_t*>(nullptr)) ||
         try_one(static_cast<float*>(nullptr)) || try_one(static_cast<double*>(nullptr)) ||
         try_one(static_cast<bool*>(nullptr)) || try_one(static_cast<std::string*>(nullptr));
}

}  // namespace

Result<std::string> metadata_to_json(const MetaList& keys) {
  Json entries = Json::array();
  bool is_text = true;
  for (const auto& [key, value] : keys) {
    Json entry = {{"key", key}};
    std::visit(
        [&]<class T>(const T& v) {
          if constexpr (IsVector<T>::value) {
            using Element = typename T::value_type;
            entry["type"] = std::string("array ") + NameOf<Element>::kName;
            Json items = Json::array();
            for (const auto& element : v) {
              if constexpr (std::is_same_v<Element, std::string>) is_text = is_text && is_utf8(element);
              items.push_back(element_to_json(static_cast<const Element&>(element)));
            }
            entry["value"] = std::move(items);
          } else {
            if constexpr (std::is_same_v<T, std::string>) is_text = is_text && is_utf8(v);
            entry["type"] = NameOf<T>::kName;
            entry["value"] = element_to_json(v);
          }
        },
        value);
    if (!is_text) {
      return make_error(ErrorCode::kUnsupported,
                        "key '{}' holds text that is not UTF-8: JSON cannot carry it", printable(key));
    }
    entries.push_back(std::move(entry));
  }
  return Json({{"keys", std::move(entries)}}).dump(1) + "\n";
}

Result<MetaList> metadata_from_json(std::string_view text) {
  TERN_TRY_ASSIGN(const Json json, parse_json(text, kMetadataFile));
  const auto list = json.is_object() ? json.find("keys") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array()) {
    return make_error(ErrorCode::kCorrupt, "{}: no array 'keys'", kMetadataFile);
  }
  MetaList keys;
  for (const Json& entry : *list) {
    const bool is_entry = entry.is_object() && entry.contains("key") && entry["key"].is_string() &&
                          entry.contains("type") && entry["type"].is_string() && entry.contains("value");
    std::string type = is_entry ? entry["type"].get<std::string>() : "";
    const bool is_array = type.starts_with("array ");
    if (is_array) type = type.substr(6);
    GgufWriteValue value;
    if (!is_entry || is_array != entry["value"].is_array() ||
        !value_from_json(type, entry["value"], is_array, value)) {
      return make_error(ErrorCode::kCorrupt, "{}: keys[{}] is not a key with its type and value",
                        kMetadataFile, keys.size());
    }
    keys.emplace_back(entry["key"].get<std::string>(), std::move(value));
  }
  return keys;
}

Result<Checkpoint> with_metadata_file(Checkpoint checkpoint, std::string_view text) {
  TERN_TRY_ASSIGN(MetaList keys, metadata_from_json(text));
  Checkpoint result = std::move(checkpoint);
  const MetaList from_config = std::exchange(result.keys, std::move(keys));
  const std::string prefix = std::string(result.text("general.architecture")) + ".";
  for (const auto& [key, value] : from_config) {
    const GgufWriteValue* kept = result.find(key);
    if ((kept != nullptr && key.starts_with(prefix) && *kept != value) ||
        (key == "general.architecture" && (kept == nullptr || *kept != value))) {
      return make_error(
          ErrorCode::kCorrupt,
          "{} and config.json disagree about '{}': one of them was edited; remove {} to follow config.json",
          kMetadataFile, printable(key), kMetadataFile);
    }
  }
  return result;
}

}  // namespace tern
