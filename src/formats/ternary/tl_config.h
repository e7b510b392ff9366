// SPDX-License-Identifier: MIT
// The tile sizes of TL1 and TL2 files by model name or from bitnet.cpp's kernel_config.ini: what --tl-config
// takes. Source: FORMATS.md A.6 (tables of the known models).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "formats/gguf.h"
#include "formats/ternary/layout_choice.h"

namespace tern {

class TlConfig {
 public:
  /// A model whose tiles are known, by the name in bitnet.cpp ("bitnet_b1_58-3B"), or the path of an .ini
  /// file. Errors: kNotFound with the known names for a word that is neither; those of parse with the path.
  static Result<TlConfig> load(const std::string& name_or_path);

  /// kernel_config.ini: one section per shape with the keys m, k (rows and columns of the matrix), bm, bk,
  /// bmm. Keys it does not know, comments (; and #) and empty lines are skipped. Errors: kCorrupt with the
  /// line. Pure.
  static Result<TlConfig> parse(std::string_view text);

  /// The names that load() knows, separated by ", ".
  static std::string known_names();

  /// The tiles of a [rows, cols] matrix stored as kTL1 or kTL2. Errors: kUnsupported where the configuration
  /// has no such shape, with the shapes it has.
  Result<TlTile> tile(DType dtype, uint64_t rows, uint64_t cols) const;

 private:
  struct Shape {
    uint64_t rows, cols;
    TlTile tl1, tl2;
  };
  std::string name_;
  std::vector<Shape> shapes_;
};

}  // namespace tern
