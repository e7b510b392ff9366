// SPDX-License-Identifier: MIT
// The values of a running template: Python's, as far as chat templates see them. A Value is two words;
// everything longer lives in the Heap of one rendering and is freed with it as a whole, so that cycles (a
// namespace that holds itself, a macro in its own scope) cannot leak and the memory of a hostile template has
// one stated bound.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::jinja {

enum class Kind : uint8_t {
  kMissing,  // not a Python value: an argument that was not given, a slice bound left out
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kDictView,   // d.keys(), d.values(), d.items()
  kRange,      // range(...) without its elements
  kIterator,   // a Python generator: can be walked once
  kNamespace,  // namespace(...): the only thing {% set a.b = c %} may change
  kLoop,       // the `loop` of a for statement
  kMacro,
  kMethod,    // a method bound to its receiver, not yet called
  kFunction,  // a global function
  kCycler,
  kJoiner,
};

/// Anything that lives in a Heap.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
};

struct String;
struct List;
struct Dict;
struct DictView;
struct Range;
struct Iterator;
struct Undefined;

/// A handle: copied freely, owns nothing.
class Value {
 public:
  Value() : kind_(Kind::kMissing), integer_(0) {}
  static Value none() { return Value(Kind::kNone, int64_t{0}); }
  static Value boolean(bool value) { return Value(Kind::kBool, int64_t{value}); }
  static Value integer(int64_t value) { return Value(Kind::kInt, value); }
  static Value number(double value) {
    Value result(Kind::kFloat, int64_t{0});
    result.number_ = value;
    return result;
  }
  static Value function(int64_t id) { return Value(Kind::kFunction, id); }
  /// `object` must be of the type that belongs to `kind`.
  static Value of(Kind kind, const Object* object) {
    Value result(kind, int64_t{0});
    result.object_ = const_cast<Object*>(object);
    return result;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::kMissing; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_int_like() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_numeric() const { return is_int_like() || kind_ == Kind::kFloat; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  bool as_bool() const { return integer_ != 0; }
  int64_t as_int() const { return integer_; }  // also of a bool and of a function id
  /// The number of an int, bool or float.
  double as_double() const { return kind_ == Kind::kFloat ? number_ : static_cast<double>(integer_); }
  Object* object() const { return object_; }

  inline const String& string() const;
  inline std::string_view bytes() const;
  List& list() const;  // of a list or a tuple
  Dict& dict() const;
  template <class T>
  T& as() const {
    return *static_cast<T*>(object_);
  }

 private:
  Value(Kind kind, int64_t integer) : kind_(kind), integer_(integer) {}

  Kind kind_;
  union {
    int64_t integer_;
    double number_;
    Object* object_;
  };
};

/// An immutable text: valid UTF-8. `bytes` points into `owned`, or into something that outlives the
/// rendering.
struct String final : Object {
  std::string owned;
  std::string_view bytes;
  int64_t length = 0;   // in code points, as Python counts
  bool markup = false;  // result of |safe or |escape: "+" escapes the other side, as markupsafe does
  bool is_ascii() const { return length == static_cast<int64_t>(bytes.size()); }
};

/// A list, or a tuple (the handle's kind tells). `is_group`: a tuple of groupby, with .grouper and .list.
struct List final : Object {
  std::vector<Value> items;
  bool is_group = false;
};

/// Keeps insertion order, as Python does. Keys are hashable values; lookups are linear (objects of chats are
/// small).
struct Dict final : Object {
  std::vector<std::pair<Value, Value>> items;
};

struct DictView final : Object {
  enum class Part : uint8_t { kKeys, kValues, kItems };
  const Dict* dict = nullptr;
  Part part = Part::kKeys;
};

struct Range final : Object {
  int64_t start = 0, stop = 0, step = 1, length = 0;
};

struct Iterator final : Object {
  std::vector<Value> items;
  size_t position = 0;
};

/// Why there is no value; only turned into a sentence when somebody uses it.
struct Undefined final : Object {
  std::string_view hint;        // static text, or empty
  std::string_view owner_type;  // static text: "dict object"; empty for a variable
  Value name;                   // string, or the element asked for
};

struct Namespace final : Object {
  Dict attributes;  // string keys
};

struct Method final : Object {
  Value receiver;
  std::string_view name;  // static text
};

struct Cycler final : Object {
  std::vector<Value> items;
  size_t position = 0;
};

struct Joiner final : Object {
  Value separator;
  bool used = false;
};

inline const String& Value::string() const { return *static_cast<const String*>(object_); }
inline std::string_view Value::bytes() const { return string().bytes; }
inline List& Value::list() const { return *static_cast<List*>(object_); }
inline Dict& Value::dict() const { return *static_cast<Dict*>(object_); }

/// All objects of one rendering. Counts what it hands out; the owner checks `is_exhausted` at every step.
class Heap {
 public:
  explicit Heap(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  template <class T>
  T* make() {
    auto object = std::make_unique<T>();
    T* borrowed = object.get();
    objects_.push_back(std::move(object));
    used_bytes_ +=
        sizeof(T) + sizeof(void*) * 3;  // the object, its place in the list, the allocator's header
    return borrowed;
  }
  /// Counts `bytes` that an object is about to own besides itself.
  void charge(uint64_t bytes) {
    used_bytes_ = bytes > UINT64_MAX - used_bytes_ ? UINT64_MAX : used_bytes_ + bytes;
  }
  uint64_t free_bytes() const { return used_bytes_ > max_bytes_ ? 0 : max_bytes_ - used_bytes_; }
  uint64_t max_bytes() const { return max_bytes_; }
  bool is_exhausted() const { return used_bytes_ > max_bytes_; }

 private:
  std::vector<std::unique_ptr<Object>> objects_;
  uint64_t max_bytes_;
  uint64_t used_bytes_ = 0;
};

}  // namespace tern::jinja
