#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What tern convert --for llama.cpp writes loads in llama.cpp (node-llama-cpp's prebuilt library from npm) and its greedy tokens
# agree as far as its numerics allow. Optional: 85 MB are downloaded, so it runs only with TERN_TEST_LLAMACPP=1.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${TERN_TEST_BUILD:-$root/build/release}"
[ "${TERN_TEST_LLAMACPP:-0}" = 1 ] || { echo "skip llamacpp: set TERN_TEST_LLAMACPP=1 (downloads 85 MB from npm)"; exit 0; }
command -v node >/dev/null && command -v npm >/dev/null || { echo "skip llamacpp: no node or npm"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
timeout 300 npm install --ignore-scripts --omit=optional --no-audit --no-fund node-llama-cpp@3 @node-llama-cpp/linux-x64@3 \
  >npm.log 2>&1 || { echo "skip llamacpp: npm's registry is not reachable"; exit 0; }

cat >greedy.mjs <<'EOF'
import {getLlama} from "node-llama-cpp";
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2]});
for (const prompt of process.argv.slice(3)) {
  const context = await model.createContext({contextSize: 128});
  for await (const token of context.getSequence().evaluate(prompt.split(",").map(Number), {temperature: 0, topK: 1})) {
    console.log(token);
    break;
  }
  await context.dispose();
}
process.exit(0);
EOF
prompts=(5,77,200 1,2,3 9,9,9 100,50,25,12 33 64,128,192 7,14,21,28,35 250,3)
failures=0
for shape in llama-ternary-small; do
  "$build/make_model" --shape "$shape" --seed 3 --out "$work/m.gguf" >/dev/null 2>&1
  for type in tq2_0 tq1_0; do
    rm -f "$work/l.gguf"
    if ! "$build/tern" convert "$work/m.gguf" "$work/l.gguf" --for llama.cpp --type "$type" >/dev/null 2>err; then
      echo "not ok llamacpp: convert $type"
      cat err
      failures=1
      continue
    fi
    if ! timeout 120 node greedy.mjs "$work/l.gguf" "${prompts[@]}" >theirs 2>err; then
      echo "not ok llamacpp: $type does not load"
      tail -5 err
      failures=1
      continue
    fi
    for prompt in "${prompts[@]}"; do
      "$build/tern" run "$work/l.gguf" --tokens "$prompt" -n 1 --temp 0 --json </dev/null |
        python3 -c 'import json,sys; print(*json.load(sys.stdin)["tokens"])'
    done >ours
    same=$(paste theirs ours | awk '$1 == $2' | wc -l)
    # Its activations are rounded per 256 columns and its scales to f16: near ties may fall the other way, most may not.
    if [ "$same" -ge 6 ]; then
      echo "ok llamacpp: $shape as $type, $same of ${#prompts[@]} first tokens are the same"
    else
      echo "not ok llamacpp: $shape as $type, only $same of ${#prompts[@]} first tokens are the same"
      failures=1
    fi
  done
done
exit $failures
