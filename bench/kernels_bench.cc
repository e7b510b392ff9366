// SPDX-License-Identifier: MIT
// How fast each kernel of each CPU table is, on one thread and the shapes of BitNet-b1.58-2B-4T (hidden 2560,
// intermediate 6912, 20 heads over 5 of 128, vocabulary 128256). Weights are read from a block far larger
// than the last cache, a different part at each call, as a decoding step does. Run by hand; the results stand
// in BENCHMARKS.md.
//   kernels_bench [--isa NAME] [--op PART] [--rounds N] [--weights-mb N] [--json]
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/cpu_features.h"
#include "core/memory.h"
#include "kernels/registry.h"

namespace tern {
namespace {

struct Options {
  std::string isa;  // empty: every runnable table but the scalar one
  std::string op;   // only ops that contain this
  int rounds = 15;  // samples per table; the tables take turns
  size_t weights_mb = 512;
  bool json = false;
};

/// One thing to measure. `run` performs the op once with the given table; call i uses part i of the weights.
struct Case {
  std::string op, shape;
  double bytes;  // weights or cache read per call (activations for the ops without either)
  double ops;    // multiplications and additions per call
  std::function<void(const KernelTable&, int64_t call)> run;
};

/// Time this thread has run, so that other jobs of the machine do not count (their use of caches and DRAM
/// does).
double thread_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

/// A block of memory of which each call takes the next part.
class Rotation {
 public:
  Rotation(const std::byte* begin, size_t size, size_t part)
      : begin_(begin), part_((part + 63) / 64 * 64), parts_(std::max<size_t>(1, size / part_)) {}
  const std::byte* part(int64_t call) const { return begin_ + static_cast<size_t>(call) % parts_ * part_; }

 private:
  const std::byte* begin_;
  size_t part_, parts_;
};

/// Everything the ops read and write, allocated once.
struct Data {
  Buffer weights;             // bytes that are harmless as any weight type
  std::vector<int8_t> q;      // [512, 6912]
  std::vector<int32_t> sums;  // block sums and sums: their values do not matter for speed
  std::vector<float> scales;  // weight scales, also of groups; act scales
  std::vector<float> x, u, y;
  std::vector<int8_t> q_out;
  std::vector<float> scratch;
  std::vector<const std::byte*> pages;
};

constexpr int64_t kHidden = 2560, kIntermediate = 6912, kHeads = 20, kKvHeads = 5, kHeadDim = 128;
constexpr int64_t kMaxTokens = 512;

Result<Data> make_data(size_t weights_mb) {
  Data d;
  TERN_TRY_ASSIGN(d.weights, Buffer::allocate(weights_mb << 20));
  // Halves in [0.125, 1): ordinary numbers as f16, as bf16, and as the upper half of an f32.
  std::mt19937 random(1);
  auto* half = d.weights.as<uint16_t>();
  for (size_t i = 0; i < d.weights.size() / 2; ++i)
    half[i] = static_cast<uint16_t>(0x3000 + random() % 0x0c00);
  d.q.resize(kMaxTokens * kIntermediate);
  for (auto& v : d.q) v = static_cast<int8_t>(random());
  d.sums.assign(kMaxTokens * kIntermediate / kColumnPad, 1);
  d.scales.assign(kIntermediate * kHidden / 64, 0.5f);
  d.x.resize(kMaxTokens * kIntermediate);
  for (auto& v : d.x) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  d.u = d.x;
  d.y.resize(kMaxTokens * 16384);
  d.q_out.resize(kIntermediate);
  d.scratch.resize(kIntermediate);
  return d;
}

Case ternary_case(Data& d, int64_t m, int64_t n, int64_t k, WeightScale kind) {
  const auto bytes = static_cast<size_t>(n * k / 4);
  const Rotation rotation(d.weights.data(), d.weights.size(), bytes);
  const bool grouped = kind == WeightScale::kGroup;
  return {grouped ? "ternary g128" : "ternary", fmt::format("M={} N={} K={}", m, n, k),
          static_cast<double>(bytes), 2.0 * static_cast<double>(m * n * k),
          [&d, rotation, m, n, k, kind](const KernelTable& t, int64_t call) {
            TernaryArgs a{};
            a.weights = reinterpret_cast<const uint8_t*>(rotation.part(call));
            a.k_padded = k;
            a.rows = n;
            a.scale_kind = kind;
            a.group_cols = 128;
            a.w_scale = d.scales.data();
            a.q = d.q.data();
            a.block_sums = a.sums = d.sums.data();
            a.act_scale = d.scales.data();
            a.tokens = m;
            a.panel_begin = 0;
            a.panel_end = n / kPanelRows;
            a.y = d.y.data();
            a.y_stride = n;
            t.ternary(a);
          }};
}

Case dense_case(Data& d, const char* op, DenseFn KernelTable::* function, int64_t row_bytes, int64_t m) {
  constexpr int64_t kRows = 8016;  // a sixteenth of the output head
  const auto bytes = static_cast<size_t>(kRows * row_bytes);
  const Rotation rotation(d.weights.data(), d.weights.size(), bytes);
  return {op, fmt::format("M={} N={} K={}", m, kRows, kHidden), static_cast<double>(bytes),
          2.0 * static_cast<double>(m * kRows * kHidden), [=, &d](const KernelTable& t, int64_t call) {
            DenseArgs a{};
            a.weights = rotation.part(call);
            a.row_bytes = row_bytes;
            a.cols = kHidden;
            a.dequantize = [](const std::byte*, uint64_t cols, float* out) { std::fill_n(out, cols, 0.5f); };
            a.scratch = d.scratch.data();
            a.x = d.x.data();
            a.x_stride = kHidden;
            a.tokens = m;
            a.row_end = kRows;
            a.y = d.y.data();
            a.y_stride = kRows;
            (t.*function)(a);
          }};
}

/// One kv head with its 4 query heads.
Case attention_case(Data& d, bool f16, int64_t keys) {
  const int64_t element = f16 ? 2 : 4, page_bytes = 2 * kPageRows * kHeadDim * element;
  const int64_t pages = (keys + kPageRows - 1) / kPageRows;
  const int64_t group = kHeads / kKvHeads;
  d.pages.resize(std::max(d.pages.size(), static_cast<size_t>(2 * pages)));
  return {f16 ? "attention_f16" : "attention_f32", fmt::format("keys={} group=4 dim=128", keys),
          static_cast<double>(2 * keys * kHeadDim * element),
          4.0 * static_cast<double>(group * keys * kHeadDim), [=, &d](const KernelTable& t, int64_t) {
            for (int64_t p = 0; p < pages; ++p)
              d.pages[static_cast<size_t>(p)] = d.weights.data() + p * page_bytes;
            AttentionArgs a{};
            a.q = d.x.data();
            a.group = group;
            a.head_dim = kHeadDim;
            a.scale = 0.088f;
            a.keys = keys;
            a.pages = d.pages.data();
            a.scratch = d.scratch.data();
            a.out = d.y.data();
            (f16 ? t.attention_f16 : t.attention_f32)(a);
          }};
}

void add_row_cases(Data& d, std::vector<Case>* cases) {
  for (const int64_t n : {kHidden, kIntermediate}) {
    const auto count = static_cast<double>(n);
    const std::string shape = fmt::format("n={}", n);
    cases->push_back({"rms_norm", shape, 12 * count, 4 * count, [&d, n](const KernelTable& t, int64_t) {
                        t.rms_norm(d.x.data(), d.u.data(), n, 1e-5f, d.y.data());
                      }});
    cases->push_back({"quantize", shape, 5 * count, 2 * count, [&d, n](const KernelTable& t, int64_t) {
                        t.quantize(d.x.data(), n, n, d.q_out.data(), d.sums.data(), d.sums.data() + 200);
                      }});
  }
  cases->push_back({"add", "n=2560", 12.0 * kHidden, 1.0 * kHidden,
                    [&d](const KernelTable& t, int64_t) { t.add(d.y.data(), d.u.data(), kHidden); }});
  for (const auto& [op, gate] :
       {std::pair{"gate_relu2", &KernelTable::gate_relu2}, std::pair{"gate_silu", &KernelTable::gate_silu}}) {
    cases->push_back(
        {op, "n=6912", 12.0 * kIntermediate, 3.0 * kIntermediate, [&d, gate](const KernelTable& t, int64_t) {
           (t.*gate)(d.x.data(), d.u.data(), kIntermediate, d.y.data());
         }});
  }
  for (const bool adjacent : {false, true}) {
    cases->push_back({adjacent ? "rope adjacent" : "rope halves", "heads=20 dim=128", 8.0 * kHeads * kHeadDim,
                      3.0 * kHeads * kHeadDim, [&d, adjacent](const KernelTable& t, int64_t) {
                        t.rope({d.y.data(), kHeads, kHeadDim, kHeadDim, adjacent, d.u.data(), d.u.data()});
                      }});
  }
  for (const bool f16 : {true, false}) {
    cases->push_back({f16 ? "kv_append_f16" : "kv_append_f32", "kv_heads=5 dim=128",
                      12.0 * kKvHeads * kHeadDim, 0, [&d, f16](const KernelTable& t, int64_t call) {
                        KvAppendArgs a{reinterpret_cast<std::byte*>(d.y.data()),
                                       call % kPageRows,
                                       kKvHeads,
                                       kHeadDim,
                                       d.x.data(),
                                       d.u.data()};
                        (f16 ? t.kv_append_f16 : t.kv_append_f32)(a);
                      }});
  }
}

std::vector<Case> make_cases(Data& d) {
  std::vector<Case> cases;
  for (const int64_t m : {1, 2, 4, 8})
    cases.push_back(ternary_case(d, m, kIntermediate, kHidden, WeightScale::kTensor));
  cases.push_back(ternary_case(d, 1, kHidden, kIntermediate, WeightScale::kTensor));
  cases.push_back(ternary_case(d, 1, kHidden, kHidden, WeightScale::kTensor));
  for (const int64_t m : {16, 128, 512})
    cases.push_back(ternary_case(d, m, kIntermediate, kHidden, WeightScale::kTensor));
  cases.push_back(ternary_case(d, 128, kHidden, kIntermediate, WeightScale::kTensor));
  for (const int64_t m : {1, 128})
    cases.push_back(ternary_case(d, m, kIntermediate, kHidden, WeightScale::kGroup));
  for (const int64_t m : {1, 8}) {
    cases.push_back(dense_case(d, "dense_f32", &KernelTable::dense_f32, kHidden * 4, m));
    cases.push_back(dense_case(d, "dense_f16", &KernelTable::dense_f16, kHidden * 2, m));
    cases.push_back(dense_case(d, "dense_bf16", &KernelTable::dense_bf16, kHidden * 2, m));
    cases.push_back(dense_case(d, "dense_q8_0", &KernelTable::dense_q8_0, kHidden / 32 * 34, m));
  }
  add_row_cases(d, &cases);
  for (const int64_t keys : {64, 512, 4096}) cases.push_back(attention_case(d, true, keys));
  cases.push_back(attention_case(d, false, 512));
  return cases;
}

/// ns per call of each table: medians of `rounds` samples of about 2 ms; the tables take turns.
std::vector<double> measure(const Case& c, const std::vector<KernelTable>& tables, int rounds) {
  std::vector<std::vector<double>> samples(tables.size());
  std::vector<int64_t> calls(tables.size(), 1);
  int64_t call = 0;
  const auto sample = [&](size_t table) {
    const double begin = thread_ns();
    for (int64_t i = 0; i < calls[table]; ++i) c.run(tables[table], call++);
    return (thread_ns() - begin) / static_cast<double>(calls[table]);
  };
  for (size_t t = 0; t < tables.size(); ++t) {
    sample(t);
    calls[t] = std::clamp<int64_t>(static_cast<int64_t>(2e6 / std::max(1.0, sample(t))), 1, 100000);
  }
  for (int round = 0; round < rounds; ++round)
    for (size_t t = 0; t < tables.size(); ++t) samples[t].push_back(sample(t));
  std::vector<double> medians;
  for (auto& s : samples) {
    std::nth_element(s.begin(), s.begin() + rounds / 2, s.end());
    medians.push_back(s[static_cast<size_t>(rounds / 2)]);
  }
  return medians;
}

Result<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == argc) return make_error(ErrorCode::kUsage, "{} is unknown or lacks its value", flag);
    const std::string_view value = argv[++i];
    const auto number = [&](auto* out, int least) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *out);
      return error == std::errc{} && end == value.data() + value.size() &&
             *out >= static_cast<decltype(+*out)>(least);
    };
    bool good = true;
    if (flag == "--isa") {
      options.isa = value;
    } else if (flag == "--op") {
      options.op = value;
    } else if (flag == "--rounds") {
      good = number(&options.rounds, 1);
    } else if (flag == "--weights-mb") {
      good = number(&options.weights_mb, 90);  // the largest part is an f32 slice of the head, 82 MB
    } else {
      good = false;
    }
    if (!good) return make_error(ErrorCode::kUsage, "{} {}: unknown flag or bad value", flag, value);
  }
  return options;
}

Status run(int argc, char** argv) {
  TERN_TRY_ASSIGN(const Options options, parse(argc, argv));
  const uint64_t features = detect_cpu_features();
  std::vector<KernelTable> tables;
  for (const KernelTable* table : kernel_tables()) {
    if (options.isa.empty() ? table->needs == 0 || (table->needs & ~features) != 0
                            : table->name != options.isa)
      continue;
    TERN_TRY_ASSIGN(const KernelTable chosen, choose_kernels(table->name, features));
    tables.push_back(chosen);
  }
  if (tables.empty())
    return make_error(ErrorCode::kUsage, "nothing to measure: --isa is one of {}", known_isas());

  TERN_TRY_ASSIGN(Data data, make_data(options.weights_mb));
  nlohmann::json rows = nlohmann::json::array();
  if (!options.json) {
    fmt::print("{}, 1 thread, {} rounds, {} MB of weights\n", cpu_model_name(), options.rounds,
               options.weights_mb);
    fmt::print("{:<14} {:<7} {:<24} {:>12} {:>8} {:>9}\n", "op", "isa", "shape", "ns", "GB/s", "GOP/s");
  }
  for (const Case& c : make_cases(data)) {
    if (c.op.find(options.op) == std::string::npos) continue;
    const std::vector<double> ns = measure(c, tables, options.rounds);
    for (size_t t = 0; t < tables.size(); ++t) {
      if (options.json) {
        rows.push_back({{"op", c.op},
                        {"isa", tables[t].name},
                        {"shape", c.shape},
                        {"ns", ns[t]},
                        {"gb_per_s", c.bytes / ns[t]},
                        {"gop_per_s", c.ops / ns[t]}});
      } else {
        fmt::print("{:<14} {:<7} {:<24} {:>12.0f} {:>8.1f} {:>9.1f}\n", c.op, tables[t].name, c.shape, ns[t],
                   c.bytes / ns[t], c.ops / ns[t]);
        std::fflush(stdout);
      }
    }
  }
  if (options.json) {
    const nlohmann::json report = {
        {"cpu", cpu_model_name()}, {"threads", 1}, {"rounds", options.rounds}, {"rows", rows}};
    fmt::print("{}\n", report.dump(2));
  }
  return {};
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  const tern::Status status = tern::run(argc, argv);
  if (status.ok()) return 0;
  fmt::print(stderr, "kernels_bench: {}\n", status.error().message);
  return status.error().code == tern::ErrorCode::kUsage ? 2 : 1;
}
