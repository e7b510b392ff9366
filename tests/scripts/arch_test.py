#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every architecture against an independent evaluation in float64.

usage: arch_test.py MAKE_MODEL DUMP_RUN

A small random model of each family is written as GGUF (make_model) and run by tern (dump_run: the integers of every
quantisation and the logits). This script reads the file by itself and evaluates the model with numpy, written from the
formats' and the models' descriptions alone; nothing is shared with tern but the file. Prints `ok NAME: figures` or
`not ok NAME: reason` per model. Exits with 77 (skipped) where numpy is not installed.

Rounding activations to integers makes the function jump, and no bound on floats survives that. So the integers are taken
from tern's run; each must be what this evaluation rounds to as well, up to float error around the border, and given the
same integers both must agree to float error. Bounds (tests/model/reference_test.cc derives them): logits 1e-4 of
(1 + the largest), activation scales 1e-4 relative, integers half a step plus 1e-4 of the largest.
Weight-only models (16 bits) are evaluated without any rounding of activations too. Its steps are a/32639 for a row whose
largest value is a: noise of a/(32639 sqrt 12), that is 5e-5 of a row's deviation where a is six deviations; nine such
linears in a row add up to 1.6e-4, and the largest of 20,000 logits lies at 4.5 deviations: bound 1e-3 of the largest.
"""
import math
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("SKIPPED: python3-numpy is not installed")
    sys.exit(77)

TOKENS = 70  # into the second page of the cache


# ---- the container


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, code):
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def string(self):
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, count = self.take("i"), self.take("Q")
            return [self.value(inner) for _ in range(count)]
        return self.take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])


def ceil_to(n, multiple):
    return (n + multiple - 1) // multiple * multiple


class Gguf:
    """Keys, and tensors as float64 matrices [rows, cols] (vectors as [1, n])."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        r = Reader(data)
        assert r.take("I") == 0x46554747 and r.take("I") == 3
        tensors, keys = r.take("Q"), r.take("Q")
        self.keys = {}
        for _ in range(keys):
            name = r.string()
            self.keys[name] = r.value(r.take("i"))
        self.infos = {}
        for _ in range(tensors):
            name = r.string()
            shape = [r.take("Q") for _ in range(r.take("I"))]
            self.infos[name] = (shape, r.take("i"), r.take("Q"))
        self.base = ceil_to(r.at, 32)
        self.data = data

    def __contains__(self, name):
        return name in self.infos

    def tensor(self, name):
        shape, kind, offset = self.infos[name]
        cols, rows = shape[0], int(np.prod(shape[1:], dtype=np.int64))
        raw = np.frombuffer(self.data, dtype=np.uint8, offset=self.base + offset)
        w = DECODERS[kind](raw, rows, cols)
        scale = name[: -len("weight")] + "scale"
        return w * self.tensor(scale)[0, 0] if kind > 30 and scale in self.infos else w


# ---- the element types (shapes of blocks: bytes of scale, of codes)


def f16(raw):
    return np.frombuffer(raw.tobytes(), dtype="<f2").astype(np.float64)


def dense(dtype):
    def decode(raw, rows, cols):
        size = np.dtype(dtype).itemsize
        flat = np.frombuffer(raw[: rows * cols * size].tobytes(), dtype=dtype)
        return flat.astype(np.float64).reshape(rows, cols)

    return decode


def bf16(raw, rows, cols):
    words = np.frombuffer(raw[: rows * cols * 2].tobytes(), dtype="<u2").astype(np.uint32) << 16
    return words.view(np.float32).astype(np.float64).reshape(rows, cols)


def q8_0(raw, rows, cols):
    b = raw[: rows * cols // 32 * 34].reshape(-1, 34)
    return (f16(b[:, :2])[:, None] * b[:, 2:].view(np.int8)).reshape(rows, cols)


def i2_s(raw, rows, cols):
    """128 weights in 32 bytes over the flattened matrix: weight 32 g + p in bits 7-2g.. of byte p; one scale behind."""
    b = raw[: rows * cols // 4].reshape(-1, 1, 32)
    codes = b >> np.array([6, 4, 2, 0], dtype=np.uint8).reshape(1, 4, 1) & 3
    scale = np.frombuffer(raw[rows * cols // 4 :][:4].tobytes(), dtype="<f4")[0]
    return float(scale) * (codes.reshape(rows, cols).astype(np.float64) - 1)


def lsb_pairs(b):
    """Four weights a byte, the first in the two least significant bits."""
    return (b[:, :, None] >> np.array([0, 2, 4, 6], dtype=np.uint8) & 3).reshape(len(b), -1).astype(np.float64) - 1


def q2_0(group):
    def decode(raw, rows, cols):
        b = raw[: rows * cols // group * (2 + group // 4)].reshape(-1, 2 + group // 4)
        return (f16(b[:, :2])[:, None] * lsb_pairs(b[:, 2:])).reshape(rows, cols)

    return decode


def q1_0(raw, rows, cols):
    b = raw[: rows * cols // 128 * 18].reshape(-1, 18)
    bits = np.unpackbits(b[:, 2:], axis=1, bitorder="little").astype(np.float64)
    return (f16(b[:, :2])[:, None] * (2 * bits - 1)).reshape(rows, cols)


def tq2_0(raw, rows, cols):
    """Element 128 h + 32 l + m in bits 2l.. of byte 32 h + m; the scale behind the codes."""
    b = raw[: rows * cols // 256 * 66].reshape(-1, 66)
    codes = b[:, :64].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], dtype=np.uint8).reshape(1, 1, 4, 1) & 3
    return (f16(b[:, 64:])[:, None] * (codes.reshape(-1, 256).astype(np.float64) - 1)).reshape(rows, cols)


def trits(b, count):
    """b [blocks, m] -> [blocks, count, m]: trit n of a byte, the most significant first."""
    powers = np.array([1, 3, 9, 27, 81], dtype=np.uint16)[:count].reshape(1, count, 1)
    return ((b[:, None, :].astype(np.uint16) * powers % 256 * 3) >> 8).astype(np.float64) - 1


def base3(parts, block, scale_at):
    """parts: (first byte, bytes, trits a byte) in the order of the elements."""

    def decode(raw, rows, cols):
        size = scale_at + 2
        b = raw[: rows * cols // block * size].reshape(-1, size)
        pieces = [trits(b[:, at : at + n], count).reshape(len(b), -1) for at, n, count in parts]
        return (f16(b[:, scale_at:])[:, None] * np.concatenate(pieces, axis=1)).reshape(rows, cols)

    return decode


def iq2_bn(raw, rows, cols):
    """A row: f32 scale, then 64 weights in 16 bytes: weight 16 g + j in bits 2g.. of byte j."""
    b = raw[: rows * (4 + cols // 4)].reshape(rows, -1)
    scale = np.frombuffer(b[:, :4].tobytes(), dtype="<f4").astype(np.float64)
    codes = b[:, 4:].reshape(rows, -1, 1, 16) >> np.array([0, 2, 4, 6], dtype=np.uint8).reshape(1, 1, 4, 1) & 3
    return scale[:, None] * (codes.reshape(rows, cols).astype(np.float64) - 1)


DECODERS = {
    0: dense("<f4"), 1: dense("<f2"), 8: q8_0, 30: bf16,
    34: base3([(0, 32, 5), (32, 16, 5), (48, 4, 4)], 256, 52), 35: tq2_0, 36: i2_s, 41: q1_0, 42: q2_0(64),
    135: iq2_bn, 142: q2_0(128), 143: base3([(0, 16, 5), (16, 8, 5), (24, 2, 4)], 128, 26),
}


# ---- the run of tern


class Run:
    def __init__(self, path):
        with open(path, "rb") as file:
            r = Reader(file.read())
        self.steps = []  # (token, [(integers, act_scale)], logits)
        for _ in range(TOKENS):
            token, rows = r.take("i"), []
            for _ in range(r.take("i")):
                width, act_scale = r.take("i"), r.take("d")
                rows.append((self.array(r, "<i4", width).astype(np.float64), act_scale))
            self.steps.append((token, rows, self.array(r, "<f4", r.take("i"))))
        self.hidden = self.array(r, "<f4", (len(r.data) - r.at) // 4)

    @staticmethod
    def array(r, dtype, count):
        r.at += 4 * count
        return np.frombuffer(r.data[r.at - 4 * count : r.at], dtype=dtype)


# ---- the evaluation


class Model:
    """`without`: parts left out on purpose, to see that the comparison notices."""

    def __init__(self, file, without=()):
        k = file.keys
        self.arch = a = k["general.architecture"]
        self.file, self.without, self.cache = file, without, {}
        self.hidden, self.layers = k[a + ".embedding_length"], k[a + ".block_count"]
        self.heads = k[a + ".attention.head_count"]
        self.kv_heads = k.get(a + ".attention.head_count_kv", self.heads)
        self.head_dim = k.get(a + ".attention.key_length", self.hidden // self.heads)
        self.eps = k[a + ".attention.layer_norm_rms_epsilon"]
        self.relu2 = k.get(a + ".hidden_activation", "silu") == "relu2"
        self.adjacent = a in ("llama", "bitllama")
        if "rope_pairs" in without:
            self.adjacent = not self.adjacent
        self.angles, self.magnitude = self.frequencies(k)
        self.keys = [[] for _ in range(self.layers)]
        self.values = [[] for _ in range(self.layers)]
        self.position = 0
        self.rows = None  # recorded quantisations, or None: real numbers
        self.worst = {"integers": 0.0, "scales": 0.0}

    def frequencies(self, k):
        d, theta = self.head_dim, k.get(self.arch + ".rope.freq_base", 10000.0)
        inverse = theta ** (-np.arange(0, d, 2) / d)
        prefix = self.arch + ".rope.scaling."
        if k.get(prefix + "type") != "yarn" or "yarn" in self.without:
            return inverse, 1.0
        factor, original = k[prefix + "factor"], k[prefix + "original_context_length"]

        def dim_of(rotations):
            return d * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

        low, high = max(math.floor(dim_of(32)), 0), min(math.ceil(dim_of(1)), d - 1)
        ramp = np.clip((np.arange(d // 2) - low) / max(high - low, 0.001), 0, 1)
        return inverse / factor * ramp + inverse * (1 - ramp), 0.1 * math.log(factor) + 1

    def weight(self, name):
        if name not in self.cache:
            self.cache[name] = self.file.tensor(name)
        return self.cache[name]

    def is_ternary(self, name):
        return self.file.infos[name][1] > 30

    def norm(self, x, name):
        w = self.weight(name)[0]
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps) * w

    def quantised(self, x):
        """What the recorded integers stand for, checked against x."""
        q, s = self.rows[self.next]
        self.next += 1
        assert len(q) == len(x), "a quantisation of width %d was recorded where %d is needed" % (len(q), len(x))
        a, top = max(1e-5, np.max(np.abs(x))), 127 if self.bits == 8 else 32639
        self.worst["scales"] = max(self.worst["scales"], abs(s * a / top - 1))
        self.worst["integers"] = max(self.worst["integers"], np.max(np.abs(x * (top / a) - q)) - 0.5)
        return q / s

    def linear(self, stem, x, shared):
        """`shared`: the quantised x of the projections that have it in common."""
        own_norm = stem + "_norm_in.weight"
        if own_norm in self.file:
            x, shared = x if "linear_norms" in self.without else self.norm(x, own_norm), {}
        if self.arch == "bitllama" and stem.startswith("blk."):
            x, shared = x / max(np.linalg.norm(x), 1e-12) / math.sqrt(len(x)), {}
        if self.rows is not None and self.is_ternary(stem + ".weight"):
            if "x" not in shared:
                shared["x"] = self.quantised(x)
            x = shared["x"]
        return self.weight(stem + ".weight") @ x

    def rope(self, x):
        x = x.reshape(-1, self.head_dim)
        angle = self.position * self.angles
        cos, sin = np.cos(angle) * self.magnitude, np.sin(angle) * self.magnitude
        if self.adjacent:
            a, b = x[:, 0::2], x[:, 1::2]
            return np.stack([a * cos - b * sin, a * sin + b * cos], axis=2).reshape(x.shape)
        half = self.head_dim // 2
        a, b = x[:, :half], x[:, half:]
        return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=1)

    def attention(self, layer, x):
        at = "blk.%d." % layer
        if at + "attn_norm.weight" in self.file:
            x = self.norm(x, at + "attn_norm.weight")
        shared = {}
        q, k, v = (self.linear(at + "attn_" + part, x, shared).reshape(-1, self.head_dim) for part in "qkv")
        if at + "attn_q_norm.weight" in self.file and "qk_norm" not in self.without:
            q, k = self.norm(q, at + "attn_q_norm.weight"), self.norm(k, at + "attn_k_norm.weight")
        q, k = self.rope(q), self.rope(k)
        self.keys[layer].append(k)
        self.values[layer].append(v)
        group = self.heads // self.kv_heads
        keys = np.repeat(np.array(self.keys[layer]), group, axis=1)  # [positions, heads, head_dim]
        values = np.repeat(np.array(self.values[layer]), group, axis=1)
        scores = np.einsum("hd,thd->ht", q, keys) / math.sqrt(self.head_dim)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        y = np.einsum("ht,thd->hd", p, values).reshape(-1)
        if at + "attn_sub_norm.weight" in self.file:
            y = self.norm(y, at + "attn_sub_norm.weight")
        return self.linear(at + "attn_output", y, {})

    def feed_forward(self, layer, x):
        at = "blk.%d." % layer
        if at + "ffn_norm.weight" in self.file:
            x = self.norm(x, at + "ffn_norm.weight")
        shared = {}
        g, u = self.linear(at + "ffn_gate", x, shared), self.linear(at + "ffn_up", x, shared)
        f = (np.maximum(g, 0) ** 2 if self.relu2 else g / (1 + np.exp(-g))) * u
        if at + "ffn_sub_norm.weight" in self.file:
            f = self.norm(f, at + "ffn_sub_norm.weight")
        return self.linear(at + "ffn_down", f, {})

    def step(self, token, rows, bits):
        """The logits after one more token; rows None: activations stay real numbers."""
        self.rows, self.next, self.bits = rows, 0, bits
        h = self.weight("token_embd.weight")[token].copy()
        for layer in range(self.layers):
            h += self.attention(layer, h)
            h += self.feed_forward(layer, h)
        self.position += 1
        self.final = self.norm(h, "output_norm.weight")
        head = "output" if "output.weight" in self.file else "token_embd"
        self.next += 1  # tern's check of the last residual, which nothing reads
        logits = self.linear(head, self.final, {})
        assert rows is None or self.next == len(rows), "tern quantised %d times, expected %d" % (len(rows), self.next)
        return logits


# ---- the comparison


def compare(file, run, bits, without=()):
    """The largest differences of a whole run."""
    model = Model(file, without)
    worst = largest = 0.0
    for token, rows, found in run.steps:
        expected = model.step(token, rows if bits else None, bits)
        assert len(expected) == len(found)
        worst = max(worst, np.max(np.abs(expected - found)))
        largest = max(largest, np.max(np.abs(expected)))
    hidden = np.max(np.abs(model.final - run.hidden))
    return {"logits": worst / (1 + largest), "largest": largest, "hidden": hidden, **model.worst}


def agrees(found, bits):
    top = {0: 0, 8: 127, 16: 32639}[bits]
    limits = {"logits": 1e-4, "hidden": 1e-3, "scales": 1e-4, "integers": top * 1e-4}
    over = ["%s %.3g, at most %.3g expected" % (k, found[k], v) for k, v in limits.items() if not found[k] <= v]
    if not found["largest"] > 1:
        over.append("logits up to %.3g only: they would agree by being nothing" % found["largest"])
    return "; ".join(over)


# shape of make_model, container, bits of activations (0: no ternary linear)
CASES = [
    ("tiny", "i2_s", 8), ("bitnet-small", "tq1_0", 8), ("bitnet-odd", "i2_s", 8), ("bitnet-ragged", "i2_s", 8),
    ("bitllama-small", "i2_s", 8), ("llama-ternary-small", "tq2_0", 8), ("llama-dense-tiny", "f16", 0),
    ("falcon3-small", "i2_s", 8), ("falcon3-small", "iq2_bn", 8),
    ("trilm-small", "tq1_0", 16), ("trilm-small", "tq2_0", 16),
    ("bonsai-small", "q1_0", 16), ("ternary-bonsai-small", "q2_0_g64", 16), ("ternary-bonsai-small", "q2_0_g128", 16),
    ("ternary-bonsai-small", "ptq1_0", 16), ("embedding-small", "i2_s", 8), ("qwen3-dense-small", "q8_0", 0),
]
# Each part left out must be noticed.
MUTATIONS = {
    "bonsai-small": ["qk_norm", "yarn", "rope_pairs"], "embedding-small": ["linear_norms", "qk_norm"],
    "tiny": ["rope_pairs"],
}


def check(name, reason, figures=""):
    print(("not ok %s: %s" % (name, reason)) if reason else "ok %s%s" % (name, figures))
    return not reason


def figures_of(found):
    return ": logits up to %.3g within %.2g, integers within 0.5 + %.2g, scales within %.2g" % (
        found["largest"], found["logits"] * (1 + found["largest"]), max(found["integers"], 0), found["scales"])


def test_model(tools, folder, shape, container, bits):
    make_model, dump_run = tools
    name, path, out = "%s-%s" % (shape, container), os.path.join(folder, "m.gguf"), os.path.join(folder, "run")
    subprocess.run([make_model, "--shape", shape, "--type", container, "--out", path], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([dump_run, path, str(TOKENS), out], check=True)
    file, run = Gguf(path), Run(out)
    found = compare(file, run, bits)
    good = check(name, agrees(found, bits), figures_of(found))
    for part in MUTATIONS.get(shape, []):
        wrong = compare(file, run, bits, (part,))
        good &= check("%s-notices-%s" % (name, part), "" if agrees(wrong, bits) else "left out, and nothing differs")
    if bits == 16:
        real = compare(file, run, 0)
        over = "" if real["logits"] <= 1e-3 else "%.3g of the largest logit, at most 1e-3 expected" % real["logits"]
        good &= check(name + "-error-of-16-bits", over, ": %.2g of the largest logit" % real["logits"])
        subprocess.run([dump_run, path, str(TOKENS), out, "f32"], check=True)
        real = compare(file, Run(out), 0)
        good &= check(name + "-act-f32", agrees(real, 0), figures_of(real))
    return good


def main():
    if len(sys.argv) != 3:
        print("usage: arch_test.py MAKE_MODEL DUMP_RUN", file=sys.stderr)
        return 2
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for shape, container, bits in CASES:
            good &= test_model(sys.argv[1:], folder, shape, container, bits)
    return 0 if good else 1


sys.exit(main())
