#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes a Hugging Face directory of packed uint8 with random weights in the shape of a real model, in shards.

make_hf_checkpoint.py FOLDER [--layers N] [--shard-gib X]

The shape is that of Llama3-8B-1.58 (weight_scale divides). For measuring tern convert at full size; the text such a model
writes means nothing. Needs numpy.
"""

import argparse
import json
import pathlib

import numpy as np

HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 4096, 14336, 32, 8, 128, 128256


def packed_table():
    """65,536 bytes of four codes each, 40 % of them 1 (weight 0), the others 0 and 2."""
    rng = np.random.default_rng(1)
    codes = rng.choice(np.array([0, 1, 2], dtype=np.uint8), size=(65536, 4), p=[0.3, 0.4, 0.3])
    return codes[:, 0] | codes[:, 1] << 2 | codes[:, 2] << 4 | codes[:, 3] << 6


def bf16(values):
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def tensors(layers, rng, table):
    """(name, dtype, shape, function that makes the array)"""

    def packed(rows, cols):
        return lambda: table[rng.integers(0, 65536, size=(rows // 4, cols), dtype=np.uint16)]

    def table_of_floats(rows, cols):
        return lambda: (rng.integers(0, 1 << 15, size=(rows, cols), dtype=np.uint16) & 0x807F) | 0x3C00 | (
            rng.integers(0, 2, size=(rows, cols), dtype=np.uint16) << 15)

    def norm(width):
        return lambda: bf16(1 + rng.integers(-64, 64, size=width) / 512)

    yield "model.embed_tokens.weight", "BF16", [VOCAB, HIDDEN], table_of_floats(VOCAB, HIDDEN)
    shapes = {"self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN), "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
              "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
              "mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", "BF16", [HIDDEN], norm(HIDDEN)
        yield prefix + "post_attention_layernorm.weight", "BF16", [HIDDEN], norm(HIDDEN)
        for name, (rows, cols) in shapes.items():
            yield prefix + name + ".weight", "U8", [rows // 4, cols], packed(rows, cols)
            scale = np.sqrt(0.6 * cols)  # weight_scale divides: outputs of deviation 1
            yield prefix + name + ".weight_scale", "BF16", [1], lambda scale=scale: bf16(np.array([scale]))
    yield "model.norm.weight", "BF16", [HIDDEN], norm(HIDDEN)
    yield "lm_head.weight", "BF16", [VOCAB, HIDDEN], table_of_floats(VOCAB, HIDDEN)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--shard-gib", type=float, default=1.5)
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    rng, table = np.random.default_rng(2), packed_table()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
              "intermediate_size": FFN, "num_hidden_layers": args.layers, "num_attention_heads": HEADS,
              "num_key_value_heads": KV_HEADS, "vocab_size": VOCAB, "max_position_embeddings": 8192,
              "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False,
              "quantization_config": {"quant_method": "bitnet"}}
    (args.folder / "config.json").write_text(json.dumps(config, indent=1))
    shards, sizes = [[]], [0]
    for entry in tensors(args.layers, rng, table):
        size = int(np.prod(entry[2])) * (1 if entry[1] == "U8" else 2)
        if sizes[-1] and sizes[-1] + size > args.shard_gib * 2**30:
            shards.append([])
            sizes.append(0)
        shards[-1].append(entry + (size,))
        sizes[-1] += size
    weight_map = {}
    for number, entries in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        header, offset = {}, 0
        for tensor, dtype, shape, _, size in entries:
            header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
            weight_map[tensor] = name
            offset += size
        text = json.dumps(header).encode()
        with open(args.folder / name, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, _, _, make, _ in entries:
                make().tofile(file)
    (args.folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    print(f"{args.folder}: {len(shards)} shards, {sum(sizes):,} bytes")


if __name__ == "__main__":
    main()
