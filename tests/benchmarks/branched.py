"""The model that the tests of benchmarks split."""

from __future__ import annotations

import numpy as np
from onnx import helper

from tests.support import onnx_models as models


def branched(size: int = 8) -> bytes:
    """Two residual blocks, the second with a branch of three operators; an output inside."""
    node = helper.make_node
    weights = [
        models.values(f"w{k}", np.random.default_rng(k).normal(0, 0.3, (size, size)), np.float32)
        for k in range(5)
    ]
    return models.model(
        [
            node("MatMul", ["x", "w0"], ["a"], name="a"),
            node("Relu", ["a"], ["b"], name="b"),
            node("MatMul", ["b", "w1"], ["c"], name="c"),
            node("Add", ["c", "a"], ["d"], name="d"),
            node("MatMul", ["d", "w2"], ["e"], name="e"),
            node("Tanh", ["e"], ["f"], name="f"),
            node("MatMul", ["f", "w3"], ["g"], name="g"),
            node("MatMul", ["d", "w4"], ["h"], name="h"),
            node("Add", ["g", "h"], ["i"], name="i"),
            node("Sigmoid", ["i"], ["y"], name="y"),
        ],
        [models.tensor("x", [4, size])],
        [models.tensor("y", [4, size]), models.tensor("d", [4, size])],
        weights,
    )
