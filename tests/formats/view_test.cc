// SPDX-License-Identifier: MIT
// TernaryView: the codec's trits, and scales as the sentences of view.h say them, computed here weight by
// weight for every container, every shape of `.scale` and MLX groups of both signs; row ranges; refusals. And
// --tl-config.
#include "formats/ternary/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <list>

#include "core/float16.h"
#include "formats/dense.h"
#include "formats/weights.h"
#include "tests/formats/codec_oracle.h"

namespace tern {
namespace {

using test::Random;
using testing::HasSubstr;

/// A GgufFile in memory.
class Tensors {
 public:
  GgufTensorInfo& add(std::string name, DType dtype, std::vector<uint64_t> shape) {
    GgufTensorInfo info;
    info.name = std::move(name);
    info.dtype = dtype;
    info.shape = std::move(shape);
    info.byte_size = tensor_byte_size(dtype, info.rows(), info.cols()).value();
    memory_.emplace_back(info.byte_size);
    info.data = memory_.back();
    file_.tensors.push_back(info);
    return file_.tensors.back();
  }
  std::span<std::byte> bytes(size_t index) {
    return *std::next(memory_.begin(), static_cast<ptrdiff_t>(index));
  }
  void add_floats(std::string name, DType dtype, std::vector<uint64_t> shape,
                  const std::vector<float>& values) {
    add(std::move(name), dtype, std::move(shape));
    ASSERT_TRUE(quantize_row(dtype, values.data(), values.size(), memory_.back().data()).ok());
  }
  Result<TernaryView> view(LayoutChoice layout = {}) {
    EXPECT_TRUE(file_.index_names().ok());
    return view_ternary(file_, file_.tensors[0], layout);
  }

 private:
  GgufFile file_;
  std::list<std::vector<std::byte>> memory_;
};

/// What read() gave for rows [begin, begin + count), spread to one scale per weight.
struct Read {
  Status status;
  std::vector<int8_t> trits;
  std::vector<float> scales;
};

Read read(const TernaryView& view, uint64_t begin, uint64_t count) {
  Read out;
  out.trits.assign(count * view.cols, 99);
  std::vector<float> scales(count * view.scales_per_row(), -77.0f);
  out.status = view.read(begin, count, out.trits.data(), scales.data());
  for (uint64_t i = 0; i < count * view.cols; ++i) {
    const uint64_t group = view.scale_scope == ScaleScope::kGroup ? i % view.cols / view.group_cols : 0;
    out.scales.push_back(scales[i / view.cols * view.scales_per_row() + group]);
  }
  return out;
}

// Every container, its own scales random, with `.scale` absent or of n row blocks and c column blocks.
TEST(TernaryView, EveryContainerWithEveryShapeOfScale) {
  Random random(1);
  for (const test::Layout& layout : test::kLayouts) {
    if (layout.dtype == DType::kMlx1 || layout.dtype == DType::kMlx2) continue;
    const TernaryCodec& codec = layout.codec();
    const uint64_t rows = 4 * layout.row_multiple;
    const uint64_t cols =
        layout.is_tiled() ? 2 * layout.col_multiple : std::max<uint64_t>(512, 8 * layout.col_multiple);
    const auto trits = test::random_trits(codec, rows * cols, random);
    std::vector<float> own(rows * codec.scales_per_row(cols));
    for (float& s : own) s = f16_to_f32(f32_to_f16(std::fabs(random.uniform()) + 0.25f));
    if (codec.scale_scope == ScaleScope::kTensor) own.assign(own.size(), own[0]);
    for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{4}, rows}) {
      for (const uint64_t c : {1, 2, 4}) {
        if (n == 0 && (c > 1 || !codec.has_scale)) continue;
        if (c > 1 && (cols % (64 * c) != 0 || (codec.group_cols > 0 && cols / c % codec.group_cols != 0)))
          continue;
        SCOPED_TRACE(fmt::format("{} scale [{}, {}]", layout.name(), c, n));
        Tensors file;
        file.add("blk.0.attn_q.weight", layout.dtype, {cols, rows});
        ASSERT_TRUE(codec.encode(trits.data(), own.data(), rows, cols, layout.choice, file.bytes(0)).ok());
        std::vector<float> table(n * c);
        for (float& s : table) s = std::fabs(random.uniform()) + 0.5f;
        if (n > 0) {
          const std::vector<uint64_t> shape = c == 1 ? std::vector<uint64_t>{n} : std::vector<uint64_t>{c, n};
          file.add_floats("blk.0.attn_q.scale", DType::kF32, shape, table);
        }
        const auto view = file.view(layout.choice);
        ASSERT_TRUE(view.ok()) << view.error().message;
        EXPECT_EQ(view->companions.size(), n > 0);
        const ScaleScope expected = c > 1                                               ? ScaleScope::kGroup
                                    : codec.scale_scope == ScaleScope::kTensor && n > 1 ? ScaleScope::kRow
                                                                                        : codec.scale_scope;
        EXPECT_EQ(view->scale_scope, expected);
        for (const auto& [begin, count] :
             {std::pair<uint64_t, uint64_t>{0, rows}, {1, 2}, {rows - 1, 1}, {rows, 0}}) {
          const Read out = read(*view, begin, count);
          ASSERT_TRUE(out.status.ok()) << out.status.error().message;
          for (uint64_t i = 0; i < count * cols; ++i) {
            const uint64_t row = begin + i / cols, col = i % cols;
            ASSERT_EQ(out.trits[i], trits[row * cols + col]) << row << " " << col;
            const uint64_t per_row = codec.scales_per_row(cols);
            float scale = codec.has_scale ? own[row * per_row + col * per_row / cols] : 1.0f;
            if (n > 0) scale *= table[row / (rows / n) * c + col / (cols / c)];
            ASSERT_EQ(out.scales[i], scale) << row << " " << col;
          }
        }
      }
    }
  }
}

TEST(TernaryView, ScalesOfOtherFloatTypes) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    Tensors file;
    file.add("w", DType::kHfU8, {4, 8});  // a name without .weight is its own stem
    std::fill(file.bytes(0).begin(), file.bytes(0).end(), std::byte{0x55});
    file.add_floats("w.scale", dtype, {1}, {1.5f});
    const auto view = file.view();
    ASSERT_TRUE(view.ok()) << view.error().message;
    EXPECT_EQ(read(*view, 3, 2).scales, std::vector<float>(8, 1.5f));
  }
}

TEST(TernaryView, RefusesScalesThatAreNone) {
  const auto message = [](const std::vector<uint64_t>& shape, std::vector<float> values,
                          DType dtype = DType::kF32) {
    Tensors file;
    file.add("w.weight", DType::kIQ2_BN, {128, 6});
    if (dtype == DType::kF32) {
      file.add_floats("w.scale", dtype, shape, values);
    } else {
      file.add("w.scale", dtype, shape);
    }
    const auto view = file.view();
    return view.ok() ? std::string("accepted") : view.error().message;
  };
  EXPECT_EQ(message({3}, {1, 2, 3}), "accepted");
  EXPECT_EQ(message({2, 1}, {1, 2}), "accepted");
  EXPECT_THAT(message({4}, {1, 2, 3, 4}), HasSubstr("shape [4] for a matrix of 6 x 128"));
  EXPECT_THAT(message({7}, std::vector<float>(7, 1)), HasSubstr("n dividing the rows"));
  EXPECT_THAT(message({4, 1}, {1, 2, 3, 4}), HasSubstr("multiple of 64"));
  EXPECT_THAT(message({1, 1, 2}, {1, 2}), HasSubstr("shape [1, 1, 2]"));
  EXPECT_THAT(message({3}, {1, 0, 3}), HasSubstr("'w.scale' is 0"));
  EXPECT_THAT(message({3}, {1, -2, 3}), HasSubstr("'w.scale' is -2"));
  EXPECT_THAT(message({1}, {std::nanf("")}), HasSubstr("not finite"));
  EXPECT_THAT(message({1}, {INFINITY}), HasSubstr("not finite"));
  EXPECT_THAT(message({1}, {}, DType::kI32), HasSubstr("type i32, expected f32, f16 or bf16"));

  Tensors no_scale;
  no_scale.add("w.weight", DType::kHfU8, {4, 8});
  EXPECT_THAT(no_scale.view().error().message, HasSubstr("'w.scale' is missing"));
  Tensors dense;
  dense.add("w.weight", DType::kF32, {4, 8});
  EXPECT_THAT(dense.view().error().message, HasSubstr("expected a ternary one"));
}

// A negative scale anywhere, a zero for the whole tensor; zero for one row or group is a matrix with nothing
// there.
TEST(TernaryView, RefusesNegativeScalesOfTheContainer) {
  for (const float scale : {-1.0f, -0.0f, 0.0f}) {
    for (const DType dtype : {DType::kI2_S, DType::kIQ2_BN, DType::kTQ2_0}) {
      Tensors file;
      file.add("w.weight", dtype, {256, 4});
      const std::vector<float> scales(4, scale);
      ASSERT_TRUE(find_codec(dtype)
                      ->encode(std::vector<int8_t>(1024).data(), scales.data(), 4, 256, {}, file.bytes(0))
                      .ok());
      const auto view = file.view();
      ASSERT_TRUE(view.ok());
      const Read out = read(*view, 2, 2);
      EXPECT_EQ(out.status.ok(), scale == 0 && dtype != DType::kI2_S) << dtype_name(dtype) << " " << scale;
      if (!out.status.ok()) {
        EXPECT_THAT(out.status.error().message, HasSubstr("row 2: the weight scale is"));
      }
    }
  }
}

struct Affine {
  float scale, bias;
};

/// An MLX matrix of 3 rows whose group g of row r has affine(r * groups + g).
void add_mlx(Tensors& file, unsigned bits, uint64_t cols, uint64_t group, const std::vector<Affine>& affine,
             Random& random) {
  const uint64_t rows = 3, groups = cols / group;
  file.add("w.weight", bits == 1 ? DType::kMlx1 : DType::kMlx2, {cols, rows});
  for (std::byte& b : file.bytes(0)) b = static_cast<std::byte>(random.next());
  std::vector<float> scales, biases;
  for (uint64_t i = 0; i < rows * groups; ++i) {
    scales.push_back(affine[i % affine.size()].scale);
    biases.push_back(affine[i % affine.size()].bias);
  }
  file.add_floats("w.scales", DType::kF16, {groups, rows}, scales);
  file.add_floats("w.biases", DType::kF16, {groups, rows}, biases);
}

// scale * code + bias, from the words of the file, must be scale * trit of the view: exactly.
TEST(TernaryView, MlxGroupsAreWhatTheirAffineFormulaSays) {
  Random random(2);
  for (const unsigned bits : {1u, 2u}) {
    for (const uint64_t group : {64, 128}) {
      const std::vector<Affine> affine =
          bits == 1 ? std::vector<Affine>{{2, -1}, {0.5f, -0.25f}, {-3, 1.5f}, {0, 0}}
                    : std::vector<Affine>{{2, -2}, {0.125f, -0.125f}, {0, 0}};
      Tensors file;
      add_mlx(file, bits, 256, group, affine, random);
      const auto view = file.view();
      ASSERT_TRUE(view.ok()) << view.error().message;
      EXPECT_EQ(view->scale_scope, ScaleScope::kGroup);
      EXPECT_EQ(view->group_cols, group);
      EXPECT_EQ(view->companions.size(), 2u);
      for (const uint64_t begin : {0, 1, 2}) {
        const Read out = read(*view, begin, 3 - begin);
        ASSERT_TRUE(out.status.ok()) << out.status.error().message;
        for (uint64_t i = 0; i < out.trits.size(); ++i) {
          const uint64_t flat = begin * 256 + i, bit = flat * bits;
          uint32_t word = 0;
          std::memcpy(&word, file.bytes(0).data() + bit / 32 * 4, 4);
          const unsigned code = word >> bit % 32 & ((1u << bits) - 1);
          const Affine a = affine[flat / group % affine.size()];
          ASSERT_EQ(out.scales[i] * static_cast<float>(out.trits[i]),
                    a.scale * static_cast<float>(code) + a.bias)
              << bits << " bits, group " << group << ", weight " << flat;
        }
      }
    }
  }
}

TEST(TernaryView, MlxNegativeScaleAtTwoBitsNeedsCodesBelowThree) {
  for (const bool has_three : {false, true}) {
    Random random(3);
    Tensors file;
    add_mlx(file, 2, 64, 64, {{-0.5f, 0.5f}}, random);
    std::fill(file.bytes(0).begin(), file.bytes(0).end(), std::byte{0x24});  // codes 0 1 2 0
    if (has_three) file.bytes(0)[20] = std::byte{0x27};
    const Read out = read(*file.view(), 0, 3);
    ASSERT_EQ(out.status.ok(), !has_three);
    if (has_three) {
      EXPECT_THAT(out.status.error().message, HasSubstr("row 1, group 0: scale -0.5 and bias 0.5"));
      continue;
    }
    for (uint64_t i = 0; i < out.trits.size(); ++i) {
      constexpr int kExpected[] = {1, 0, -1, 1};
      ASSERT_EQ(out.trits[i], kExpected[i % 4]);
      ASSERT_EQ(out.scales[i], 0.5f);
    }
  }
}

TEST(TernaryView, RefusesMlxThatIsNotTernary) {
  const auto message = [](unsigned bits, uint64_t group, Affine affine) {
    Random random(4);
    Tensors file;
    add_mlx(file, bits, 128, group, {affine}, random);
    const auto view = file.view();
    if (!view.ok()) return view.error().message;
    const Read out = read(*view, 0, 3);
    return out.status.ok() ? std::string("accepted") : out.status.error().message;
  };
  EXPECT_EQ(message(2, 64, {1, -1}), "accepted");
  EXPECT_THAT(message(2, 64, {1, -1.5f}), HasSubstr("row 0, group 0: scale 1 and bias -1.5 are not"));
  EXPECT_THAT(message(2, 64, {1, 1}), HasSubstr("are not those of ternary"));
  EXPECT_EQ(message(1, 128, {1, -0.5f}), "accepted");
  EXPECT_THAT(message(1, 128, {1, -1}), HasSubstr("are not those of ternary or 1-bit weights"));
  EXPECT_THAT(message(2, 32, {1, -1}), HasSubstr("groups of a multiple of 64"));
  Tensors file;
  file.add("w.weight", DType::kMlx2, {128, 3});
  EXPECT_THAT(file.view().error().message, HasSubstr("'w.scales' is missing"));
  file.add("w.scales", DType::kF32, {2, 3});
  EXPECT_THAT(file.view().error().message, HasSubstr("'w.biases' is missing"));
  file.add("w.biases", DType::kF32, {1, 3});
  EXPECT_THAT(file.view().error().message, HasSubstr("2 groups of scales, but 1 of biases"));
}

// ---- --tl-config

TEST(TlConfig, KnownModelsHaveTilesThatTheirShapesTake) {
  struct Model {
    const char* name;
    std::vector<std::pair<uint64_t, uint64_t>> shapes;
  };
  const Model models[] = {
      {"bitnet_b1_58-large", {{1536, 4096}, {1536, 1536}, {4096, 1536}}},
      {"bitnet_b1_58-3B", {{3200, 8640}, {3200, 3200}, {8640, 3200}}},
      {"Llama3-8B-1.58-100B-tokens", {{14336, 4096}, {4096, 14336}, {1024, 4096}, {4096, 4096}}},
      {"Llama3-8B-1.58-100B-tokens-preset", {{14336, 4096}, {4096, 14336}, {1024, 4096}, {4096, 4096}}},
  };
  for (const Model& model : models) {
    EXPECT_THAT(TlConfig::known_names(), HasSubstr(model.name));
    const auto config = TlConfig::load(model.name);
    ASSERT_TRUE(config.ok()) << config.error().message;
    for (const auto& [rows, cols] : model.shapes) {
      for (const DType dtype : {DType::kTL1, DType::kTL2}) {
        const auto tile = config->tile(dtype, rows, cols);
        ASSERT_TRUE(tile.ok()) << tile.error().message;
        // No row is decoded: the shape alone is judged.
        const std::vector<std::byte> bytes(tensor_byte_size(dtype, rows, cols).value());
        const Status fits = find_codec(dtype)->decode(bytes, rows, cols, 0, 0, *tile, nullptr, nullptr);
        EXPECT_TRUE(fits.ok()) << model.name << ": " << fits.error().message;
      }
    }
    EXPECT_THAT(config->tile(DType::kTL1, 2560, 6912).error().message,
                HasSubstr("no tl1 tiles for 2560 x 6912"));
  }
}

TEST(TlConfig, ReadsKernelConfigIni) {
  const auto config = TlConfig::parse(
      "; made by codegen\n[Kernels_0]\nm = 3200\nk = 8640\nbm = 160\nbk = 64\nbmm = 32\n\n"
      "[Kernels_1]\r\nM=64\r\nK: 32\r\nBM=64\r\nBK=16\r\nbmm=64\r\nnote = anything\r\n# end");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->tile(DType::kTL1, 3200, 8640).value(), (TlTile{160, 64, 32}));
  EXPECT_EQ(config->tile(DType::kTL2, 64, 32).value(), (TlTile{64, 16, 64}));
  EXPECT_THAT(config->tile(DType::kTL2, 32, 64).error().message, HasSubstr("only for 3200 x 8640, 64 x 32"));
}

TEST(TlConfig, RefusesWhatIsNoKernelConfig) {
  const auto message = [](std::string_view text) {
    const auto config = TlConfig::parse(text);
    return config.ok() ? std::string("accepted") : config.error().message;
  };
  const std::string good = "[a]\nm=1\nk=2\nbm=3\nbk=4\nbmm=5\n";
  EXPECT_EQ(message(good), "accepted");
  EXPECT_THAT(message(""), HasSubstr("no section"));
  EXPECT_THAT(message("m=1\n"), HasSubstr("line 1: expected '[name]'"));
  EXPECT_THAT(message("[a]\nwords\n"), HasSubstr("line 2"));
  EXPECT_THAT(message("[a\n"), HasSubstr("line 1"));
  EXPECT_THAT(message("[a]\nm=1\nm=2\n"), HasSubstr("line 3: the key appears twice"));
  EXPECT_THAT(message("[a]\nm=0\n"), HasSubstr("line 2: expected a size"));
  EXPECT_THAT(message("[a]\nm=-1\n"), HasSubstr("found '-1'"));
  EXPECT_THAT(message("[a]\nm=9999999999\n"), HasSubstr("expected a size"));
  EXPECT_THAT(message("[a]\nm=1\nk=2\n"), HasSubstr("the section of line 1 lacks one of"));
  EXPECT_THAT(message(good + good), HasSubstr("lines 1 and 7 are both for 1 x 2"));
  const auto absent = TlConfig::load("no-such-model");
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(absent.error().message, HasSubstr("bitnet_b1_58-3B"));
}

TEST(TlConfig, ErrorsOfAFileNameIt) {
  const std::string path = testing::TempDir() + "tl_config_test.ini";
  std::ofstream(path) << "[a]\nm=x\n";
  const auto config = TlConfig::load(path);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message, HasSubstr(path));
  EXPECT_THAT(config.error().message, HasSubstr("line 2"));
}

}  // namespace
}  // namespace tern
