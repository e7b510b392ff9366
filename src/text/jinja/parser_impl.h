// SPDX-License-Identifier: MIT
// The parser's class, shared by parser.cc (statements) and parser_expression.cc. Nobody else includes it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"

namespace tern::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Result<std::shared_ptr<const Template>> run();

 private:
  using Words = std::initializer_list<std::string_view>;

  // --- tokens
  // --------------------------------------------------------------------------------------------------
  const Token& token() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_op(std::string_view text) const {
    return token().kind == TokenKind::kOperator && token().text == text;
  }
  bool is_word(std::string_view text) const {
    return token().kind == TokenKind::kName && token().text == text;
  }
  bool skip_op(std::string_view text) { return is_op(text) && (next(), true); }
  bool skip_word(std::string_view text) { return is_word(text) && (next(), true); }
  Status expect_op(std::string_view text);
  Status expect_word(std::string_view text);
  Result<std::string> expect_name();
  Status expect_kind(TokenKind kind, std::string_view what);
  std::string describe() const;  // the current token, for messages
  Error fail(std::string_view message) const { return syntax_error(token().line, message); }

  // --- statements (parser.cc)
  // ----------------------------------------------------------------------------------
  Result<Block> block(Words ends);  // up to a tag of `ends`, whose name is then the current token
  Result<Block> body(Words ends, bool drop_end);
  Result<std::unique_ptr<Stmt>> statement();
  Status parse_set(Stmt* stmt);
  Status parse_for(Stmt* stmt);
  Status parse_if(Stmt* stmt);
  Status parse_with(Stmt* stmt);
  Status parse_macro(Stmt* stmt);
  Status parse_call(Stmt* stmt);
  Status parse_filter_block(Stmt* stmt);
  Status parse_print(Block* out);
  Status parse_signature(MacroDefinition* macro);
  Status macro_body(MacroDefinition* macro, std::string_view end);
  Result<Target> target(bool with_namespace);
  Result<Target> simple_target();
  Error unknown_tag(const Token& tag, Words ends) const;

  // --- expressions (parser_expression.cc)
  // ----------------------------------------------------------------------
  Result<ExprPtr> expression(bool with_conditional = true);
  Result<ExprPtr> conditional();
  Result<ExprPtr> disjunction();
  Result<ExprPtr> conjunction();
  Result<ExprPtr> negation();
  Result<ExprPtr> comparison();
  Result<ExprPtr> sum();
  Result<ExprPtr> concatenation();
  Result<ExprPtr> product();
  Result<ExprPtr> power();
  Result<ExprPtr> unary(bool with_filter = true);
  Result<ExprPtr> primary();
  /// An expression, or a tuple where commas follow. `in_parentheses`: an empty tuple is allowed.
  Result<ExprPtr> tuple(bool with_conditional = true, bool in_parentheses = false,
                        bool stops_at_recursive = false);
  Result<ExprPtr> list();
  Result<ExprPtr> dict();
  Result<ExprPtr> postfix(ExprPtr left);
  Result<ExprPtr> call(ExprPtr callee);
  Result<ExprPtr> filters(ExprPtr left);
  Result<ExprPtr> subscript(ExprPtr left);
  Result<ExprPtr> bracket(ExprPtr left, int line);
  Result<ExprPtr> filter_chain(ExprPtr left, bool starts_inline);
  Result<ExprPtr> test(ExprPtr left);
  Result<std::unique_ptr<CallArgs>> call_args();
  Result<std::string> dotted_name();

  ExprPtr make(ExprKind kind, int line) const;
  ExprPtr string_constant(std::string text, int line) const;
  /// Sets the height of a finished node; fails where it is too high.
  Result<ExprPtr> finish(ExprPtr node) const;
  int intern(const std::string& name);

  /// Counts nesting while alive.
  class Nesting {
   public:
    explicit Nesting(Parser* parser) : parser_(parser) { ++parser_->nesting_; }
    ~Nesting() { --parser_->nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    Status check() const;

   private:
    Parser* parser_;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // for statements whose body is around, within the same macro: break is allowed
  int fors_ = 0;   // for statements around: `loop` is theirs
  int conditions_ =
      0;  // if statements and conditional expressions around: unknown filters there fail when reached
  std::vector<MacroDefinition*> macros_;
  std::vector<std::string> names_;
  std::map<std::string, int> name_indices_;
};

}  // namespace tern::jinja
