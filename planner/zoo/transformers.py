"""Transformers of width 768 with 12 layers and 12 heads: ViT-B/16, GPT-2 and BERT-base."""

from __future__ import annotations

import math

from planner.zoo.convnets import images
from planner.zoo.graph import Tensor
from planner.zoo.layers import EMBEDDING_STD, Network

WIDTH = 768
N_LAYERS = 12
N_HEADS = 12
HEAD_WIDTH = WIDTH // N_HEADS
GPT2_MAX_SEQUENCE = 1024
BERT_MAX_SEQUENCE = 512
LOWEST = -3.4028234663852886e38
"""The most negative float32. Unlike an infinity it makes no NaN where a whole row is masked."""


def vit_b_16(net: Network) -> None:
    """ViT-B/16: 196 patches and a class token, normalisation before attention, no dropout."""
    x = net.conv("conv_proj", images(net), WIDTH, 16, stride=16)
    n_patches = x.shape[2] * x.shape[3]
    x = net.reshape("patches", x, (net.batch, WIDTH, n_patches))
    x = net.transpose("tokens", x, (0, 2, 1))
    token = net.parameter("class_token", (1, 1, WIDTH), std=EMBEDDING_STD)
    shape = (net.batch, 1, WIDTH)
    target = net.constant("class_token.expand.shape", shape)
    token = net.node("Expand", "class_token.expand", (token, target), shape)
    x = net.concat("prepend", (token, x))
    positions = net.parameter("pos_embedding", (1, n_patches + 1, WIDTH), std=EMBEDDING_STD)
    x = net.binary("Add", "add_positions", x, positions)
    for index in range(N_LAYERS):
        name = f"layers.{index}"
        y = net.layer_norm(f"{name}.ln_1", x, 1e-6)
        y = _self_attention(net, f"{name}.self_attention", y, ("in_proj", "out_proj"))
        x = net.binary("Add", f"{name}.add_1", y, x)
        y = net.layer_norm(f"{name}.ln_2", x, 1e-6)
        y = net.projection(f"{name}.mlp.fc1", y, 4 * WIDTH)
        y = net.projection(f"{name}.mlp.fc2", net.gelu(f"{name}.mlp.gelu", y), WIDTH)
        x = net.binary("Add", f"{name}.add_2", x, y)
    x = net.layer_norm("ln", x, 1e-6)
    x = net.gather("class_state", x, net.constant("class_state.index", [0], ()), axis=1)
    net.output("logits", net.fully_connected("head", x, 1000, std=EMBEDDING_STD))


def gpt2(net: Network) -> None:
    """GPT-2 with 124 M parameters; one matrix embeds the tokens and predicts the next."""
    ids = net.input("input_ids", (net.batch, net.sequence), "int64")
    vocabulary = net.parameter("wte.weight", (50257, WIDTH), std=EMBEDDING_STD)
    # A table of 1024 rows for any sequence, so that the parameters do not depend on it.
    table = net.parameter("wpe.weight", (GPT2_MAX_SEQUENCE, WIDTH), std=EMBEDDING_STD)
    positions = net.constant("positions", range(net.sequence), (1, net.sequence))
    x = net.binary(
        "Add", "embedding", net.gather("wte", vocabulary, ids), net.gather("wpe", table, positions)
    )
    x = net.dropout("drop", x, 0.1)
    mask = _causal_mask(net, positions)
    for index in range(N_LAYERS):
        name = f"h.{index}"
        y = net.layer_norm(f"{name}.ln_1", x, 1e-5)
        names = ("c_attn", "c_proj")
        y = _self_attention(net, f"{name}.attn", y, names, mask=mask, ratio=0.1)
        y = net.dropout(f"{name}.attn.resid_dropout", y, 0.1)
        x = net.binary("Add", f"{name}.add_1", y, x)
        y = net.layer_norm(f"{name}.ln_2", x, 1e-5)
        y = net.gelu_tanh(f"{name}.mlp.gelu", net.projection(f"{name}.mlp.c_fc", y, 4 * WIDTH))
        y = net.dropout(f"{name}.mlp.dropout", net.projection(f"{name}.mlp.c_proj", y, WIDTH), 0.1)
        x = net.binary("Add", f"{name}.add_2", x, y)
    x = net.layer_norm("ln_f", x, 1e-5)
    # A Gemm reads the embedding as it is; a Transpose would be folded into a second copy.
    x = net.reshape("lm_head.rows", x, (net.batch * net.sequence, WIDTH))
    x = net.node("Gemm", "lm_head", (x, vocabulary), (x.shape[0], 50257), transB=1)
    net.output("logits", net.reshape("lm_head.logits", x, (net.batch, net.sequence, 50257)))


def _causal_mask(net: Network, positions: Tensor) -> Tensor:
    """What to add to the scores [query, key]: nothing up to the query's position."""
    rows = net.constant("causal_mask.rows", range(net.sequence), (net.sequence, 1))
    is_past = net.binary("LessOrEqual", "causal_mask.is_past", positions, rows, dtype="bool")
    inputs = (is_past, net.scalar(0.0), net.scalar(LOWEST))
    return net.node("Where", "causal_mask", inputs, is_past.shape)


def bert_base(net: Network) -> None:
    """BERT-base uncased with its pooler, on texts of one segment."""
    ids = net.input("input_ids", (net.batch, net.sequence), "int64")
    attention_mask = net.input("attention_mask", (net.batch, net.sequence), "int64")
    x = _bert_embeddings(net, ids)
    mask = _padding_mask(net, attention_mask)
    for index in range(N_LAYERS):
        name = f"encoder.{index}"
        y = _self_attention(
            net, f"{name}.attention", x, ("query", "key", "value", "output"), mask=mask, ratio=0.1
        )
        y = net.dropout(f"{name}.attention.dropout", y, 0.1)
        x = net.binary("Add", f"{name}.attention.add", y, x)
        x = net.layer_norm(f"{name}.attention.norm", x, 1e-12)
        y = net.gelu(f"{name}.gelu", net.projection(f"{name}.intermediate", x, 4 * WIDTH))
        y = net.dropout(f"{name}.dropout", net.projection(f"{name}.output", y, WIDTH), 0.1)
        x = net.layer_norm(f"{name}.norm", net.binary("Add", f"{name}.add", y, x), 1e-12)
    net.output("last_hidden_state", x)
    first = net.gather("pooler.first", x, net.constant("pooler.first.index", [0], ()), axis=1)
    pooled = net.fully_connected("pooler", first, WIDTH, std=EMBEDDING_STD)
    net.output("pooler_output", net.unary("Tanh", "pooler.tanh", pooled))


def _bert_embeddings(net: Network, ids: Tensor) -> Tensor:
    shape = (1, net.sequence)
    positions = net.constant("embeddings.position_ids", range(net.sequence), shape)
    segments = net.constant("embeddings.segment_ids", [0] * net.sequence, shape)
    parts = (("word", 30522, ids), ("segment", 2, segments), ("position", 512, positions))
    tables = []
    for name, n_rows, indices in parts:
        weight = net.parameter(f"embeddings.{name}.weight", (n_rows, WIDTH), std=EMBEDDING_STD)
        tables.append(net.gather(f"embeddings.{name}", weight, indices))
    x = net.binary("Add", "embeddings.add_1", tables[0], tables[1])
    x = net.binary("Add", "embeddings.add_2", x, tables[2])
    return net.dropout("embeddings.dropout", net.layer_norm("embeddings.norm", x, 1e-12), 0.1)


def _padding_mask(net: Network, attention_mask: Tensor) -> Tensor:
    """What to add to the scores [sample, head, query, key]: nothing where the mask is one."""
    shape = (net.batch, 1, 1, net.sequence)
    x = net.reshape("mask.reshape", attention_mask, shape)
    x = net.node("Cast", "mask.cast", (x,), shape, to=1)
    x = net.binary("Sub", "mask.invert", net.scalar(1.0), x)
    return net.binary("Mul", "mask", x, net.scalar(LOWEST))


def _self_attention(
    net: Network,
    name: str,
    x: Tensor,
    projections: tuple[str, ...],
    *,
    mask: Tensor | None = None,
    ratio: float = 0.0,
) -> Tensor:
    """Append multi-head attention; query, key and value have one projection or three.

    Args:
        net: The network.
        name: Prefix of all nodes.
        x: Of shape [batch, sequence, width].
        projections: Names of the projections, that of the output last.
        mask: Added to the scores.
        ratio: Dropout of the attention weights.
    """
    *ins, out = projections
    if len(ins) == 1:
        joint = net.projection(f"{name}.{ins[0]}", x, 3 * WIDTH)
        parts = net.split(f"{name}.split", joint, ("query", "key", "value"))
    else:
        parts = tuple(net.projection(f"{name}.{part}", x, WIDTH) for part in ins)
    length = x.shape[1]
    heads = []
    # Keys are transposed to [batch, head, width, position] at once.
    perms = (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))
    for part, (label, perm) in zip(parts, perms, strict=True):
        y = net.reshape(f"{name}.{label}.heads", part, (net.batch, length, N_HEADS, HEAD_WIDTH))
        heads.append(net.transpose(f"{name}.{label}.transpose", y, perm))
    query, key, value = heads
    scores = net.matmul(f"{name}.scores", query, key)
    scores = net.binary("Mul", f"{name}.scale", scores, net.scalar(1 / math.sqrt(HEAD_WIDTH)))
    if mask is not None:
        scores = net.binary("Add", f"{name}.mask", scores, mask)
    weights = net.node("Softmax", f"{name}.softmax", (scores,), scores.shape, axis=-1)
    if ratio:
        weights = net.dropout(f"{name}.softmax.dropout", weights, ratio)
    context = net.matmul(f"{name}.context", weights, value)
    context = net.transpose(f"{name}.context.transpose", context, (0, 2, 1, 3))
    context = net.reshape(f"{name}.context.join", context, x.shape)
    return net.projection(f"{name}.{out}", context, WIDTH)
