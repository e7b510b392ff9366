// SPDX-License-Identifier: MIT
// Text that a tiny model learns within seconds: independent sentences of a subject, a verb and an object,
// each drawn evenly, so that its entropy is known.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

namespace tern::test {

inline constexpr int kSentencesPerDocument = 6;

/// Documents separated by two empty lines; the same every time.
inline std::string small_grammar(int documents) {
  const char* who[] = {"the cat", "a bird", "my friend", "the old man", "a fox"};
  const char* does[] = {"sees", "likes", "follows", "finds"};
  const char* what[] = {"the moon", "a red ball", "the river", "some bread"};
  std::string text;
  uint64_t state = 1;
  const auto pick = [&](uint64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  };
  for (int d = 0; d < documents; ++d) {
    for (int s = 0; s < kSentencesPerDocument; ++s) {
      text += who[pick(5)];
      text += std::string(" ") + does[pick(4)] + " " + what[pick(4)] + ". ";
    }
    text += "\n\n\n";
  }
  return text;
}

/// Nats of a sentence that is drawn evenly: ln(5 * 4 * 4).
inline double nats_per_sentence() { return std::log(80.0); }

}  // namespace tern::test
