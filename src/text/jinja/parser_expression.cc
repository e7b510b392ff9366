// SPDX-License-Identifier: MIT
// Expressions, by jinja2's precedence: if-else, or, and, not, comparison, + -, ~, * / // %, **, unary,
// postfix, filters and tests. (So -2 ** 2 is 4, unlike in Python.)
#include <algorithm>

#include "text/jinja/parser_impl.h"

namespace tern::jinja {

ExprPtr Parser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

ExprPtr Parser::string_constant(std::string text, int line) const {
  ExprPtr node = make(ExprKind::kConst, line);
  node->string = std::make_unique<String>();
  node->string->owned = std::move(text);
  node->string->bytes = node->string->owned;
  node->string->length = 0;
  for (const char c : node->string->bytes)
    node->string->length += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  node->constant = Value::of(Kind::kString, node->string.get());
  return node;
}

Result<ExprPtr> Parser::finish(ExprPtr node) const {
  int height = 0;
  const auto look = [&](const ExprPtr& child) {
    if (child != nullptr) height = std::max(height, child->height);
  };
  for (const auto& item : node->items) look(item);
  if (node->args != nullptr) {
    for (const auto& item : node->args->positional) look(item);
    for (const auto& item : node->args->named) look(item.second);
    look(node->args->star);
    look(node->args->double_star);
  }
  node->height = height + 1;
  if (node->height > kMaxHeight)
    return syntax_error(node->line, fmt::format("an expression chains more than {} operations", kMaxHeight));
  return node;
}

Result<ExprPtr> Parser::expression(bool with_conditional) {
  return with_conditional ? conditional() : disjunction();
}

Result<ExprPtr> Parser::conditional() {
  const Nesting nesting(this);
  TERN_TRY(nesting.check());
  int line = token().line;
  // The first operand is parsed before its "if" is seen, so an unknown filter there is refused here, where
  // jinja2 would wait until it is reached.
  TERN_TRY_ASSIGN(ExprPtr value, disjunction());
  while (skip_word("if")) {
    ExprPtr node = make(ExprKind::kConditional, line);
    ++conditions_;
    TERN_TRY_ASSIGN(ExprPtr condition, disjunction());
    ExprPtr otherwise;
    if (skip_word("else")) {
      TERN_TRY_ASSIGN(otherwise, conditional());
    }
    --conditions_;
    node->items.push_back(std::move(condition));
    node->items.push_back(std::move(value));
    node->items.push_back(std::move(otherwise));
    TERN_TRY_ASSIGN(value, finish(std::move(node)));
    line = token().line;
  }
  return value;
}

Result<ExprPtr> Parser::disjunction() {
  TERN_TRY_ASSIGN(ExprPtr left, conjunction());
  while (is_word("or")) {
    ExprPtr node = make(ExprKind::kOr, next().line);
    TERN_TRY_ASSIGN(ExprPtr right, conjunction());
    node->items.push_back(std::move(left));
    node->items.push_back(std::move(right));
    TERN_TRY_ASSIGN(left, finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> Parser::conjunction() {
  TERN_TRY_ASSIGN(ExprPtr left, negation());
  while (is_word("and")) {
    ExprPtr node = make(ExprKind::kAnd, next().line);
    TERN_TRY_ASSIGN(ExprPtr right, negation());
    node->items.push_back(std::move(left));
    node->items.push_back(std::move(right));
    TERN_TRY_ASSIGN(left, finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> Parser::negation() {
  if (!is_word("not")) return comparison();
  const Nesting nesting(this);
  TERN_TRY(nesting.check());
  ExprPtr node = make(ExprKind::kNot, next().line);
  TERN_TRY_ASSIGN(ExprPtr operand, negation());
  node->items.push_back(std::move(operand));
  return finish(std::move(node));
}

Result<ExprPtr> Parser::comparison() {
  static constexpr std::pair<std::string_view, CompareOp> kOps[] = {
      {"==", CompareOp::kEqual},     {"!=", CompareOp::kNotEqual}, {"<", CompareOp::kLess},
      {"<=", CompareOp::kLessEqual}, {">", CompareOp::kGreater},   {">=", CompareOp::kGreaterEqual}};
  TERN_TRY_ASSIGN(ExprPtr first, sum());
  ExprPtr node;
  for (;;) {
    CompareOp op{};
    if (token().kind == TokenKind::kOperator) {
      const auto* known = std::find_if(std::begin(kOps), std::end(kOps),
                                       [&](const auto& o) { return o.first == token().text; });
      if (known == std::end(kOps)) break;
      op = known->second;
    } else if (is_word("in")) {
      op = CompareOp::kIn;
    } else if (is_word("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
      op = CompareOp::kNotIn;
      next();
    } else {
      break;
    }
    const int line = next().line;
    if (node == nullptr) {
      node = make(ExprKind::kCompare, line);
      node->items.push_back(std::move(first));
    }
    TERN_TRY_ASSIGN(ExprPtr operand, sum());
    node->ops.push_back(op);
    node->items.push_back(std::move(operand));
  }
  return node == nullptr ? std::move(first) : finish(std::move(node));
}

Result<ExprPtr> Parser::sum() {
  TERN_TRY_ASSIGN(ExprPtr left, concatenation());
  while (is_op("+") || is_op("-")) {
    ExprPtr node = make(ExprKind::kBinary, token().line);
    node->op = next().text[0];
    TERN_TRY_ASSIGN(ExprPtr right, concatenation());
    node->items.push_back(std::move(left));
    node->items.push_back(std::move(right));
    TERN_TRY_ASSIGN(left, finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> Parser::concatenation() {
  const int line = token().line;
  TERN_TRY_ASSIGN(ExprPtr first, product());
  if (!is_op("~")) return first;
  ExprPtr node = make(ExprKind::kConcat, line);
  node->items.push_back(std::move(first));
  while (skip_op("~")) {
    TERN_TRY_ASSIGN(ExprPtr part, product());
    node->items.push_back(std::move(part));
  }
  return finish(std::move(node));
}

Result<ExprPtr> Parser::product() {
  TERN_TRY_ASSIGN(ExprPtr left, power());
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    ExprPtr node = make(ExprKind::kBinary, token().line);
    node->op = token().text == "//" ? 'f' : token().text[0];
    next();
    TERN_TRY_ASSIGN(ExprPtr right, power());
    node->items.push_back(std::move(left));
    node->items.push_back(std::move(right));
    TERN_TRY_ASSIGN(left, finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> Parser::power() {
  TERN_TRY_ASSIGN(ExprPtr left, unary());
  while (is_op("**")) {
    ExprPtr node = make(ExprKind::kBinary, next().line);
    node->op = 'p';
    TERN_TRY_ASSIGN(ExprPtr right, unary());
    node->items.push_back(std::move(left));
    node->items.push_back(std::move(right));
    TERN_TRY_ASSIGN(left, finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> Parser::unary(bool with_filter) {
  ExprPtr node;
  if (is_op("-") || is_op("+")) {
    const Nesting nesting(this);
    TERN_TRY(nesting.check());
    node = make(is_op("-") ? ExprKind::kNegate : ExprKind::kPlus, token().line);
    next();
    TERN_TRY_ASSIGN(ExprPtr operand, unary(false));
    node->items.push_back(std::move(operand));
    TERN_TRY_ASSIGN(node, finish(std::move(node)));
  } else {
    TERN_TRY_ASSIGN(node, primary());
  }
  TERN_TRY_ASSIGN(node, postfix(std::move(node)));
  return with_filter ? filters(std::move(node)) : Result<ExprPtr>(std::move(node));
}

Result<ExprPtr> Parser::primary() {
  const int line = token().line;
  switch (token().kind) {
    case TokenKind::kName: {
      const std::string& name = next().text;
      ExprPtr node = make(ExprKind::kConst, line);
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        node->constant = Value::boolean(name == "true" || name == "True");
      } else if (name == "none" || name == "None") {
        node->constant = Value::none();
      } else {
        node->kind = ExprKind::kName;
        node->text = name;
        node->name = intern(name);
        for (MacroDefinition* macro : macros_) {
          macro->uses_caller |= name == "caller";
          macro->uses_varargs |= name == "varargs";
          macro->uses_kwargs |= name == "kwargs";
        }
      }
      return node;
    }
    case TokenKind::kString: {
      std::string text;
      while (token().kind == TokenKind::kString) text += next().text;
      return string_constant(std::move(text), line);
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat: {
      ExprPtr node = make(ExprKind::kConst, line);
      const Token& number = next();
      node->constant =
          number.kind == TokenKind::kInteger ? Value::integer(number.integer) : Value::number(number.number);
      return node;
    }
    default:
      break;
  }
  if (is_op("(")) {
    next();
    TERN_TRY_ASSIGN(ExprPtr node, tuple(true, true));
    TERN_TRY(expect_op(")"));
    return node;
  }
  if (is_op("[")) return list();
  if (is_op("{")) return dict();
  return fail(fmt::format("expected a value, found {}", describe()));
}

Result<ExprPtr> Parser::tuple(bool with_conditional, bool in_parentheses, bool stops_at_recursive) {
  const Nesting nesting(this);
  TERN_TRY(nesting.check());
  ExprPtr node = make(ExprKind::kTuple, token().line);
  bool is_tuple = false;
  for (;;) {
    const bool ends = token().kind == TokenKind::kPrintEnd || token().kind == TokenKind::kBlockEnd ||
                      is_op(")") || (stops_at_recursive && is_word("recursive"));
    if (ends) break;
    TERN_TRY_ASSIGN(ExprPtr item, expression(with_conditional));
    node->items.push_back(std::move(item));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->items.empty()) {
      ExprPtr only = std::move(node->items[0]);
      return only;
    }
    if (!in_parentheses) return fail(fmt::format("expected an expression, found {}", describe()));
  }
  return finish(std::move(node));
}

Result<ExprPtr> Parser::list() {
  ExprPtr node = make(ExprKind::kList, next().line);
  while (!is_op("]")) {
    if (!node->items.empty()) TERN_TRY(expect_op(","));
    if (is_op("]")) break;
    TERN_TRY_ASSIGN(ExprPtr item, expression());
    node->items.push_back(std::move(item));
  }
  next();
  return finish(std::move(node));
}

Result<ExprPtr> Parser::dict() {
  ExprPtr node = make(ExprKind::kDict, next().line);
  while (!is_op("}")) {
    if (!node->items.empty()) TERN_TRY(expect_op(","));
    if (is_op("}")) break;
    TERN_TRY_ASSIGN(ExprPtr key, expression());
    TERN_TRY(expect_op(":"));
    TERN_TRY_ASSIGN(ExprPtr value, expression());
    node->items.push_back(std::move(key));
    node->items.push_back(std::move(value));
  }
  next();
  return finish(std::move(node));
}

Result<ExprPtr> Parser::postfix(ExprPtr left) {
  for (;;) {
    if (is_op(".") || is_op("[")) {
      TERN_TRY_ASSIGN(left, subscript(std::move(left)));
    } else if (is_op("(")) {
      TERN_TRY_ASSIGN(left, call(std::move(left)));
    } else {
      return left;
    }
  }
}

Result<ExprPtr> Parser::call(ExprPtr callee) {
  ExprPtr node = make(ExprKind::kCall, token().line);
  TERN_TRY_ASSIGN(node->args, call_args());
  node->items.push_back(std::move(callee));
  return finish(std::move(node));
}

Result<ExprPtr> Parser::filters(ExprPtr left) {
  for (;;) {
    if (is_op("|")) {
      TERN_TRY_ASSIGN(left, filter_chain(std::move(left), false));
    } else if (is_word("is")) {
      TERN_TRY_ASSIGN(left, test(std::move(left)));
    } else if (is_op("(")) {
      TERN_TRY_ASSIGN(left, call(std::move(left)));
    } else {
      return left;
    }
  }
}

Result<ExprPtr> Parser::subscript(ExprPtr left) {
  const int line = token().line;
  if (next().text == "[") return bracket(std::move(left), line);
  if (token().kind == TokenKind::kInteger) {  // a.0 is a[0]
    ExprPtr node = make(ExprKind::kItem, line);
    ExprPtr index = make(ExprKind::kConst, line);
    index->constant = Value::integer(next().integer);
    node->items.push_back(std::move(left));
    node->items.push_back(std::move(index));
    return finish(std::move(node));
  }
  if (token().kind != TokenKind::kName)
    return fail(fmt::format("expected a name or a number behind '.', found {}", describe()));
  ExprPtr node = string_constant(next().text, line);
  node->kind = ExprKind::kAttribute;
  node->items.push_back(std::move(left));
  return finish(std::move(node));
}

// Behind a "[".
Result<ExprPtr> Parser::bracket(ExprPtr left, int line) {
  ExprPtr parts[3];
  bool is_slice = false;
  if (is_op("]")) return fail("expected an index inside '[ ]'");
  if (!is_op(":")) {
    TERN_TRY_ASSIGN(parts[0], expression());
  }
  for (int i = 1; i < 3 && skip_op(":"); ++i) {
    is_slice = true;
    if (!is_op(":") && !is_op("]") && !is_op(",")) {
      TERN_TRY_ASSIGN(parts[i], expression());
    }
  }
  if (is_op(",")) {
    if (is_slice) return fail("slices of several dimensions are not supported");
    ExprPtr indices = make(ExprKind::kTuple, line);
    indices->items.push_back(std::move(parts[0]));
    while (skip_op(",")) {
      TERN_TRY_ASSIGN(ExprPtr item, expression());
      indices->items.push_back(std::move(item));
    }
    TERN_TRY_ASSIGN(parts[0], finish(std::move(indices)));
  }
  TERN_TRY(expect_op("]"));
  ExprPtr node = make(is_slice ? ExprKind::kSlice : ExprKind::kItem, line);
  node->items.push_back(std::move(left));
  for (int i = 0; i < (is_slice ? 3 : 1); ++i) node->items.push_back(std::move(parts[i]));
  return finish(std::move(node));
}

Result<std::unique_ptr<CallArgs>> Parser::call_args() {
  auto args = std::make_unique<CallArgs>();
  TERN_TRY(expect_op("("));
  for (bool first = true; !is_op(")"); first = false) {
    if (!first) {
      TERN_TRY(expect_op(","));
      if (is_op(")")) break;
    }
    const bool has_star = args->star != nullptr, has_double_star = args->double_star != nullptr;
    if (is_op("*") && !has_star && !has_double_star) {
      next();
      TERN_TRY_ASSIGN(args->star, expression());
    } else if (is_op("**") && !has_double_star) {
      next();
      TERN_TRY_ASSIGN(args->double_star, expression());
    } else if (token().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
               ahead().text == "=" && !has_double_star) {
      const std::string name = next().text;
      for (const auto& known : args->named)
        if (known.first == name)
          return fail(fmt::format("the argument '{}' is given twice", name.substr(0, 80)));
      next();
      TERN_TRY_ASSIGN(ExprPtr value, expression());
      args->named.emplace_back(name, std::move(value));
    } else if (!has_star && !has_double_star && args->named.empty()) {
      TERN_TRY_ASSIGN(ExprPtr value, expression());
      args->positional.push_back(std::move(value));
    } else {
      return fail("the arguments of a call are out of order");
    }
  }
  next();
  return args;
}

Result<std::string> Parser::dotted_name() {
  TERN_TRY_ASSIGN(std::string name, expect_name());
  while (skip_op(".")) {
    TERN_TRY_ASSIGN(const std::string part, expect_name());
    name += '.' + part;
  }
  return name;
}

Result<ExprPtr> Parser::filter_chain(ExprPtr left, bool starts_inline) {
  while (starts_inline || skip_op("|")) {
    starts_inline = false;
    ExprPtr node = make(ExprKind::kFilter, token().line);
    TERN_TRY_ASSIGN(node->text, dotted_name());
    node->filter = find_filter(node->text);
    if (node->filter == nullptr && conditions_ == 0)
      return syntax_error(node->line, fmt::format("there is no filter named '{}'", node->text.substr(0, 80)));
    if (is_op("(")) {
      TERN_TRY_ASSIGN(node->args, call_args());
    }
    node->items.push_back(std::move(left));
    TERN_TRY_ASSIGN(left, finish(std::move(node)));
  }
  return left;
}

Result<ExprPtr> Parser::test(ExprPtr left) {
  const int line = next().line;
  const bool is_negated = skip_word("not");
  ExprPtr node = make(ExprKind::kTest, line);
  TERN_TRY_ASSIGN(node->text, dotted_name());
  node->test = find_test(node->text);
  if (node->test == nullptr && conditions_ == 0)
    return syntax_error(line, fmt::format("there is no test named '{}'", node->text.substr(0, 80)));
  node->items.push_back(std::move(left));
  const auto kind = token().kind;
  if (is_op("(")) {
    TERN_TRY_ASSIGN(node->args, call_args());
  } else if (((kind == TokenKind::kName && !is_word("else") && !is_word("or") && !is_word("and")) ||
              kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
              is_op("[") || is_op("{"))) {
    // One argument may stand without parentheses: "is divisibleby 3". jinja2 reads any word as one, "in" and
    // "if" too.
    if (is_word("is")) return fail("tests cannot be chained with 'is'");
    node->args = std::make_unique<CallArgs>();
    TERN_TRY_ASSIGN(ExprPtr argument, primary());
    TERN_TRY_ASSIGN(argument, postfix(std::move(argument)));
    node->args->positional.push_back(std::move(argument));
  }
  TERN_TRY_ASSIGN(node, finish(std::move(node)));
  if (!is_negated) return node;
  ExprPtr negation_node = make(ExprKind::kNot, line);
  negation_node->items.push_back(std::move(node));
  return finish(std::move(negation_node));
}

}  // namespace tern::jinja
