// SPDX-License-Identifier: MIT
// Statements.
#include <algorithm>

#include "text/jinja/parser_impl.h"

namespace tern::jinja {

// --- tokens
// --------------------------------------------------------------------------------------------------------

std::string Parser::describe() const {
  switch (token().kind) {
    case TokenKind::kText:
      return "text";
    case TokenKind::kPrintBegin:
      return "'{{'";
    case TokenKind::kPrintEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return fmt::format("'{}'", token().text.substr(0, 80));
    case TokenKind::kEnd:
      return "the end of the template";
  }
  return "a token";
}

Status Parser::expect_op(std::string_view text) {
  if (skip_op(text)) return {};
  return fail(fmt::format("expected '{}', found {}", text, describe()));
}

Status Parser::expect_word(std::string_view text) {
  if (skip_word(text)) return {};
  return fail(fmt::format("expected '{}', found {}", text, describe()));
}

Result<std::string> Parser::expect_name() {
  if (token().kind == TokenKind::kName) return next().text;
  return fail(fmt::format("expected a name, found {}", describe()));
}

Status Parser::expect_kind(TokenKind kind, std::string_view what) {
  if (token().kind != kind) return fail(fmt::format("expected '{}', found {}", what, describe()));
  next();
  return {};
}

Status Parser::Nesting::check() const {
  if (parser_->nesting_ <= kMaxNesting) return {};
  return parser_->fail(fmt::format("brackets, operators and blocks nest deeper than {} levels", kMaxNesting));
}

int Parser::intern(const std::string& name) {
  const auto [entry, is_new] = name_indices_.try_emplace(name, static_cast<int>(names_.size()));
  if (is_new) names_.push_back(name);
  return entry->second;
}

Result<std::shared_ptr<const Template>> Parser::run() {
  TERN_TRY_ASSIGN(Block parsed, block({}));
  auto result = std::make_shared<Template>();
  result->body = std::move(parsed);
  result->names = std::move(names_);
  return std::shared_ptr<const Template>(std::move(result));
}

// --- blocks
// --------------------------------------------------------------------------------------------------------

Error Parser::unknown_tag(const Token& tag, Words ends) const {
  static constexpr std::string_view kRefused[] = {"include", "import", "from",
                                                  "extends", "block",  "autoescape"};
  if (std::find(std::begin(kRefused), std::end(kRefused), tag.text) != std::end(kRefused)) {
    return make_error(ErrorCode::kUnsupported,
                      "chat template line {}: the tag '{}' is not supported in chat templates", tag.line,
                      tag.text);
  }
  std::string wanted;
  for (const auto end : ends) wanted += fmt::format("{}'{}'", wanted.empty() ? "" : " or ", end);
  return syntax_error(tag.line, fmt::format("unknown tag '{}'{}{}", tag.text.substr(0, 80),
                                            wanted.empty() ? "" : "; here the open block needs ", wanted));
}

Result<Block> Parser::block(Words ends) {
  const Nesting nesting(this);
  TERN_TRY(nesting.check());
  Block out;
  const int first_line = token().line;
  for (;;) {
    switch (token().kind) {
      case TokenKind::kText: {
        auto stmt = std::make_unique<Stmt>();
        stmt->line = token().line;
        stmt->text = next().text;
        out.push_back(std::move(stmt));
        break;
      }
      case TokenKind::kPrintBegin: {
        auto stmt = std::make_unique<Stmt>();
        stmt->kind = StmtKind::kPrint;
        stmt->line = next().line;
        TERN_TRY_ASSIGN(stmt->value, tuple());
        TERN_TRY(expect_kind(TokenKind::kPrintEnd, "}}"));
        out.push_back(std::move(stmt));
        break;
      }
      case TokenKind::kBlockBegin: {
        next();
        if (token().kind != TokenKind::kName)
          return fail(fmt::format("expected the name of a tag, found {}", describe()));
        if (std::find(ends.begin(), ends.end(), token().text) != ends.end()) return out;
        if (token().text == "print") {
          next();
          TERN_TRY(parse_print(&out));
        } else {
          TERN_TRY_ASSIGN(auto stmt, statement());
          if (stmt == nullptr) return unknown_tag(token(), ends);
          out.push_back(std::move(stmt));
        }
        TERN_TRY(expect_kind(TokenKind::kBlockEnd, "%}"));
        break;
      }
      case TokenKind::kEnd:
        if (ends.size() == 0) return out;
        return fail(fmt::format("the template ends, but the block opened before line {} needs '{{% {} %}}'",
                                first_line, *(ends.end() - 1)));
      default:
        return fail(fmt::format("unexpected {}", describe()));
    }
  }
}

Result<Block> Parser::body(Words ends, bool drop_end) {
  skip_op(":");
  TERN_TRY(expect_kind(TokenKind::kBlockEnd, "%}"));
  TERN_TRY_ASSIGN(Block out, block(ends));
  if (drop_end) next();
  return out;
}

Status Parser::parse_print(Block* out) {
  for (bool first = true; token().kind != TokenKind::kBlockEnd; first = false) {
    if (!first) TERN_TRY(expect_op(","));
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = StmtKind::kPrint;
    stmt->line = token().line;
    TERN_TRY_ASSIGN(stmt->value, expression());
    out->push_back(std::move(stmt));
  }
  return {};
}

// The statement whose tag name is the current token, up to before its last "%}"; null where the tag is
// unknown.
Result<std::unique_ptr<Stmt>> Parser::statement() {
  using Parse = Status (Parser::*)(Stmt*);
  struct Tag {
    std::string_view name;
    Parse parse;
  };
  static constexpr Tag kTags[] = {{"set", &Parser::parse_set},
                                  {"for", &Parser::parse_for},
                                  {"if", &Parser::parse_if},
                                  {"with", &Parser::parse_with},
                                  {"macro", &Parser::parse_macro},
                                  {"call", &Parser::parse_call},
                                  {"filter", &Parser::parse_filter_block}};
  auto stmt = std::make_unique<Stmt>();
  stmt->line = token().line;
  const std::string& tag = token().text;
  if (tag == "break" || tag == "continue") {
    if (loops_ == 0) return fail(fmt::format("'{}' stands outside of a loop", tag));
    stmt->kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    next();
    return stmt;
  }
  if (tag == "generation") {
    // Marks what an assistant says, for training; here only a scope.
    next();
    stmt->kind = StmtKind::kScope;
    const int loops = std::exchange(loops_, 0);
    TERN_TRY_ASSIGN(stmt->body, body({"endgeneration"}, true));
    loops_ = loops;
    return stmt;
  }
  for (const Tag& known : kTags) {
    if (tag != known.name) continue;
    next();
    TERN_TRY((this->*known.parse)(stmt.get()));
    return stmt;
  }
  return std::unique_ptr<Stmt>();
}

// --- targets
// -------------------------------------------------------------------------------------------------------

Result<Target> Parser::simple_target() {
  const Nesting nesting(this);
  TERN_TRY(nesting.check());
  if (is_op("(")) {
    next();
    Target out;
    bool is_tuple = false;
    while (!is_op(")")) {
      TERN_TRY_ASSIGN(Target item, simple_target());
      out.items.push_back(std::move(item));
      if (!skip_op(",")) break;
      is_tuple = true;
    }
    TERN_TRY(expect_op(")"));
    if (!is_tuple && out.items.size() == 1) {
      Target only = std::move(out.items[0]);
      return only;
    }
    return out;
  }
  if (token().kind != TokenKind::kName) return fail(fmt::format("cannot assign to {}", describe()));
  static constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None"};
  if (std::find(std::begin(kReserved), std::end(kReserved), token().text) != std::end(kReserved))
    return fail(fmt::format("cannot assign to {}", describe()));
  if (fors_ > 0 && token().text == "loop")
    return fail("'loop' cannot be assigned to inside of a for statement");
  Target out;
  out.name = intern(next().text);
  return out;
}

Result<Target> Parser::target(bool with_namespace) {
  if (with_namespace && ahead().kind == TokenKind::kOperator && ahead().text == ".") {
    Target out;
    TERN_TRY_ASSIGN(const std::string name, expect_name());
    out.name = intern(name);
    next();
    TERN_TRY_ASSIGN(out.attribute, expect_name());
    return out;
  }
  Target out;
  bool is_tuple = false;
  for (;;) {
    // (jinja2 means to end a tuple at "in" as well, but "for a, in" is an error there.)
    const bool ends = token().kind == TokenKind::kBlockEnd || is_op(")");
    if (ends && is_tuple) break;
    TERN_TRY_ASSIGN(Target item, simple_target());
    out.items.push_back(std::move(item));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return out;
  Target only = std::move(out.items[0]);
  return only;
}

// --- statements
// ----------------------------------------------------------------------------------------------------

Status Parser::parse_set(Stmt* stmt) {
  TERN_TRY_ASSIGN(stmt->target, target(true));
  if (skip_op("=")) {
    stmt->kind = StmtKind::kSet;
    TERN_TRY_ASSIGN(stmt->value, tuple());
    return {};
  }
  stmt->kind = StmtKind::kSetBlock;
  if (is_op("|")) {
    TERN_TRY_ASSIGN(stmt->value, filter_chain(nullptr, false));
  }
  TERN_TRY_ASSIGN(stmt->body, body({"endset"}, true));
  return {};
}

Status Parser::parse_for(Stmt* stmt) {
  stmt->kind = StmtKind::kFor;
  ++fors_;
  TERN_TRY_ASSIGN(stmt->target, target(false));
  TERN_TRY(expect_word("in"));
  TERN_TRY_ASSIGN(stmt->value, tuple(false, false, true));
  if (skip_word("if")) {
    TERN_TRY_ASSIGN(stmt->test, expression());
  }
  stmt->is_recursive = skip_word("recursive");
  ++loops_;
  TERN_TRY_ASSIGN(stmt->body, body({"else", "endfor"}, false));
  --loops_;
  if (next().text == "else") {
    TERN_TRY_ASSIGN(stmt->otherwise, body({"endfor"}, true));
  }
  --fors_;
  return {};
}

Status Parser::parse_if(Stmt* stmt) {
  stmt->kind = StmtKind::kIf;
  ++conditions_;
  for (std::string tag = "if"; tag != "endif";) {
    ExprPtr condition;
    if (tag != "else") {
      TERN_TRY_ASSIGN(condition, tuple(false));
      TERN_TRY_ASSIGN(Block branch, body({"elif", "else", "endif"}, false));
      stmt->branches.emplace_back(std::move(condition), std::move(branch));
    } else {
      TERN_TRY_ASSIGN(Block branch, body({"endif"}, false));
      stmt->branches.emplace_back(nullptr, std::move(branch));
    }
    tag = next().text;
  }
  --conditions_;
  return {};
}

Status Parser::parse_with(Stmt* stmt) {
  stmt->kind = StmtKind::kWith;
  while (token().kind != TokenKind::kBlockEnd) {
    if (!stmt->bindings.empty()) TERN_TRY(expect_op(","));
    TERN_TRY_ASSIGN(Target name, target(false));
    TERN_TRY(expect_op("="));
    TERN_TRY_ASSIGN(ExprPtr value, expression());
    stmt->bindings.emplace_back(std::move(name), std::move(value));
  }
  TERN_TRY_ASSIGN(stmt->body, body({"endwith"}, true));
  return {};
}

Status Parser::parse_signature(MacroDefinition* macro) {
  TERN_TRY(expect_op("("));
  while (!is_op(")")) {
    if (!macro->parameters.empty()) TERN_TRY(expect_op(","));
    TERN_TRY_ASSIGN(std::string name, expect_name());
    if (std::find(macro->parameter_names.begin(), macro->parameter_names.end(), name) !=
        macro->parameter_names.end())
      return fail(fmt::format("the parameter '{}' is named twice", name.substr(0, 80)));
    if (skip_op("=")) {
      TERN_TRY_ASSIGN(ExprPtr value, expression());
      macro->defaults.push_back(std::move(value));
    } else if (!macro->defaults.empty()) {
      return fail("a parameter without a default follows one with a default");
    }
    macro->parameters.push_back(intern(name));
    macro->parameter_names.push_back(std::move(name));
  }
  return expect_op(")");
}

Status Parser::macro_body(MacroDefinition* macro, std::string_view end) {
  const int loops = std::exchange(loops_, 0), conditions = std::exchange(conditions_, 0);
  macros_.push_back(macro);
  TERN_TRY_ASSIGN(macro->body, body({end}, true));
  macros_.pop_back();
  loops_ = loops;
  conditions_ = conditions;
  return {};
}

Status Parser::parse_macro(Stmt* stmt) {
  stmt->kind = StmtKind::kMacro;
  stmt->macro = std::make_unique<MacroDefinition>();
  TERN_TRY_ASSIGN(stmt->macro->name, expect_name());
  stmt->target.name = intern(stmt->macro->name);
  macros_.push_back(stmt->macro.get());
  TERN_TRY(parse_signature(stmt->macro.get()));
  macros_.pop_back();
  return macro_body(stmt->macro.get(), "endmacro");
}

Status Parser::parse_call(Stmt* stmt) {
  stmt->kind = StmtKind::kCallBlock;
  stmt->macro = std::make_unique<MacroDefinition>();
  stmt->macro->name = "caller";
  if (is_op("(")) TERN_TRY(parse_signature(stmt->macro.get()));
  TERN_TRY_ASSIGN(stmt->value, expression());
  if (stmt->value->kind != ExprKind::kCall) return syntax_error(stmt->line, "'call' needs a call of a macro");
  return macro_body(stmt->macro.get(), "endcall");
}

Status Parser::parse_filter_block(Stmt* stmt) {
  stmt->kind = StmtKind::kFilterBlock;
  TERN_TRY_ASSIGN(stmt->value, filter_chain(nullptr, true));
  TERN_TRY_ASSIGN(stmt->body, body({"endfilter"}, true));
  return {};
}

Result<std::shared_ptr<const Template>> parse_template(std::string_view source) {
  TERN_TRY_ASSIGN(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace tern::jinja
