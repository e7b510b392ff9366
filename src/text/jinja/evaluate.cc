// SPDX-License-Identifier: MIT
// Expressions.
#include "text/jinja/interpreter.h"

namespace tern::jinja {

Result<Value> Interpreter::eval(const Expr& expr, Scope* scope) {
  const Level level(this);
  TERN_TRY(check_level());
  runtime_.set_line(expr.line);
  TERN_TRY(runtime_.step());
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.constant;
    case ExprKind::kName:
      return eval_name(expr, scope);
    case ExprKind::kTuple:
    case ExprKind::kList:
      return eval_sequence(expr, scope);
    case ExprKind::kDict:
      return eval_dict(expr, scope);
    case ExprKind::kConcat:
      return eval_concat(expr, scope);
    case ExprKind::kNegate:
    case ExprKind::kPlus:
    case ExprKind::kNot:
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return eval_logic(expr, scope);
    case ExprKind::kBinary:
      return eval_binary(expr, scope);
    case ExprKind::kCompare:
      return eval_compare(expr, scope);
    case ExprKind::kConditional:
      return eval_conditional(expr, scope);
    case ExprKind::kAttribute:
    case ExprKind::kItem:
      return eval_access(expr, scope);
    case ExprKind::kSlice:
      return eval_slice(expr, scope);
    case ExprKind::kCall:
      return eval_call(expr, scope);
    case ExprKind::kFilter: {
      TERN_TRY_ASSIGN(const Value input, eval(*expr.items[0], scope));
      return eval_filter(expr, input, scope);
    }
    case ExprKind::kTest:
      return eval_test(expr, scope);
  }
  return Value::none();
}

Result<Value> Interpreter::eval_name(const Expr& expr, Scope* scope) {
  for (Scope* at = scope; at != nullptr; at = at->parent) {
    if (at->values.size() > 16) TERN_TRY(runtime_.step(at->values.size() / 16));
    for (const auto& known : at->values)
      if (known.first == expr.name) return known.second;
  }
  const Value function = global_function(expr.text);
  return function.is_missing() ? runtime_.undefined(expr.text) : function;
}

Result<Value> Interpreter::eval_sequence(const Expr& expr, Scope* scope) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const auto& item : expr.items) {
    TERN_TRY_ASSIGN(const Value value, eval(*item, scope));
    items.push_back(value);
  }
  return expr.kind == ExprKind::kTuple ? runtime_.tuple(std::move(items)) : runtime_.list(std::move(items));
}

Result<Value> Interpreter::eval_dict(const Expr& expr, Scope* scope) {
  auto* dict = runtime_.heap().make<Dict>();
  for (size_t i = 0; i < expr.items.size(); i += 2) {
    TERN_TRY_ASSIGN(const Value key, eval(*expr.items[i], scope));
    TERN_TRY_ASSIGN(const Value value, eval(*expr.items[i + 1], scope));
    TERN_TRY(runtime_.insert(dict, key, value));
  }
  return Value::of(Kind::kDict, dict);
}

Result<Value> Interpreter::eval_concat(const Expr& expr, Scope* scope) {
  std::string out;
  for (const auto& item : expr.items) {
    TERN_TRY_ASSIGN(const Value value, eval(*item, scope));
    TERN_TRY(print(value, &out));
  }
  return runtime_.text(std::move(out));
}

Result<Value> Interpreter::eval_logic(const Expr& expr, Scope* scope) {
  TERN_TRY_ASSIGN(const Value first, eval(*expr.items[0], scope));
  switch (expr.kind) {
    case ExprKind::kNegate:
      return runtime_.negate(first, true);
    case ExprKind::kPlus:
      return runtime_.negate(first, false);
    case ExprKind::kNot:
      return Value::boolean(!Runtime::truthy(first));
    case ExprKind::kAnd:
      return Runtime::truthy(first) ? eval(*expr.items[1], scope) : Result<Value>(first);
    default:
      return Runtime::truthy(first) ? Result<Value>(first) : eval(*expr.items[1], scope);
  }
}

Result<Value> Interpreter::eval_binary(const Expr& expr, Scope* scope) {
  TERN_TRY_ASSIGN(const Value left, eval(*expr.items[0], scope));
  TERN_TRY_ASSIGN(const Value right, eval(*expr.items[1], scope));
  return runtime_.binary(expr.op, left, right);
}

Result<bool> Interpreter::compare_one(CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEqual:
      return runtime_.equal(left, right);
    case CompareOp::kNotEqual: {
      TERN_TRY_ASSIGN(const bool same, runtime_.equal(left, right));
      return !same;
    }
    case CompareOp::kIn:
      return runtime_.contains(right, left);
    case CompareOp::kNotIn: {
      TERN_TRY_ASSIGN(const bool inside, runtime_.contains(right, left));
      return !inside;
    }
    default:
      break;
  }
  const std::string_view name = op == CompareOp::kLess        ? "<"
                                : op == CompareOp::kLessEqual ? "<="
                                : op == CompareOp::kGreater   ? ">"
                                                              : ">=";
  TERN_TRY_ASSIGN(const int order, runtime_.compare(left, right, name));
  if (order == 2) return false;
  if (order == 0) return op == CompareOp::kLessEqual || op == CompareOp::kGreaterEqual;
  return (order < 0) == (op == CompareOp::kLess || op == CompareOp::kLessEqual);
}

// a < b < c: each operand is evaluated once, up to the first comparison that fails.
Result<Value> Interpreter::eval_compare(const Expr& expr, Scope* scope) {
  TERN_TRY_ASSIGN(Value left, eval(*expr.items[0], scope));
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    TERN_TRY_ASSIGN(const Value right, eval(*expr.items[i + 1], scope));
    TERN_TRY_ASSIGN(const bool holds, compare_one(expr.ops[i], left, right));
    if (!holds) return Value::boolean(false);
    left = right;
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::eval_conditional(const Expr& expr, Scope* scope) {
  TERN_TRY_ASSIGN(const Value condition, eval(*expr.items[0], scope));
  if (Runtime::truthy(condition)) return eval(*expr.items[1], scope);
  if (expr.items[2] != nullptr) return eval(*expr.items[2], scope);
  return runtime_.undefined_hint("the 'if' expression was false and has no 'else'");
}

Result<Value> Interpreter::eval_access(const Expr& expr, Scope* scope) {
  TERN_TRY_ASSIGN(const Value object, eval(*expr.items[0], scope));
  Value name = expr.constant;
  if (expr.kind == ExprKind::kItem) {
    TERN_TRY_ASSIGN(name, eval(*expr.items[1], scope));
  }
  if (object.is(Kind::kLoop) && name.is_string()) {
    const Value value = loop_attribute(object, name.bytes());
    if (!value.is_missing()) return value;
  }
  if (object.is(Kind::kMacro) && name.is_string() && name.bytes() == "name")
    return runtime_.view(object.as<Macro>().definition->name);
  return expr.kind == ExprKind::kItem ? runtime_.get_item(object, name) : runtime_.get_attr(object, name);
}

Result<Value> Interpreter::eval_slice(const Expr& expr, Scope* scope) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (expr.items[i] == nullptr) continue;
    TERN_TRY_ASSIGN(parts[i], eval(*expr.items[i], scope));
  }
  return runtime_.slice(parts[0], parts[1], parts[2], parts[3]);
}

Result<Args> Interpreter::eval_args(const CallArgs* args, Scope* scope) {
  Args out;
  if (args == nullptr) return out;
  for (const auto& item : args->positional) {
    TERN_TRY_ASSIGN(const Value value, eval(*item, scope));
    out.positional.push_back(value);
  }
  if (args->star != nullptr) {
    TERN_TRY_ASSIGN(const Value value, eval(*args->star, scope));
    TERN_TRY_ASSIGN(const std::vector<Value> items, runtime_.iterate(value));
    out.positional.insert(out.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, item] : args->named) {
    TERN_TRY_ASSIGN(const Value value, eval(*item, scope));
    out.named.emplace_back(name, value);
  }
  if (args->double_star != nullptr) {
    TERN_TRY_ASSIGN(const Value value, eval(*args->double_star, scope));
    if (!value.is(Kind::kDict))
      return runtime_.fail("'**' needs a dict, not a {}", Runtime::type_name(value));
    for (const auto& [key, item] : value.dict().items) {
      TERN_TRY(runtime_.step(1 + out.named.size() / 8));
      TERN_TRY_ASSIGN(const std::string_view name, runtime_.string(key, "a key behind '**'"));
      for (const auto& known : out.named)
        if (known.first == name) return runtime_.fail("the argument '{}' is given twice", name.substr(0, 80));
      out.named.emplace_back(name, item);
    }
  }
  return out;
}

Result<Value> Interpreter::eval_call(const Expr& expr, Scope* scope, const Value& caller) {
  const Expr& callee = *expr.items[0];
  TERN_TRY_ASSIGN(const Value function, eval(callee, scope));
  TERN_TRY_ASSIGN(Args args, eval_args(expr.args.get(), scope));
  if (!caller.is_missing()) args.named.emplace_back("caller", caller);
  runtime_.set_line(expr.line);
  return call(function, args);
}

Result<Value> Interpreter::eval_filter(const Expr& expr, const Value& input, Scope* scope) {
  TERN_TRY_ASSIGN(const Args args, eval_args(expr.args.get(), scope));
  runtime_.set_line(expr.line);
  if (expr.filter == nullptr) return runtime_.fail("there is no filter named '{}'", expr.text.substr(0, 80));
  return expr.filter(runtime_, input, args);
}

Result<Value> Interpreter::eval_filter_chain(const Expr& expr, const Value& input, Scope* scope) {
  if (expr.items[0] == nullptr) return eval_filter(expr, input, scope);
  TERN_TRY_ASSIGN(const Value inner_value, eval_filter_chain(*expr.items[0], input, scope));
  return eval_filter(expr, inner_value, scope);
}

Result<Value> Interpreter::eval_test(const Expr& expr, Scope* scope) {
  TERN_TRY_ASSIGN(const Value input, eval(*expr.items[0], scope));
  TERN_TRY_ASSIGN(const Args args, eval_args(expr.args.get(), scope));
  runtime_.set_line(expr.line);
  if (expr.test == nullptr) return runtime_.fail("there is no test named '{}'", expr.text.substr(0, 80));
  TERN_TRY_ASSIGN(const bool passes, expr.test(runtime_, input, args));
  return Value::boolean(passes);
}

}  // namespace tern::jinja
