"""Backward passes estimated from forward passes, by a table of ratios that were measured."""

from __future__ import annotations

import json
import pkgutil
from pathlib import Path
from typing import Any, Collection, Mapping, NamedTuple, Sequence

FILE = Path(__file__).with_name("backward_ratios.json")
"""The table; `tools/measure_backward_ratios.py` writes it."""


_PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})


class Ratio(NamedTuple):
    """Backward over forward seconds; `provenance` says which measurements it rests on."""

    ratio: float
    provenance: str


class RatioTable:
    """Ratios by operator type and variant, by family of types, and for everything else."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        engine = document["measured_with"]
        self._by_type = {
            (row["op"], row["variant"]): Ratio(
                row["ratio"], "median of {} models, {}".format(len(row["models"]), engine)
            )
            for row in document["ratios"]
        }
        self._by_family = {
            op: Ratio(
                row["ratio"],
                "median of {} types of {}, {}".format(len(row["measured"]), row["family"], engine),
            )
            for row in document["families"]
            for op in row["ops"]
        }
        self._rest = Ratio(document["default"]["ratio"], f"median of all types, {engine}")
        self._leading = frozenset(document["families"][0]["ops"])

    def find(self, op: str, variant: str = "") -> Ratio:
        """The ratio for a type: its own, that of the plain variant, of its family, or of all."""
        for key in ((op, variant), (op, "")):
            if key in self._by_type:
                return self._by_type[key]
        return self._by_family.get(op, self._rest)

    def is_leading(self, op: str) -> bool:
        """Whether the type takes nearly all of the time of whatever it is fused with."""
        return op in self._leading


def read_ratios() -> RatioTable:
    """The table that comes with the measuring program, which may be in an archive."""
    content = pkgutil.get_data(__package__ or __name__.rpartition(".")[0], FILE.name)
    return RatioTable(json.loads((content or b"{}").decode("utf-8")))


def variant_of(
    node: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], receivers: Collection[str]
) -> str:
    """What sets an operator apart from others of its type, as far as the table goes.

    Args:
        node: An entry of the manifest's `nodes`.
        shapes: Of weights, by name.
        receivers: Of what the node reads, that which it gives a gradient to.

    Returns:
        `embedding` for a Gather from a trainable weight; for convolutions and matrix products
        `first` if only the weights get a gradient, and `depthwise`, `pointwise` or `grouped`; else
        "".
    """
    reads = node["inputs"]
    if node["op"] == "Gather" and reads[0] in shapes and reads[0] in receivers:
        return "embedding"
    if node["op"] in _PRODUCTS and receivers and reads[0] not in receivers:
        return "first"
    if node["op"] != "Conv" or len(reads) < 2 or reads[1] not in shapes:
        return ""
    shape, groups = shapes[reads[1]], node["attributes"].get("group", 1)
    if groups > 1:
        return "depthwise" if shape[1] == 1 else "grouped"
    return "pointwise" if all(size == 1 for size in shape[2:]) else ""
