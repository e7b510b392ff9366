// SPDX-License-Identifier: MIT
// Statements.
#include "text/jinja/interpreter.h"

namespace tern::jinja {
namespace {

// Each level is two or three C++ frames of at most about 500 bytes (2 KB with a sanitizer), so that a
// rendering fits a stack of 2 MB. Deep enough for macros that walk a JSON schema of any real depth.
constexpr int kMaxLevels = 1000;

}  // namespace

Interpreter::Interpreter(const Template& source, const Limits& limits, const LocalTime& now)
    : template_(source), runtime_(limits, now), root_(runtime_.heap().make<Scope>()) {
  const auto index_of = [&](std::string_view name) {
    for (size_t i = 0; i < source.names.size(); ++i)
      if (source.names[i] == name) return static_cast<int>(i);
    return -1;
  };
  loop_name_ = index_of("loop");
  caller_name_ = index_of("caller");
  varargs_name_ = index_of("varargs");
  kwargs_name_ = index_of("kwargs");
}

void Interpreter::set(std::string_view name, const Value& value) {
  for (size_t i = 0; i < template_.names.size(); ++i)
    if (template_.names[i] == name) define(root_, static_cast<int>(i), value);
}

Result<std::string> Interpreter::run() {
  std::string out;
  // jinja2 keeps the variables a template sets apart from those it was given.
  TERN_TRY(run_block(template_.body, inner(root_), &out));
  return out;
}

Status Interpreter::check_level() const {
  if (level_ <= kMaxLevels && calls_ <= runtime_.limits().depth) return {};
  return runtime_.depth_error();
}

Scope* Interpreter::inner(Scope* parent) {
  auto* scope = runtime_.heap().make<Scope>();
  scope->parent = parent;
  return scope;
}

void Interpreter::define(Scope* scope, int name, const Value& value) {
  for (auto& known : scope->values) {
    if (known.first != name) continue;
    known.second = value;
    return;
  }
  runtime_.heap().charge(sizeof(std::pair<int, Value>) * 2);
  scope->values.emplace_back(name, value);
}

Status Interpreter::write(std::string_view text, std::string* out) {
  TERN_TRY(runtime_.check_text(out->size() + text.size()));
  TERN_TRY(runtime_.step_text(text.size()));
  out->append(text);
  return {};
}

Status Interpreter::print(const Value& value, std::string* out) {
  if (value.is(Kind::kLoop)) {
    const auto& loop = value.as<Loop>();
    return write(fmt::format("<LoopContext {}/{}>", loop.index + 1, loop.items->items.size()), out);
  }
  if (value.is(Kind::kMacro))
    return write(fmt::format("<Macro '{}'>", value.as<Macro>().definition->name), out);
  return runtime_.append_str(value, out);
}

Status Interpreter::store(const Target& target, const Value& value, Scope* scope) {
  if (target.name < 0) {
    TERN_TRY_ASSIGN(const std::vector<Value> items, runtime_.iterate(value));
    if (items.size() != target.items.size())
      return runtime_.fail("cannot unpack {} values into {} names", items.size(), target.items.size());
    for (size_t i = 0; i < items.size(); ++i) TERN_TRY(store(target.items[i], items[i], scope));
    return {};
  }
  TERN_TRY(runtime_.step(1 + scope->values.size() / 8));
  if (target.attribute.empty()) {
    define(scope, target.name, value);
    return {};
  }
  Value space;
  for (Scope* at = scope; at != nullptr && space.is_missing(); at = at->parent)
    for (const auto& known : at->values)
      if (known.first == target.name) space = known.second;
  if (!space.is(Kind::kNamespace))
    return runtime_.fail("only attributes of a namespace can be set, and '{}' is none",
                         template_.names[static_cast<size_t>(target.name)]);
  return runtime_.insert(&space.as<Namespace>().attributes, runtime_.view(target.attribute), value);
}

Result<Interpreter::Flow> Interpreter::run_block(const Block& block, Scope* scope, std::string* out) {
  const Level level(this);
  TERN_TRY(check_level());
  for (const auto& stmt : block) {
    TERN_TRY_ASSIGN(const Flow flow, run_statement(*stmt, scope, out));
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_statement(const Stmt& stmt, Scope* scope, std::string* out) {
  runtime_.set_line(stmt.line);
  TERN_TRY(runtime_.step());
  switch (stmt.kind) {
    case StmtKind::kText:
      TERN_TRY(write(stmt.text, out));
      return Flow::kNormal;
    case StmtKind::kPrint: {
      TERN_TRY_ASSIGN(const Value value, eval(*stmt.value, scope));
      TERN_TRY(print(value, out));
      return Flow::kNormal;
    }
    case StmtKind::kIf:
      return run_if(stmt, scope, out);
    case StmtKind::kFor:
      return run_for(stmt, scope, out);
    case StmtKind::kSet: {
      TERN_TRY_ASSIGN(const Value value, eval(*stmt.value, scope));
      TERN_TRY(store(stmt.target, value, scope));
      return Flow::kNormal;
    }
    case StmtKind::kSetBlock:
      return run_set_block(stmt, scope);
    case StmtKind::kMacro: {
      auto* macro = runtime_.heap().make<Macro>();
      macro->definition = stmt.macro.get();
      macro->scope = scope;
      for (Scope* at = scope; at != nullptr; at = at->parent) at->is_captured = true;
      TERN_TRY(store(stmt.target, Value::of(Kind::kMacro, macro), scope));
      return Flow::kNormal;
    }
    case StmtKind::kCallBlock:
      TERN_TRY(run_call_block(stmt, scope, out));
      return Flow::kNormal;
    case StmtKind::kFilterBlock:
      return run_filter_block(stmt, scope, out);
    case StmtKind::kWith:
      return run_with(stmt, scope, out);
    case StmtKind::kScope:
      return run_block(stmt.body, inner(scope), out);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_if(const Stmt& stmt, Scope* scope, std::string* out) {
  for (const auto& [condition, body] : stmt.branches) {
    if (condition != nullptr) {
      TERN_TRY_ASSIGN(const Value value, eval(*condition, scope));
      if (!Runtime::truthy(value)) continue;
    }
    return run_block(body, scope, out);
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_for(const Stmt& stmt, Scope* scope, std::string* out) {
  TERN_TRY_ASSIGN(const Value iterable, eval(*stmt.value, scope));
  return loop(stmt, iterable, 0, scope, out);
}

Result<std::vector<Value>> Interpreter::loop_items(const Stmt& stmt, const Value& iterable, Scope* scope) {
  TERN_TRY_ASSIGN(std::vector<Value> items, runtime_.iterate(iterable));
  if (stmt.test == nullptr) return items;
  std::vector<Value> kept;
  for (const Value& item : items) {
    Scope* test_scope = inner(scope);
    TERN_TRY(store(stmt.target, item, test_scope));
    TERN_TRY_ASSIGN(const Value passes, eval(*stmt.test, test_scope));
    if (Runtime::truthy(passes)) kept.push_back(item);
  }
  return kept;
}

Result<Interpreter::Flow> Interpreter::loop(const Stmt& stmt, const Value& iterable, int depth, Scope* scope,
                                            std::string* out) {
  const size_t consumed = iterable.is(Kind::kIterator) ? iterable.as<Iterator>().position : 0;
  TERN_TRY_ASSIGN(std::vector<Value> elements, loop_items(stmt, iterable, scope));
  const Value items = runtime_.list(std::move(elements));
  const size_t count = items.list().items.size();

  auto* state = runtime_.heap().make<Loop>();
  state->items = &items.list();
  state->depth0 = depth;
  state->recursive = stmt.is_recursive ? &stmt : nullptr;
  state->outer = scope;
  if (stmt.is_recursive) scope->is_captured = true;

  // As compiled by jinja2: the else block runs unless some round reached the end of the body.
  bool some_round_finished = false;
  Scope* body_scope = nullptr;
  for (size_t i = 0; i < count; ++i) {
    TERN_TRY(runtime_.step());
    if (body_scope == nullptr || body_scope->is_captured) {
      body_scope = inner(scope);
    } else {
      body_scope->values.clear();
    }
    state->index = i;
    TERN_TRY(store(stmt.target, items.list().items[i], body_scope));
    if (loop_name_ >= 0) define(body_scope, loop_name_, Value::of(Kind::kLoop, state));
    TERN_TRY_ASSIGN(const Flow flow, run_block(stmt.body, body_scope, out));
    if (flow == Flow::kBreak) {
      // A generator goes on where the loop left it.
      if (iterable.is(Kind::kIterator) && stmt.test == nullptr)
        iterable.as<Iterator>().position = consumed + i + 1;
      break;
    }
    some_round_finished |= flow == Flow::kNormal;
  }
  if (some_round_finished || stmt.otherwise.empty()) return Flow::kNormal;
  return run_block(stmt.otherwise, inner(scope), out);
}

Result<Interpreter::Flow> Interpreter::run_set_block(const Stmt& stmt, Scope* scope) {
  std::string text;
  TERN_TRY_ASSIGN(const Flow flow, run_block(stmt.body, inner(scope), &text));
  if (flow != Flow::kNormal) return flow;
  Value value = runtime_.text(std::move(text));
  if (stmt.value != nullptr) {
    TERN_TRY_ASSIGN(value, eval_filter_chain(*stmt.value, value, scope));
  }
  TERN_TRY(store(stmt.target, value, scope));
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_filter_block(const Stmt& stmt, Scope* scope, std::string* out) {
  std::string text;
  Scope* body_scope = inner(scope);
  TERN_TRY_ASSIGN(const Flow flow, run_block(stmt.body, body_scope, &text));
  if (flow != Flow::kNormal) return flow;
  TERN_TRY_ASSIGN(const Value value,
                  eval_filter_chain(*stmt.value, runtime_.text(std::move(text)), body_scope));
  TERN_TRY(print(value, out));
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_with(const Stmt& stmt, Scope* scope, std::string* out) {
  Scope* body_scope = inner(scope);
  for (const auto& [target, expression] : stmt.bindings) {
    TERN_TRY_ASSIGN(const Value value, eval(*expression, scope));  // values do not see each other
    TERN_TRY(store(target, value, body_scope));
  }
  return run_block(stmt.body, body_scope, out);
}

Status Interpreter::run_call_block(const Stmt& stmt, Scope* scope, std::string* out) {
  auto* caller = runtime_.heap().make<Macro>();
  caller->definition = stmt.macro.get();
  caller->scope = scope;
  for (Scope* at = scope; at != nullptr; at = at->parent) at->is_captured = true;
  TERN_TRY_ASSIGN(const Value result, eval_call(*stmt.value, scope, Value::of(Kind::kMacro, caller)));
  return print(result, out);
}

}  // namespace tern::jinja
