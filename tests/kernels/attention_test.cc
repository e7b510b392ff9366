// SPDX-License-Identifier: MIT
// The KV cache page and attention: every table repeats the scalar one bit for bit, touches nothing beyond the
// valid keys, and the scalar one is a softmax within its rounding bound.
#include <memory>

#include "core/float16.h"
#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

class AttentionEquality : public TableTest {};
INSTANTIATE_TEST_SUITE_P(Tables, AttentionEquality, faster_tables(), table_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AttentionEquality);
class AttentionDefinition : public TableTest {};
INSTANTIATE_TEST_SUITE_P(Tables, AttentionDefinition, every_table(), table_name);

int64_t element_bytes(KvType type) { return type == KvType::kF16 ? 2 : 4; }
KvAppendFn append_of(const KernelTable& table, KvType type) {
  return type == KvType::kF16 ? table.kv_append_f16 : table.kv_append_f32;
}
AttentionFn attention_of(const KernelTable& table, KvType type) {
  return type == KvType::kF16 ? table.attention_f16 : table.attention_f32;
}

/// The pages of one layer, each in guarded memory and full of NaN until something is appended.
class Pages {
 public:
  Pages(KvType type, int64_t kv_heads, int64_t head_dim, int64_t keys)
      : type_(type), kv_heads_(kv_heads), head_dim_(head_dim) {
    for (int64_t begin = 0; begin < keys; begin += kPageRows) {
      const int64_t bytes = kv_heads * 2 * kPageRows * head_dim * element_bytes(type);
      pages_.push_back(std::make_unique<Guarded<std::byte>>(
          std::vector<std::byte>(static_cast<size_t>(bytes), std::byte{0xff})));
      pointers_.push_back(pages_.back()->data());
    }
  }
  void append(const KernelTable& table, int64_t position, const float* key, const float* value) {
    append_of(table, type_)({pages_[static_cast<size_t>(position / kPageRows)]->data(), position % kPageRows,
                             kv_heads_, head_dim_, key, value});
  }
  const std::byte* const* pointers() const { return pointers_.data(); }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (const auto& page : pages_) all.insert(all.end(), page->data(), page->data() + page->size());
    return all;
  }

 private:
  KvType type_;
  int64_t kv_heads_, head_dim_;
  std::vector<std::unique_ptr<Guarded<std::byte>>> pages_;
  std::vector<const std::byte*> pointers_;
};

struct Case {
  KvType type;
  int64_t group, head_dim, keys;
  Values values = Values::kNormal;
  int64_t kv_heads = 1, kv_head = 0;
};

struct Problem {
  explicit Problem(const Case& test_case)
      : c(test_case),
        pages(c.type, c.kv_heads, c.head_dim, c.keys),
        q(random_floats(c.values, 1, c.group * c.head_dim)),
        k(random_floats(c.values, 2, c.keys * c.kv_heads * c.head_dim)),
        v(random_floats(c.values, 3, c.keys * c.kv_heads * c.head_dim)),
        scratch(64 * c.group) {
    for (int64_t i = 0; i < c.keys; ++i) {
      pages.append(scalar(), i, k.data() + i * c.kv_heads * c.head_dim,
                   v.data() + i * c.kv_heads * c.head_dim);
    }
  }
  AttentionArgs args(float* out) {
    AttentionArgs args{};
    args.q = q.data();
    args.group = c.group;
    args.head_dim = c.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    args.keys = c.keys;
    args.pages = pages.pointers();
    args.head_offset_bytes = c.kv_head * 2 * kPageRows * c.head_dim * element_bytes(c.type);
    args.scratch = scratch.data();
    args.out = out;
    return args;
  }
  Case c;
  Pages pages;
  Guarded<float> q, k, v, scratch;
};

void expect_equal(const KernelTable& table, const Case& c) {
  Problem problem(c);
  Guarded<float> expected(c.group * c.head_dim), actual(c.group * c.head_dim);
  attention_of(scalar(), c.type)(problem.args(expected.data()));
  attention_of(table, c.type)(problem.args(actual.data()));
  ASSERT_TRUE(same_bits(expected, actual))
      << "type " << static_cast<int>(c.type) << " group " << c.group << " head_dim " << c.head_dim << " keys "
      << c.keys << " values " << static_cast<int>(c.values);
}

const KvType kTypes[] = {KvType::kF16, KvType::kF32};
const int64_t kHeadDims[] = {1, 2, 3, 8, 15, 16, 17, 30, 32, 48, 64, 80, 96, 100, 128, 160, 172, 256};

TEST_P(AttentionEquality, EveryNumberOfKeys) {
  for (const KvType type : kTypes) {
    for (int64_t keys = 1; keys <= 200; ++keys) expect_equal(table, {type, 1 + keys % 4, 16, keys});
  }
}

TEST_P(AttentionEquality, EveryGroupAndHeadDim) {
  for (const KvType type : kTypes) {
    for (const int64_t head_dim : kHeadDims) {
      for (int64_t group = 1; group <= 8; ++group) {
        for (const int64_t keys : {1, 63, 70}) expect_equal(table, {type, group, head_dim, keys});
      }
    }
  }
}

TEST_P(AttentionEquality, LargerGroups) {
  for (const KvType type : kTypes) {
    for (const int64_t group : {9, 12, 16, 17, 32}) expect_equal(table, {type, group, 64, 100});
  }
}

TEST_P(AttentionEquality, EveryKindOfValue) {
  for (const KvType type : kTypes) {
    for (const Values values : kAllValues) {
      for (const int64_t head_dim : {16, 96, 100, 128}) {
        for (const int64_t keys : {1, 2, 17, 64, 65, 128, 150})
          expect_equal(table, {type, 4, head_dim, keys, values});
      }
    }
  }
}

TEST_P(AttentionEquality, LongContextAndOtherHeads) {
  for (const KvType type : kTypes) {
    expect_equal(table, {type, 4, 128, 1000});
    for (int64_t head = 0; head < 5; ++head)
      expect_equal(table, {type, 4, 128, 130, Values::kNormal, 5, head});
  }
}

/// A head of a group gives the bits it gives alone.
TEST_P(AttentionDefinition, GroupEqualsItsHeadsOneByOne) {
  for (const KvType type : kTypes) {
    for (int64_t group = 1; group <= 9; ++group) {
      Problem problem({type, group, 100, 90});
      Guarded<float> together(group * 100), alone(group * 100);
      attention_of(table, type)(problem.args(together.data()));
      for (int64_t g = 0; g < group; ++g) {
        AttentionArgs one = problem.args(alone.data() + g * 100);
        one.q += g * 100;
        one.group = 1;
        attention_of(table, type)(one);
      }
      ASSERT_TRUE(same_bits(alone, together)) << group;
    }
  }
}

/// One score at a time: key 0 scores 0, key 1 scores x, value 0 at key 0 and 1 at key 1, so out = e^x / (1 +
/// e^x). Below -17 that is exp_f32(x) itself. All floats of the binade [-64, -32), and a dense sample
/// elsewhere.
TEST_P(AttentionEquality, ExpOfEveryScore) {
  constexpr int64_t kGroup = 32;
  const float keys[] = {0.0f, 1.0f}, values[] = {0.0f, 1.0f};
  Pages pages(KvType::kF32, 1, 1, 2);
  for (int64_t i = 0; i < 2; ++i) pages.append(scalar(), i, keys + i, values + i);
  float q[kGroup], expected[kGroup], actual[kGroup], scratch[64 * kGroup];
  const auto run = [&](uint32_t first, uint32_t last, uint32_t step) {
    for (uint64_t bits = first; bits < last; bits += uint64_t{kGroup} * step) {
      for (uint32_t g = 0; g < kGroup; ++g)
        q[g] = std::bit_cast<float>(static_cast<uint32_t>(bits) + g * step);
      AttentionArgs args{q, kGroup, 1, 1.0f, 2, pages.pointers(), 0, scratch, expected};
      scalar().attention_f32(args);
      args.out = actual;
      table.attention_f32(args);
      ASSERT_TRUE(same_bits(expected, actual)) << "bits " << bits;
    }
  };
  run(std::bit_cast<uint32_t>(-32.0f), std::bit_cast<uint32_t>(-64.0f), 5);
  run(std::bit_cast<uint32_t>(-0.0f), std::bit_cast<uint32_t>(-90.0f), 1009);
  run(std::bit_cast<uint32_t>(0.0f), std::bit_cast<uint32_t>(90.0f), 1009);
  run(std::bit_cast<uint32_t>(-87.0f) - 2048, std::bit_cast<uint32_t>(-87.0f) + 2048, 1);
}

/// Infinite and NaN scores and values: NaN exactly where the formula has it.
TEST_P(AttentionEquality, NotFinite) {
  const float specials[] = {INFINITY, -INFINITY, NAN, std::numeric_limits<float>::max(), 0.0f};
  for (const KvType type : kTypes) {
    for (const float special : specials) {
      for (const int64_t at : {0, 5, 63, 64, 69}) {
        for (const bool in_value : {false, true}) {
          Problem problem({type, 3, 20, 70});
          (in_value ? problem.v : problem.k)[at * 20 + 7] = special;
          problem.pages.append(scalar(), at, problem.k.data() + at * 20, problem.v.data() + at * 20);
          Guarded<float> expected(60), actual(60);
          attention_of(scalar(), type)(problem.args(expected.data()));
          attention_of(table, type)(problem.args(actual.data()));
          ASSERT_TRUE(same_bits(expected, actual))
              << special << " at key " << at << (in_value ? " value" : " key");
        }
      }
    }
    Problem problem({type, 2, 16, 3});  // every score is -infinity
    for (int64_t i = 0; i < 3; ++i) {
      problem.k[i * 16] = -INFINITY;
      problem.pages.append(scalar(), i, problem.k.data() + i * 16, problem.v.data() + i * 16);
    }
    problem.q[0] = problem.q[16] = 1.0f;
    Guarded<float> expected(32), actual(32);
    attention_of(scalar(), type)(problem.args(expected.data()));
    attention_of(table, type)(problem.args(actual.data()));
    ASSERT_TRUE(same_bits(expected, actual));
    ASSERT_TRUE(std::isnan(expected[0]));
  }
}

TEST_P(AttentionDefinition, OneKeyGivesItsValue) {
  for (const int64_t head_dim : kHeadDims) {
    Problem problem({KvType::kF32, 2, head_dim, 1});
    Guarded<float> out(2 * head_dim);
    table.attention_f32(problem.args(out.data()));
    for (int64_t d = 0; d < head_dim; ++d) {  // p = 1, l = 1
      ASSERT_EQ(problem.v[d], out[d]);
      ASSERT_EQ(problem.v[d], out[head_dim + d]);
    }
  }
}

/// Against softmax in double. Score j is off by (head_dim + 2) * 2^-24 * scale * sum|q*k| (the chain) and its
/// distance to the maximum by one more rounding; exp_f32 adds 2 ulp, each block 4 roundings of the running
/// sums, the value chain one rounding per key. All relative to max|v|; twice the first-order sum leaves room
/// for higher orders.
TEST_P(AttentionDefinition, SoftmaxWithinItsBound) {
  for (const int64_t head_dim : {16, 96, 100, 128}) {
    for (const int64_t keys : {1, 10, 64, 65, 200, 700}) {
      Problem problem({KvType::kF32, 2, head_dim, keys});
      Guarded<float> out(2 * head_dim);
      const AttentionArgs args = problem.args(out.data());
      table.attention_f32(args);
      for (int64_t g = 0; g < 2; ++g) {
        std::vector<double> score(static_cast<size_t>(keys));
        double score_error = 0, highest = -1e300, lowest = 1e300, v_max = 0, l = 0;
        for (int64_t j = 0; j < keys; ++j) {
          double sum = 0, magnitude = 0;
          for (int64_t d = 0; d < head_dim; ++d) {
            const double product = double{problem.q[g * head_dim + d]} * problem.k[j * head_dim + d];
            sum += product, magnitude += std::fabs(product);
            v_max = std::max(v_max, std::fabs(double{problem.v[j * head_dim + d]}));
          }
          score[static_cast<size_t>(j)] = sum * args.scale;
          score_error =
              std::max(score_error, static_cast<double>(head_dim + 2) * 0x1p-24 * args.scale * magnitude);
          highest = std::max(highest, score[static_cast<size_t>(j)]);
          lowest = std::min(lowest, score[static_cast<size_t>(j)]);
        }
        for (double& s : score) l += s = std::exp(s - highest);
        const double roundings = static_cast<double>(keys + 4 * ((keys + 63) / 64) + 8) + (highest - lowest);
        const double bound = 2 * (2 * score_error + roundings * 0x1p-24) * v_max;
        for (int64_t d = 0; d < head_dim; ++d) {
          double expected = 0;
          for (int64_t j = 0; j < keys; ++j)
            expected += score[static_cast<size_t>(j)] / l * problem.v[j * head_dim + d];
          ASSERT_NEAR(expected, out[g * head_dim + d], bound) << head_dim << " " << keys;
        }
      }
    }
  }
}

// ---- append
// -------------------------------------------------------------------------------------------------------

TEST_P(AttentionEquality, AppendWritesItsSlotOnly) {
  for (const KvType type : kTypes) {
    for (const int64_t head_dim : kHeadDims) {
      for (const int64_t kv_heads : {1, 2, 5}) {
        Pages expected(type, kv_heads, head_dim, 1), actual(type, kv_heads, head_dim, 1);
        for (const int64_t slot : {0, 1, 31, 62, 63, 5}) {
          for (const Values values : kAllValues) {
            const Guarded<float> k = random_floats(values, static_cast<uint32_t>(slot), kv_heads * head_dim);
            const Guarded<float> v =
                random_floats(values, static_cast<uint32_t>(slot) + 100, kv_heads * head_dim);
            expected.append(scalar(), slot, k.data(), v.data());
            actual.append(table, slot, k.data(), v.data());
            ASSERT_EQ(expected.bytes(), actual.bytes()) << head_dim << " " << kv_heads << " " << slot;
          }
        }
      }
    }
  }
}

/// Rounding to f16: every half, every midpoint between two halves, the float below and above each, of both
/// signs; and everything past the largest half.
TEST_P(AttentionEquality, AppendRoundsToHalfExactly) {
  std::vector<float> inputs = {
      65504.0f, 65519.99f, 65520.0f, 65536.0f,        1e10f,    std::numeric_limits<float>::max(),
      INFINITY, 0x1p-24f,  0x1p-25f, 0x1.000002p-25f, 0x1p-26f, 0x1p-149f,
      0x1p-126f};
  for (uint32_t h = 0; h < 0x7c00; ++h) {
    const float value = f16_to_f32(static_cast<uint16_t>(h)), next = f16_to_f32(static_cast<uint16_t>(h + 1));
    const float middle = h == 0x7bff ? 65520.0f : value + (next - value) / 2;
    for (const float x : {value, middle}) {
      for (const float near : {std::nextafter(x, -1.0f), x, std::nextafter(x, INFINITY)})
        inputs.push_back(near);
    }
  }
  constexpr int64_t kDim = 256;
  for (size_t i = 0; i < inputs.size(); i += kDim) {
    std::vector<float> k(kDim), v(kDim);
    for (size_t d = 0; d < kDim; ++d) {
      k[d] = inputs[std::min(i + d, inputs.size() - 1)];
      v[d] = -k[d];
    }
    Pages expected(KvType::kF16, 1, kDim, 1), actual(KvType::kF16, 1, kDim, 1);
    expected.append(scalar(), 9, k.data(), v.data());
    actual.append(table, 9, k.data(), v.data());
    ASSERT_EQ(expected.bytes(), actual.bytes()) << "near " << k[0];
  }
}

TEST_P(AttentionDefinition, AppendPutsKeysTransposed) {
  constexpr int64_t kHeads = 2, kDim = 3;
  Pages pages(KvType::kF32, kHeads, kDim, 1);
  const float k[] = {1, 2, 3, 4, 5, 6}, v[] = {10, 20, 30, 40, 50, 60};
  pages.append(table, 7, k, v);
  const auto at = [&](int64_t element) {
    float f;
    std::memcpy(&f, pages.pointers()[0] + element * 4, 4);
    return f;
  };
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t d = 0; d < kDim; ++d) {
      EXPECT_EQ(k[h * kDim + d], at(h * 2 * 64 * kDim + d * 64 + 7));
      EXPECT_EQ(v[h * kDim + d], at(h * 2 * 64 * kDim + 64 * kDim + 7 * kDim + d));
    }
  }
}

}  // namespace
}  // namespace tern
