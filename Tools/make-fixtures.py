#!/usr/bin/env python3
"""Makes Tests/ComputeTests/Fixtures/gpt2-tiny.safetensors with PyTorch: the oracle of the GPT engine's gradient tests.

Needs PyTorch and NumPy, for example:
    python3 -m venv /tmp/fixtures && /tmp/fixtures/bin/pip install torch numpy
    /tmp/fixtures/bin/python Tools/make-fixtures.py

The model is written down here with PyTorch's own operations (layer_norm, softmax, gelu with the tanh form,
cross_entropy) in float64 and its automatic derivatives, so that the fixture is far more exact than the float32 engine
it judges. Tensors in the file:
    parameter/NAME   weights before the step                   gradient/NAME   d loss / d weight (wte.weight: the sum of
                                                                               the embedding's and the head's part)
    gradient/wte.embed, gradient/wte.head                      the two parts of the shared table's gradient
    step/NAME        weights after one AdamW step              logits, loss, tokens, targets
"""
import json
import math
import pathlib
import struct

import numpy as np
import torch
import torch.nn.functional as F

LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY = 2, 2, 16, 12, 37
SEQUENCES, LENGTH = 3, 10
LEARNING_RATE, BETA1, BETA2, EPSILON, WEIGHT_DECAY = 0.01, 0.9, 0.95, 1e-8, 0.1


def parameters():
    random = np.random.default_rng(20240229)
    # Larger than at a real start, and no gain or bias at its trivial value, so that every term of a gradient counts.
    draw = lambda *shape, scale=0.2, mean=0.0: (mean + scale * random.standard_normal(shape)).astype(np.float32)
    result = {"wte.weight": draw(VOCABULARY, WIDTH), "wpe.weight": draw(CONTEXT, WIDTH)}
    for layer in range(LAYERS):
        h = f"h.{layer}."
        result[h + "ln_1.weight"] = draw(WIDTH, mean=1.0)
        result[h + "ln_1.bias"] = draw(WIDTH)
        result[h + "attn.c_attn.weight"] = draw(WIDTH, 3 * WIDTH, scale=0.4)
        result[h + "attn.c_attn.bias"] = draw(3 * WIDTH)
        result[h + "attn.c_proj.weight"] = draw(WIDTH, WIDTH)
        result[h + "attn.c_proj.bias"] = draw(WIDTH)
        result[h + "ln_2.weight"] = draw(WIDTH, mean=1.0)
        result[h + "ln_2.bias"] = draw(WIDTH)
        result[h + "mlp.c_fc.weight"] = draw(WIDTH, 4 * WIDTH, scale=0.4)
        result[h + "mlp.c_fc.bias"] = draw(4 * WIDTH)
        result[h + "mlp.c_proj.weight"] = draw(4 * WIDTH, WIDTH)
        result[h + "mlp.c_proj.bias"] = draw(WIDTH)
    result["ln_f.weight"] = draw(WIDTH, mean=1.0)
    result["ln_f.bias"] = draw(WIDTH)
    tokens = random.integers(0, VOCABULARY, (SEQUENCES, LENGTH))
    targets = random.integers(0, VOCABULARY, (SEQUENCES, LENGTH))
    return result, tokens, targets


def forward(p, embed, head, tokens):
    batch, time = tokens.shape
    x = F.embedding(tokens, embed) + p["wpe.weight"][:time]
    norm = lambda x, name: F.layer_norm(x, (WIDTH,), p[name + ".weight"], p[name + ".bias"], 1e-5)
    linear = lambda x, name: x @ p[name + ".weight"] + p[name + ".bias"]
    mask = torch.full((time, time), -math.inf, dtype=x.dtype).triu(1)
    for layer in range(LAYERS):
        h = f"h.{layer}."
        q, k, v = linear(norm(x, h + "ln_1"), h + "attn.c_attn").split(WIDTH, dim=2)
        heads = lambda t: t.view(batch, time, HEADS, WIDTH // HEADS).transpose(1, 2)
        scores = heads(q) @ heads(k).transpose(-2, -1) / math.sqrt(WIDTH // HEADS) + mask
        mixed = (F.softmax(scores, dim=-1) @ heads(v)).transpose(1, 2).reshape(batch, time, WIDTH)
        x = x + linear(mixed, h + "attn.c_proj")
        x = x + linear(F.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh"), h + "mlp.c_proj")
    return norm(x, "ln_f") @ head.T


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, value in tensors.items():
        kind = "I32" if value.dtype == np.int32 else "F32"
        raw = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    start, tokens, targets = parameters()
    p = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in start.items()}
    # The shared table enters twice as separate leaves, so that each end's gradient can be told apart.
    embed = p["wte.weight"].detach().clone().requires_grad_()
    head = p["wte.weight"].detach().clone().requires_grad_()
    logits = forward(p, embed, head, torch.tensor(tokens))
    loss = F.cross_entropy(logits.reshape(-1, VOCABULARY), torch.tensor(targets).reshape(-1))
    loss.backward()
    p["wte.weight"].grad = embed.grad + head.grad

    tensors = {"tokens": tokens.astype(np.int32), "targets": targets.astype(np.int32)}
    tensors["loss"] = np.array([loss.item()], dtype=np.float32)
    single = lambda t: t.detach().numpy().astype(np.float32)
    tensors["logits"] = single(logits)
    tensors["gradient/wte.embed"], tensors["gradient/wte.head"] = single(embed.grad), single(head.grad)
    for name in start:
        tensors["parameter/" + name], tensors["gradient/" + name] = start[name], single(p[name].grad)
    groups = [
        {"params": [t for t in p.values() if t.dim() >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [t for t in p.values() if t.dim() < 2], "weight_decay": 0.0},
    ]
    torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON).step()
    for name in start:
        tensors["step/" + name] = single(p[name])
    metadata = {
        "layers": LAYERS, "heads": HEADS, "width": WIDTH, "context": CONTEXT, "vocabulary": VOCABULARY,
        "sequences": SEQUENCES, "length": LENGTH, "learningRate": LEARNING_RATE, "beta1": BETA1, "beta2": BETA2,
        "epsilon": EPSILON, "weightDecay": WEIGHT_DECAY, "torch": torch.__version__,
    }
    path = pathlib.Path(__file__).parent.parent / "Tests/ComputeTests/Fixtures/gpt2-tiny.safetensors"
    write(path, tensors, {key: str(value) for key, value in metadata.items()})
    print(f"{path}: {path.stat().st_size} bytes, loss {loss.item():.6f}")


main()
