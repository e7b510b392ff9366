// SPDX-License-Identifier: MIT
// Continues a text: generate MODEL [PROMPT]. The module map beside tern.h makes the C API a Swift module. Not built by tern's
// own tests, which have no Swift compiler; the module map is read there by clang.
//
//   swiftc main.swift -I PREFIX/include -L PREFIX/lib -o generate

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif
import tern

struct TernError: Error {
  let status: tern_status
  let text: String
}

/// The three handles of a program that continues one text. Each goes with its owner; their order does not matter.
final class Generator {
  private var context: OpaquePointer?
  private var model: OpaquePointer?
  private var session: OpaquePointer?

  init(path: String) throws {
    try check(tern_context_create(nil, &context))
    try check(tern_model_open(context, path, path.utf8.count, nil, &model))
    try check(tern_session_create(model, nil, &session))
  }

  deinit {
    tern_session_destroy(session)
    tern_model_close(model)
    tern_context_destroy(context)
  }

  func feed(_ text: String) throws {
    var count = 0
    try check(tern_tokenize(model, text, text.utf8.count, 0, nil, 0, &count))
    var tokens = [Int32](repeating: 0, count: count)
    try check(tern_tokenize(model, text, text.utf8.count, 0, &tokens, tokens.count, &count))
    try check(tern_session_feed(session, tokens, tokens.count))
  }

  func generate(maxTokens: Int64) throws {
    var params = tern_generate_params()
    tern_generate_params_init(&params, MemoryLayout<tern_generate_params>.stride)
    params.max_tokens = maxTokens
    params.temperature = 0
    // A C callback captures nothing; what it needs would come through `user`.
    let printPiece: tern_token_callback = { _, _, text, length in
      fwrite(text, 1, length, stdout)
      fflush(stdout)
      return true
    }
    try check(tern_session_generate(session, &params, printPiece, nil))
  }

  private func check(_ status: tern_status) throws {
    guard status == TERN_OK else {
      throw TernError(status: status, text: String(cString: tern_context_last_error(context, nil)))
    }
  }
}

guard CommandLine.arguments.count >= 2 else {
  fputs("usage: generate MODEL [PROMPT]\n", stderr)
  exit(2)
}
do {
  let generator = try Generator(path: CommandLine.arguments[1])
  try generator.feed(CommandLine.arguments.count > 2 ? CommandLine.arguments[2] : "Once upon a time")
  try generator.generate(maxTokens: 64)
  print()
} catch let error as TernError {
  fputs("generate: \(error.text)\n", stderr)
  exit(1)
}
