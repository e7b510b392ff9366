// SPDX-License-Identifier: MIT
// A backend that passes everything on to a real one and keeps the integers of each quantisation. For
// evaluations that start from the same integers: reference_test.cc, and the tool that dumps runs for
// tests/scripts.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "kernels/forwarding_backend.h"

namespace tern::test {

/// One quantisation of the run under test, in the order in which they happened.
struct RecordedRow {
  std::vector<int32_t> q;  // of 8 or 16 bits
  double act_scale;
};

/// Passes everything on to the CPU backend and keeps the integers of each quantisation; steps have one row.
class RecordingBackend : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  std::vector<RecordedRow> recorded;

  void quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    inner_.quantize(x, rows, width, out, bad);
    record(rows, width, *out);
  }
  void quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    inner_.quantize16(x, rows, width, out, bad);
    record(rows, width, *out);
  }

 private:
  void record(int64_t rows, int64_t width, const QuantizedRows& out) {
    TERN_CHECK(rows == 1, "a recorded step has one row");
    RecordedRow row{std::vector<int32_t>(out.q, out.q + width), double{out.act_scale[0]}};
    for (int64_t i = 0; out.planes == 2 && i < width; ++i)
      row.q[static_cast<size_t>(i)] = 256 * out.q[i] + out.q[out.k_padded + i];
    recorded.push_back(std::move(row));
  }
};

}  // namespace tern::test
