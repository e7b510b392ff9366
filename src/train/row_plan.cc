// SPDX-License-Identifier: MIT
#include "train/row_plan.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "core/check.h"
#include "train/hash.h"

namespace tern::train {
namespace {

constexpr size_t kLookAhead = 32;

// A number below `bound`; the bias of 2^-32 and less does not matter here.
uint64_t below(uint64_t random, uint64_t bound) { return ((random >> 32) * bound) >> 32; }

// Fisher-Yates with a counter-based generator.
template <class T>
void shuffle(std::vector<T>& list, uint64_t seed) {
  TERN_CHECK(list.size() < UINT32_MAX, "a list that below() can index");
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[below(mix64(mix64(seed) + i), i)]);
}

}  // namespace

void shuffle_documents(std::vector<DocumentLength>& documents, uint64_t seed) { shuffle(documents, seed); }

RowPlan plan_stream(std::span<const DocumentLength> documents, uint32_t context, uint64_t skip,
                    bool keep_rest) {
  RowPlan plan;
  uint32_t filled = 0;
  const auto close = [&] {
    plan.row_begin.push_back(static_cast<uint32_t>(plan.pieces.size()));
    filled = 0;
  };
  for (const DocumentLength& d : documents) {
    const auto skipped = static_cast<uint32_t>(std::min<uint64_t>(skip, d.columns));
    skip -= skipped;
    for (uint32_t at = skipped; at < d.columns;) {
      const uint32_t columns = std::min(context - filled, d.columns - at);
      plan.pieces.push_back({d.document, at, columns});
      at += columns;
      filled += columns;
      if (filled == context) close();
    }
  }
  if (filled > 0 && (keep_rest || plan.num_rows() == 0)) close();
  plan.pieces.resize(plan.row_begin.back());
  return plan;
}

RowPlan plan_whole(std::span<const DocumentLength> documents, uint32_t context) {
  RowPlan plan;
  std::deque<Piece> waiting;
  size_t next = 0;
  const auto refill = [&] {
    while (waiting.size() < kLookAhead && next < documents.size()) {
      const DocumentLength& d = documents[next++];
      for (uint32_t at = 0; at < d.columns; at += context) {
        waiting.push_back({d.document, at, std::min(context, d.columns - at)});
      }
    }
  };
  for (refill(); !waiting.empty();) {
    uint32_t free = context;
    for (;;) {
      const auto fits =
          std::find_if(waiting.begin(), waiting.end(), [&](const Piece& p) { return p.columns <= free; });
      if (fits == waiting.end()) break;
      free -= fits->columns;
      plan.pieces.push_back(*fits);
      waiting.erase(fits);
      refill();
    }
    plan.row_begin.push_back(static_cast<uint32_t>(plan.pieces.size()));
  }
  return plan;
}

std::vector<int32_t> apportion(std::span<const double> shares, int32_t rows) {
  std::vector<int32_t> counts;
  std::vector<std::pair<double, size_t>> remainders;  // greatest first
  int32_t left = rows;
  for (size_t i = 0; i < shares.size(); ++i) {
    const double exact = shares[i] * rows;
    counts.push_back(static_cast<int32_t>(std::floor(exact)));
    left -= counts.back();
    if (shares[i] > 0) remainders.emplace_back(counts.back() - exact, i);
  }
  std::sort(remainders.begin(), remainders.end());
  for (size_t i = 0; left > 0; i = (i + 1) % remainders.size(), --left) ++counts[remainders[i].second];
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] > 0 && counts[i] == 0) {
      --*std::max_element(counts.begin(), counts.end());
      ++counts[i];
    }
  }
  return counts;
}

std::vector<int32_t> mixture_cycle(std::span<const int32_t> counts, uint64_t seed) {
  std::vector<int32_t> cycle;
  for (size_t i = 0; i < counts.size(); ++i) cycle.insert(cycle.end(), counts[i], static_cast<int32_t>(i));
  shuffle(cycle, seed);
  return cycle;
}

}  // namespace tern::train
