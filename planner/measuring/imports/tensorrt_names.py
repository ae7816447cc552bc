"""What the name of a TensorRT layer says about the operators in it.

Conv_0 + Relu_1                                         fused
conv1 || conv2                                          side by side, one kernel
PWN(PWN(Sigmoid_1), Mul_2)                              elementwise
{ForeignNode[first...last]}                             all between, by another compiler
MatMul_3_myl12_4, __myl_MulAdd_myl12_5                  kernels of such a region, number 12
Reformatting CopyNode for Input Tensor 0 to Conv_0      a copy that the layer needs
reshape_before_fc, node_of_gpu_0/conv1_1                made by the ONNX parser
(Unnamed Layer* 12) [Shuffle], [HostToDeviceCopy]       nobody's
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from planner.graphs.graph import Graph

_COPY = re.compile(
    r"Reformatting CopyNode for (?:Input|Output) Tensor \d+ (?:to|from) (?P<layer>.+)"
    r"|(?P<old>.+) (?:input|output) reformatter \d+"
)
_SPAN = re.compile(r"\{?ForeignNode\[(?P<inside>.*)\]\}?")
_REGION = re.compile(r"_myl(?P<number>\d+)_\d+$")
_BY_COMPILER = re.compile(r"__myl_|__my[A-Z]?l?_")
_SEPARATOR = re.compile(r" \+ | \|\| |, ")
_MADE = re.compile(
    r"^(?:copied_)?(?:un)?(?:squeeze|reshape|shuffle|transpose)(?:_node)?_(?:before|after)_"
)
_NAMELESS = re.compile(r"\(Unnamed Layer\*|\[|Reformatting|ONNXTRT_|shape call|__myl")
_OPENINGS = ("PWN(", "fusion(", "(", "{", "[")
_CLOSINGS = (" [Constant]", "[Constant]", ")", "}", "]", "_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Operators that a layer names.

    Attributes:
        operators: Indices; empty where none of the names is known.
        region: What kernels of one region of another compiler have in common; None for a layer
            that names all of its operators.
        has_span: Whether the names are the ends of the region.
        has_names: Whether it claims to hold operators of the model at all.
    """

    operators: frozenset[int]
    region: str | None = None
    has_span: bool = False
    has_names: bool = True


class LayerNames:
    """Looks operators up by what TensorRT makes of their names."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._plain: dict[str, int] = {}
        for index, operator in enumerate(graph.operators):
            self._plain.setdefault(_plain(operator.name), index)

    def read(self, name: str) -> Layout:
        """The operators of one layer."""
        copy = _COPY.fullmatch(name)
        if copy:
            inner = self.read(copy["layer"] or copy["old"])
            return Layout(
                operators=inner.operators,
                region=inner.region,
                has_span=inner.has_span,
                has_names=bool(inner.operators),
            )
        whole = self._find(name)
        if whole is not None:
            return Layout(operators=frozenset([whole]))
        number = _REGION.search(name)
        if number:
            found = self._all(name[: number.start()])
            return Layout(
                operators=found,
                region=f"myl{number['number']}",
                has_names=not _BY_COMPILER.match(name),
            )
        span = _SPAN.fullmatch(name.strip())
        if span:
            ends = frozenset().union(*(self._all(end) for end in span["inside"].split("...")))
            return Layout(operators=ends, region=name.strip(" {}"), has_span=True)
        return Layout(operators=self._all(name), has_names=not _NAMELESS.match(name))

    def _all(self, text: str) -> frozenset[int]:
        parts = (self._find(part.strip()) for part in _SEPARATOR.split(text))
        return frozenset(part for part in parts if part is not None)

    def _find(self, token: str) -> int | None:
        """The operator that one name means, less what TensorRT puts around it."""
        while token:
            for name in (token, _MADE.sub("", token)):
                for candidate in (name, name.removeprefix("node_of_")):
                    found = self._exactly(candidate)
                    if found is not None:
                        return found
            opening = next((o for o in _OPENINGS if token.startswith(o)), "")
            closing = next((c for c in _CLOSINGS if token.endswith(c)), "")
            if not opening and not closing:
                return None
            token = token.removeprefix(opening).removesuffix(closing).strip()
        return None

    def _exactly(self, name: str) -> int | None:
        graph = self._graph
        if name in graph.operator_index:
            return graph.operator_index[name]
        tensor = graph.tensor_index.get(name)
        if tensor is not None and graph.tensors[tensor].producer >= 0:
            return graph.tensors[tensor].producer
        return self._plain.get(_plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_/]", "_", name)
