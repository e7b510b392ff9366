#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Ten training steps of a BitNet model, written from the papers alone: reference.py FOLDER

Reads FOLDER/run.json (shape, optimizer, batches) and FOLDER/checkpoint-0000000.safetensors (initial weights), trains with
plain torch operations and autograd in float64 or float32, and prints one JSON line: the loss and the gradient norm of each
step, the sum of each weight at the end. Test only; shares no code with the trainer. Exit status 77 where torch is missing.
"""

import json
import math
import struct
import sys

try:
    import torch
except ImportError:
    sys.exit(77)


def read_safetensors(path):
    """name -> f32 tensor"""
    with open(path, "rb") as file:
        blob = file.read()
    (size,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        data = bytearray(blob[8 + size + begin:8 + size + end])
        tensors[name] = torch.frombuffer(data, dtype=torch.float32).reshape(entry["shape"]).clone()
    return tensors


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def quantize_activation(x):
    """Straight through: the value of round(x * s) / s, the gradient of x."""
    scale = 127.0 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
    return x + ((x * scale).round().clamp(-128, 127) / scale - x).detach()


def quantize_weight(w):
    mean = w.abs().mean().clamp(min=1e-5)
    return w + ((w / mean).round().clamp(-1, 1) * mean - w).detach()


def rotate(x, theta):
    """x [batch, heads, time, dim]: pairs (i, i + dim/2)"""
    dim, time = x.shape[-1], x.shape[-2]
    frequency = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(time, dtype=torch.float64)[:, None] * frequency[None, :]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :dim // 2], x[..., dim // 2:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def forward(w, shape, ternary, batch):
    """Summed loss over the positions that count."""
    eps, theta = shape["rms_norm_eps"], shape["rope_theta"]
    heads, kv_heads, dim = shape["heads"], shape["kv_heads"], shape["head_dim"]
    tokens = torch.tensor(batch["tokens"]).reshape(batch["rows"], -1)
    segments = torch.tensor(batch["segments"]).reshape(tokens.shape)
    rows, time = tokens.shape

    def linear(x, name):
        if not ternary:
            return x @ w[name + ".weight"].T
        return quantize_activation(x) @ quantize_weight(w[name + ".weight"]).T

    visible = torch.ones(time, time, dtype=torch.bool).tril()[None] & (segments[:, :, None] == segments[:, None, :])
    h = w["model.embed_tokens.weight"][tokens]
    for layer in range(shape["layers"]):
        stem = f"model.layers.{layer}."
        x = norm(h, w[stem + "input_layernorm.weight"], eps)

        def split(name, count):
            return linear(x, stem + name).reshape(rows, time, count, dim).transpose(1, 2)

        q = rotate(split("self_attn.q_proj", heads), theta)
        k = rotate(split("self_attn.k_proj", kv_heads), theta).repeat_interleave(heads // kv_heads, 1)
        v = split("self_attn.v_proj", kv_heads).repeat_interleave(heads // kv_heads, 1)
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(dim)
        mixed = scores.masked_fill(~visible[:, None], -math.inf).softmax(-1) @ v
        mixed = mixed.transpose(1, 2).reshape(rows, time, heads * dim)
        h = h + linear(norm(mixed, w[stem + "self_attn.attn_sub_norm.weight"], eps), stem + "self_attn.o_proj")
        x = norm(h, w[stem + "post_attention_layernorm.weight"], eps)
        f = linear(x, stem + "mlp.gate_proj").relu().pow(2) * linear(x, stem + "mlp.up_proj")
        h = h + linear(norm(f, w[stem + "mlp.ffn_sub_norm.weight"], eps), stem + "mlp.down_proj")
    head = w["model.embed_tokens.weight" if shape["tie_embeddings"] else "lm_head.weight"]
    logits = norm(h, w["model.norm.weight"], eps) @ head.T
    losses = torch.nn.functional.cross_entropy(logits.reshape(rows * time, -1), torch.tensor(batch["targets"]),
                                               reduction="none")
    return (losses * torch.tensor(batch["mask"], dtype=losses.dtype)).sum()


def main():
    folder = sys.argv[1]
    with open(folder + "/run.json", encoding="utf-8") as file:
        run = json.load(file)
    dtype = getattr(torch, run["dtype"])
    torch.set_num_threads(1)
    names = [name for name in read_safetensors(folder + "/checkpoint-0000000.safetensors") if not name.startswith("adam.")]
    tensors = read_safetensors(folder + "/checkpoint-0000000.safetensors")
    w = {name: tensors[name].to(dtype).requires_grad_(True) for name in names}
    m = {name: torch.zeros_like(w[name]) for name in names}
    v = {name: torch.zeros_like(w[name]) for name in names}
    o = run["optimizer"]
    losses, norms = [], []
    for step, batches in enumerate(run["steps"]):
        counted = sum(sum(batch["mask"]) for batch in batches)
        loss = sum(forward(w, run["shape"], run["ternary"], batch) for batch in batches) / counted
        gradients = dict(zip(names, torch.autograd.grad(loss, [w[name] for name in names])))
        total = math.sqrt(sum(float(g.double().pow(2).sum()) for g in gradients.values()))
        losses.append(float(loss.detach()))
        norms.append(total)
        clip = min(1.0, o["grad_clip"] / total) if o["grad_clip"] > 0 else 1.0
        lr, decay = run["rates"][step]
        with torch.no_grad():
            for name in names:
                g = gradients[name] * clip
                m[name] = o["beta1"] * m[name] + (1 - o["beta1"]) * g
                v[name] = o["beta2"] * v[name] + (1 - o["beta2"]) * g * g
                corrected_m = m[name] / (1 - o["beta1"] ** (step + 1))
                corrected_v = v[name] / (1 - o["beta2"] ** (step + 1))
                if w[name].dim() == 2:
                    w[name] -= lr * decay * w[name]
                w[name] -= lr * corrected_m / (corrected_v.sqrt() + o["epsilon"])
        if step == 0:
            first = {name: [float(x) for x in gradients[name].flatten()] for name in run["gradients_of"]}
    print(json.dumps({"losses": losses, "norms": norms, "first_gradients": first}))


main()
