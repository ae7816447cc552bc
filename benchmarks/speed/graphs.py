"""Generated graphs: deep transformers, mixtures of experts, chains, random layers, hard cases.

All are deterministic. Names are as long as exporters make them, because memory is measured with
the names in it.
"""

from __future__ import annotations

import random

from benchmarks.speed.sketch import Sketch
from planner.graphs.graph import Graph

WIDTH = 1024
HEADS = 16
HEAD_WIDTH = WIDTH // HEADS
SEQUENCE = 128
VOCABULARY = 50257
HIDDEN = (1, SEQUENCE, WIDTH)
SPLIT = (1, HEADS, SEQUENCE, HEAD_WIDTH)

N_EXPERTS = 64
CACHED = 512
OPS_PER_LAYER = 29
OPS_PER_EXPERT_LAYER = 538


def transformer(n_operators: int) -> Graph:
    """A decoder of `n_operators` / 29 layers, from token ids to logits."""
    s = Sketch(f"transformer{n_operators}")
    x = _embedding(s)
    for i in range(max(1, round((n_operators - 4) / OPS_PER_LAYER))):
        x = _attention(s, f"layers.{i}", x)
        x = _feed_forward(s, f"layers.{i}", x)
    return _with_head(s, x)


def mixture_of_experts(n_operators: int) -> Graph:
    """A decoder whose feed-forward parts are 64 experts in parallel, each with its gate."""
    s = Sketch(f"moe{n_operators}")
    x = _embedding(s)
    for i in range(max(1, round((n_operators - 4) / OPS_PER_EXPERT_LAYER))):
        name = f"layers.{i}"
        x = _attention(s, name, x)
        y = s.norm(f"{name}.norm2", x)
        scores = s.linear(f"{name}.router", y, N_EXPERTS)
        gates = s.same("Softmax", f"{name}.router.softmax", scores)
        total = ""
        for e in range(N_EXPERTS):
            expert = f"{name}.experts.{e}"
            gate = s.op("Slice", f"{expert}.gate", [gates], (1, SEQUENCE, 1))
            z = s.linear(f"{expert}.up", y, 2 * WIDTH)
            z = s.linear(f"{expert}.down", s.same("Gelu", f"{expert}.gelu", z), WIDTH)
            z = s.same("Mul", f"{expert}.weighted", z, gate)
            total = s.same("Add", f"{expert}.sum", total, z) if total else z
        x = s.same("Add", f"{name}.residual2", x, total)
    return _with_head(s, x)


def shape_chains(n_layers: int) -> Graph:
    """A transformer with a chain of shape arithmetic from the graph input to every layer."""
    s = Sketch(f"shape_chains{n_layers}")
    ids = s.input("input_ids", (1, SEQUENCE), "int64")
    x = _embedding(s, ids)
    for i in range(n_layers):
        name = f"layers.{i}.attention.shape"
        size = s.op("Shape", name, [ids], (2,), dtype="int64")
        size = s.op("Gather", f"{name}.gather", [size], (1,), dtype="int64")
        size = s.op("Concat", f"{name}.concat", [size], (4,), dtype="int64", axis=0)
        x = _attention(s, f"layers.{i}", x, target_shape=size)
        x = _feed_forward(s, f"layers.{i}", x)
    return _with_head(s, x)


def kv_cache(n_layers: int) -> Graph:
    """One step of a decoder with a cache: past inputs per layer, present outputs without readers.

    What is returned goes through operators of its own, which end nowhere but there.
    """
    s = Sketch(f"kv_cache{n_layers}")
    x = _embedding(s)
    for i in range(n_layers):
        x = _attention(s, f"layers.{i}", x, is_cached=True)
        x = _feed_forward(s, f"layers.{i}", x)
    return _with_head(s, x)


def chain(n_operators: int, seed: int = 1) -> Graph:
    """Linear layers and activations of random widths in a row: any of them may be the best cut."""
    rng = random.Random(seed)
    s = Sketch(f"chain{n_operators}")
    x = s.input("features", (64, 512))
    for i in range(n_operators // 2):
        width = rng.choice((64, 128, 256, 512, 1024))
        weight = ("weight", (s.shapes[x][-1], width))
        x = s.op("MatMul", f"blocks.{i}.linear", [x], (64, width), weights=[weight])
        x = s.same("Relu", f"blocks.{i}.activation", x)
    s.output(x)
    return s.graph()


def layered(n_operators: int, width: int = 10, seed: int = 2) -> Graph:
    """Random layers of `width` operators that read one to three of the last five layers.

    Every operator is read by the next layer, so nothing is dropped; sizes and FLOPs are
    log-uniform over three decades and independent of each other.
    """
    rng = random.Random(seed)
    s = Sketch(f"layered{n_operators}")
    layers = [[s.input("features", (65_536,))]]
    for i in range(max(1, (n_operators - 1) // width)):
        reads: list[set[str]] = [set() for _ in range(width)]
        for tensor in layers[-1]:
            rng.choice(reads).add(tensor)
        for own in reads:
            recent = [t for layer in layers[-5:] for t in layer]
            own.update(rng.sample(recent, min(len(recent), rng.randint(1, 3))))
        layers.append(
            [_random_op(s, rng, f"stages.{i}.ops.{j}", own) for j, own in enumerate(reads)]
        )
    s.output(s.op("Sum", "join", layers[-1], (1000,)))
    return s.graph()


def _random_op(s: Sketch, rng: random.Random, name: str, reads: set[str]) -> str:
    def size(low: float, high: float) -> int:
        return round(10 ** rng.uniform(low, high))

    weights = [("weight", (size(2, 6),))] if rng.random() < 0.5 else []
    flops = 10 ** rng.uniform(6, 9)
    shape = (size(3, 6),)
    return s.op("MatMul", name, sorted(reads), shape, weights=weights, forward_flops=flops)


def _embedding(s: Sketch, ids: str | None = None) -> str:
    ids = ids or s.input("input_ids", (1, SEQUENCE), "int64")
    x = s.op("Gather", "embedding.tokens", [ids], HIDDEN, weights=[("weight", (VOCABULARY, WIDTH))])
    return s.op("Add", "embedding.add", [x], HIDDEN, weights=[("positions", (SEQUENCE, WIDTH))])


def _with_head(s: Sketch, x: str) -> Graph:
    x = s.norm("final_norm", x)
    shape = (1, SEQUENCE, VOCABULARY)
    weights = [("weight", (WIDTH, VOCABULARY))]
    s.output(s.op("MatMul", "head.matmul", [x], shape, weights=weights))
    return s.graph()


def _attention(
    s: Sketch, layer: str, x: str, *, target_shape: str | None = None, is_cached: bool = False
) -> str:
    """Norm, multi-head attention, residual: 22 operators."""
    name = f"{layer}.attention"
    y = s.norm(f"{layer}.norm1", x)
    query, key, value = (
        _heads(s, f"{name}.{part}", y, target_shape, is_cached=is_cached and part != "query")
        for part in ("query", "key", "value")
    )
    length = s.shapes[value][2]
    scores = s.op("MatMul", f"{name}.scores", [query, key], (1, HEADS, SEQUENCE, length))
    scores = s.same("Div", f"{name}.scale", scores)
    scores = s.same("Softmax", f"{name}.softmax", scores)
    z = s.op("MatMul", f"{name}.context", [scores, value], SPLIT)
    z = s.op("Transpose", f"{name}.merge", [z], (1, SEQUENCE, HEADS, HEAD_WIDTH))
    z = s.op("Reshape", f"{name}.join", [z], HIDDEN)
    z = s.linear(f"{name}.output", z, WIDTH)
    return s.same("Add", f"{layer}.residual1", x, z)


def _heads(s: Sketch, name: str, y: str, target_shape: str | None, *, is_cached: bool) -> str:
    """Projection to heads, keys turned for the product, with what the cache holds in front."""
    y = s.linear(name, y, WIDTH)
    reads = [y] if target_shape is None else [y, target_shape]
    y = s.op("Reshape", f"{name}.heads", reads, (1, SEQUENCE, HEADS, HEAD_WIDTH))

    def shape(length: int) -> tuple[int, ...]:
        is_key = name.endswith("key")
        return (1, HEADS, HEAD_WIDTH, length) if is_key else (1, HEADS, length, HEAD_WIDTH)

    y = s.op("Transpose", f"{name}.transpose", [y], shape(SEQUENCE))
    if is_cached:
        past = s.input(f"past.{name}", shape(CACHED))
        y = s.op("Concat", f"{name}.concat", [past, y], shape(CACHED + SEQUENCE))
        present = s.same("Cast", f"{name}.present", y)
        s.output(s.same("Identity", f"{name}.present.named", present))
    return y


def _feed_forward(s: Sketch, layer: str, x: str) -> str:
    y = s.norm(f"{layer}.norm2", x)
    y = s.same("Gelu", f"{layer}.mlp.gelu", s.linear(f"{layer}.mlp.up", y, 4 * WIDTH))
    return s.same("Add", f"{layer}.residual2", x, s.linear(f"{layer}.mlp.down", y, WIDTH))
