"""What two parts of a model have in common, whatever their names and the order of their branches.

An operator's signature is its type, attributes and operand shapes, its parameters and outputs. Its
digest also covers, recursively, what it reads; then what reads it. A part of the model is the
sorted collection of its operators' digests. Only used to list repeated blocks: no proof rests on
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from planner.graphs.graph import Graph
from planner.graphs.operators import Operator


class Hashes:
    """Digests of parts of one graph; signatures are made once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._returned = frozenset(graph.outputs)
        self._signatures: dict[int, bytes] = {}

    def of_part(self, operators: Sequence[int]) -> bytes:
        """Digest of a part of the graph: operator indices, ascending.

        What comes from outside counts by type and size alone.
        """
        forwards: dict[int, bytes] = {}
        for index in operators:
            forwards[index] = _digest(self._signature(index), *self._reads(index, forwards))
        both: dict[int, bytes] = {}
        for index in reversed(operators):
            both[index] = _digest(forwards[index], *self._readers(index, both))
        return _digest(*sorted(both.values()))

    def _reads(self, index: int, known: dict[int, bytes]) -> list[bytes]:
        """What an operator reads, in order: the order of operands matters to most operators."""
        found = []
        for tensor in self._graph.operators[index].inputs:
            item = self._graph.tensors[tensor]
            if item.producer in known:
                outputs = self._graph.operators[item.producer].outputs
                found.append(_digest(known[item.producer], outputs.index(tensor)))
            else:
                found.append(_digest("outside", item.dtype, item.shape, item.size_bytes))
        return found

    def _readers(self, index: int, known: dict[int, bytes]) -> list[bytes]:
        """What reads each output, in any order, and whether anything outside does."""
        found = []
        for tensor in self._graph.operators[index].outputs:
            consumers = self._graph.tensors[tensor].consumers
            inside = sorted(known[c] for c in consumers if c in known)
            is_read_outside = tensor in self._returned or any(c not in known for c in consumers)
            found.append(_digest(*inside, is_read_outside))
        return found

    def _signature(self, index: int) -> bytes:
        if index not in self._signatures:
            self._signatures[index] = self._sign(self._graph.operators[index])
        return self._signatures[index]

    def _sign(self, operator: Operator) -> bytes:
        graph = self._graph
        parameters = [
            (p.size_bytes, p.trainable, p.dtype, p.shape, len(p.readers))
            for p in (graph.parameters[i] for i in operator.parameters)
        ]
        outputs = [
            (t.size_bytes, t.dtype, t.shape, t.requires_grad)
            for t in (graph.tensors[i] for i in operator.outputs)
        ]
        attributes = sorted((key, repr(value)) for key, value in operator.attributes.items())
        return _digest(
            operator.op,
            operator.domain,
            operator.operand_shapes,
            attributes,
            parameters,
            outputs,
            operator.forward_flops,
        )


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=16).digest()
