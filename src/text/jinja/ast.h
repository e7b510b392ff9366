// SPDX-License-Identifier: MIT
// A parsed template: immutable, shared by concurrent renderings. Nodes of one type per statement and
// expression, told apart by `kind`; the comments say which fields a kind uses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/runtime.h"

namespace tern::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind : uint8_t {
  kConst,        // constant
  kName,         // text, name
  kTuple,        // items
  kList,         // items
  kDict,         // items: key, value, key, value...
  kConcat,       // items
  kNegate,       // items[0]
  kPlus,         // items[0]
  kNot,          // items[0]
  kAnd,          // items[0], items[1]
  kOr,           // items[0], items[1]
  kBinary,       // op, items[0], items[1]
  kCompare,      // items[0] ops[0] items[1] ops[1] items[2]...
  kConditional,  // items: condition, value, otherwise (may be null)
  kAttribute,    // items[0] . constant
  kItem,         // items[0] [ items[1] ]
  kSlice,        // items[0] [ items[1] : items[2] : items[3] ], bounds may be null
  kCall,         // items[0] (args)
  kFilter,       // items[0] | text (args); items[0] is null in {% filter %} and {% set %} blocks
  kTest,         // items[0] is text (args)
};

enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct CallArgs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         // *expression, or null
  ExprPtr double_star;  // **expression, or null
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  char op = 0;  // of kBinary, as Runtime::binary wants it
  int line = 1;
  int height = 1;  // of the tree below; bounded by the parser, so that walking it cannot overflow the stack
  int name = -1;   // of kName: index into Template::names
  std::string text;
  Value constant;  // points to `string` where it is a string
  std::unique_ptr<String> string;
  std::vector<ExprPtr> items;
  std::vector<CompareOp> ops;
  std::unique_ptr<CallArgs> args;
  FilterFunction filter = nullptr;  // of kFilter and kTest: null where the name is unknown
  TestFunction test = nullptr;
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

/// What {% macro %} and {% call %} define.
struct MacroDefinition {
  std::string name;
  std::vector<int> parameters;  // names
  std::vector<std::string> parameter_names;
  std::vector<ExprPtr> defaults;                                        // of the last parameters
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;  // what the body mentions
  Block body;
};

enum class StmtKind : uint8_t {
  kText,         // text
  kPrint,        // value
  kIf,           // branches: condition (null for else) and body
  kFor,          // target, value, test (may be null), body, otherwise
  kSet,          // target, value
  kSetBlock,     // target, value (a filter or null), body
  kMacro,        // macro, name
  kCallBlock,    // value (a call), macro
  kFilterBlock,  // value (a filter), body
  kWith,         // bindings, body
  kScope,        // body: {% generation %}
  kBreak,
  kContinue,
};

/// Where a value is stored: one name, a tuple of targets, or an attribute of a namespace.
struct Target {
  int name = -1;          // -1: a tuple
  std::string attribute;  // not empty: name.attribute
  std::vector<Target> items;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 1;
  bool is_recursive = false;  // of kFor
  std::string text;
  Target target;
  ExprPtr value, test;
  Block body, otherwise;
  std::vector<std::pair<ExprPtr, Block>> branches;
  std::vector<std::pair<Target, ExprPtr>> bindings;
  std::unique_ptr<MacroDefinition> macro;
};

/// A whole template.
struct Template {
  Block body;
  std::vector<std::string> names;  // every variable the template mentions
};

}  // namespace tern::jinja
