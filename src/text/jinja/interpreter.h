// SPDX-License-Identifier: MIT
// Walks a parsed template. One Interpreter is one rendering; templates are shared, interpreters are not.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/ast.h"

namespace tern::jinja {

/// The variables of one block; inner scopes see outer ones and shadow them.
struct Scope final : Object {
  Scope* parent = nullptr;
  std::vector<std::pair<int, Value>> values;
  bool is_captured = false;  // a macro or a recursive loop may still look into it
};

class Interpreter {
 public:
  Interpreter(const Template& source, const Limits& limits, const LocalTime& now);

  Runtime& runtime() { return runtime_; }
  /// Gives a variable to the template; without effect if the template does not mention it.
  void set(std::string_view name, const Value& value);
  /// Renders the template once.
  Result<std::string> run();

 private:
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };

  /// Counts the levels of C++ calls that templates can nest.
  class Level {
   public:
    explicit Level(Interpreter* interpreter) : interpreter_(interpreter) { ++interpreter_->level_; }
    ~Level() { --interpreter_->level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Interpreter* interpreter_;
  };
  Status check_level() const;

  // --- statements (interpreter.cc)
  // -----------------------------------------------------------------------------
  Result<Flow> run_block(const Block& block, Scope* scope, std::string* out);
  Result<Flow> run_statement(const Stmt& stmt, Scope* scope, std::string* out);
  Result<Flow> run_if(const Stmt& stmt, Scope* scope, std::string* out);
  Result<Flow> run_for(const Stmt& stmt, Scope* scope, std::string* out);
  Result<Flow> run_set_block(const Stmt& stmt, Scope* scope);
  Result<Flow> run_filter_block(const Stmt& stmt, Scope* scope, std::string* out);
  Result<Flow> run_with(const Stmt& stmt, Scope* scope, std::string* out);
  Status run_call_block(const Stmt& stmt, Scope* scope, std::string* out);
  Result<Flow> loop(const Stmt& stmt, const Value& iterable, int depth, Scope* scope, std::string* out);
  Result<std::vector<Value>> loop_items(const Stmt& stmt, const Value& iterable, Scope* scope);
  Status print(const Value& value, std::string* out);
  Status write(std::string_view text, std::string* out);
  Status store(const Target& target, const Value& value, Scope* scope);
  Scope* inner(Scope* parent);
  void define(Scope* scope, int name, const Value& value);

  // --- expressions (evaluate.cc)
  // -------------------------------------------------------------------------------
  Result<Value> eval(const Expr& expr, Scope* scope);
  Result<Value> eval_name(const Expr& expr, Scope* scope);
  Result<Value> eval_sequence(const Expr& expr, Scope* scope);
  Result<Value> eval_dict(const Expr& expr, Scope* scope);
  Result<Value> eval_concat(const Expr& expr, Scope* scope);
  Result<Value> eval_logic(const Expr& expr, Scope* scope);
  Result<Value> eval_binary(const Expr& expr, Scope* scope);
  Result<Value> eval_compare(const Expr& expr, Scope* scope);
  Result<bool> compare_one(CompareOp op, const Value& left, const Value& right);
  Result<Value> eval_conditional(const Expr& expr, Scope* scope);
  Result<Value> eval_access(const Expr& expr, Scope* scope);
  Result<Value> eval_slice(const Expr& expr, Scope* scope);
  Result<Value> eval_call(const Expr& expr, Scope* scope, const Value& caller = Value());
  Result<Value> eval_filter(const Expr& expr, const Value& input, Scope* scope);
  /// The filters of a filter or set block, whose innermost one has no operand, on `input`.
  Result<Value> eval_filter_chain(const Expr& expr, const Value& input, Scope* scope);
  Result<Value> eval_test(const Expr& expr, Scope* scope);
  Result<Args> eval_args(const CallArgs* args, Scope* scope);

  // --- calls (call.cc)
  // -----------------------------------------------------------------------------------------
  Result<Value> call(const Value& callee, Args& args);
  Result<Value> call_macro(const Value& callee, Args& args);
  Result<Value> call_loop(const Value& callee, const Args& args);
  Result<Value> call_loop_method(const Value& loop, std::string_view name, const Args& args);
  Result<Value> call_function(int64_t id, const Args& args);
  Result<Value> make_range(const Args& args);
  Result<Value> make_dict(const Args& args, std::string_view name);
  Value loop_attribute(const Value& loop, std::string_view name);
  static Value global_function(std::string_view name);

  const Template& template_;
  Runtime runtime_;
  Scope* root_;
  int loop_name_ = -1, caller_name_ = -1, varargs_name_ = -1, kwargs_name_ = -1;  // -1: never mentioned
  int level_ = 0;
  int calls_ = 0;
};

/// The `loop` of a for statement.
struct Loop final : Object {
  const List* items = nullptr;
  size_t index = 0;
  int depth0 = 0;
  const Stmt* recursive = nullptr;  // null: cannot be called
  Scope* outer = nullptr;
  std::vector<Value> last_changed;
  bool has_changed_before = false;
};

struct Macro final : Object {
  const MacroDefinition* definition = nullptr;
  Scope* scope = nullptr;
};

}  // namespace tern::jinja
