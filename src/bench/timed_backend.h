// SPDX-License-Identifier: MIT
// A backend that forwards every op to another one and writes down what ran, when, and how many bytes it had
// to read. tern bench and tern profile put it between a runner and the CPU backend; nothing else pays for it.
#pragma once

#include <chrono>
#include <vector>

#include "kernels/forwarding_backend.h"

namespace tern {

/// Classes of ops, as the reports name them.
enum class OpClass : uint8_t {
  kEmbed,
  kNorm,
  kQuantize,
  kTernary,
  kDense,
  kRope,
  kAppendKv,
  kAttention,
  kGate,
  kAdd
};
inline constexpr int kOpClasses = 10;
std::string_view op_class_name(OpClass op);

/// One op of one step.
struct OpEvent {
  OpClass op = OpClass::kEmbed;
  int64_t rows = 0;
  double bytes = 0;                 // weights or cache that the op reads (activations where it reads neither)
  double operations = 0;            // multiplications and additions of matrix products and attention, else 0
  double begin_us = 0, end_us = 0;  // since the backend was made
  int64_t layer = -1;               // -1 outside of the layers; filled by label_events()
  std::string_view name = {};       // "attn_q", "ffn_down", ..., filled by label_events()
};

class TimedBackend final : public ForwardingBackend {
 public:
  /// `inner` is borrowed.
  explicit TimedBackend(Backend& inner)
      : ForwardingBackend(inner), start_(std::chrono::steady_clock::now()) {}

  /// Off at the start: ops are then passed on at the cost of a branch.
  void record(bool on) { is_recording_ = on; }
  /// What was recorded since the last call.
  std::vector<OpEvent> take_events() { return std::exchange(events_, {}); }

  void embed(const DenseWeight& table, std::span<const int32_t> tokens, float* h) override;
  void embed_ternary(const PackedWeight& table, std::span<const int32_t> tokens, float* h) override;
  void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t width,
                float* y) override;
  void quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override;
  void quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override;
  void ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) override;
  void ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows, float* y) override;
  void dense_matmul(const float* x, const DenseWeight& weight, int64_t rows, float* y) override;
  void rope(float* x, int64_t rows, int64_t heads, int64_t head_dim, int64_t rope_dim, bool adjacent_pairs,
            const float* cos, const float* sin) override;
  void append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places, const float* k,
                 const float* v, uint8_t* bad) override;
  void attention(const KvView& kv, int64_t layer, std::span<const RowPlace> places, int64_t num_heads,
                 const float* q, float* out) override;
  void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) override;
  void add(float* x, const float* y, int64_t count) override;

 private:
  double now_us() const {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start_).count();
  }
  template <class Op>
  void timed(OpEvent event, const Op& op);

  std::chrono::steady_clock::time_point start_;
  std::vector<OpEvent> events_;
  bool is_recording_ = false;
};

/// Tells each event its layer and, for matrix products, its part of the block, from the order in which the
/// forward pass calls them. The events must begin with a step's first op.
void label_events(std::vector<OpEvent>& events, int64_t num_layers);

}  // namespace tern
