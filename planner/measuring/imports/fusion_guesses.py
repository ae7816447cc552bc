"""Operators without a kernel of their own: which one they were fused into, from the graph alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from planner.graphs.graph import Graph
from planner.graphs.operations import MAC_FAMILIES, rule_of
from planner.measuring.imports.attribution import Attribution, Kernel, free_operators
from planner.measuring.imports.runtime_names import Found, is_layout

_PREFIXES = ("Fused", "Nhwc", "NhwcFused", "QLinear")
_COMPUTES = {"Gemm": ("Gemm", "MatMul"), "Conv": ("Conv",), "MatMul": ("MatMul",)}


def guess_fusions(
    attribution: Attribution, kernels: Sequence[Kernel], found: Sequence[Found | None]
) -> int:
    """Charge kernels to the operators they name and to those that must have run with these.

    In this order: what a name says; what lies between the named operator and the one that does the
    kernel's computation; whole parts of the graph without a time, for kernels without a name that
    ran in their place; then each operator to the one whose only reader it is, or the only one that
    reads it.

    Args:
        attribution: Of a graph, without anything charged.
        kernels: In the order in which they ran.
        found: What each name means.

    Returns:
        How many operators were guessed.
    """
    guess = _Guess(attribution)
    named = {f.operator for f in found if f is not None and f.operator is not None}
    nameless: list[tuple[int, Kernel]] = []
    for position, (kernel, meaning) in enumerate(zip(kernels, found, strict=True)):
        if meaning is None:
            nameless.append((position, kernel))
        elif meaning.operator is None:
            attribution.place(kernel, (), position, "")
        else:
            members = guess.around(meaning.operator, kernel, named)
            attribution.place(kernel, members, position, "kernel")
    explicit = len(named)
    guess.fill_parts(nameless)
    guess.join_neighbours()
    return sum(map(attribution.is_timed, range(len(guess.graph.operators)))) - explicit


class _Guess:
    """The graph as the guesses see it: neighbours, and what still lacks a time."""

    def __init__(self, attribution: Attribution) -> None:
        self.attribution = attribution
        self.graph: Graph = attribution.graph
        self._is_free = free_operators(self.graph)
        self._outputs = set(self.graph.outputs)

    def producers(self, operator: int) -> list[int]:
        tensors = self.graph.operators[operator].inputs
        found = (self.graph.tensors[t].producer for t in tensors)
        return [producer for producer in found if producer >= 0]

    def readers(self, operator: int) -> set[int]:
        outputs = self.graph.operators[operator].outputs
        return {c for t in outputs for c in self.graph.tensors[t].consumers}

    def lacks_time(self, operator: int) -> bool:
        return not self._is_free[operator] and not self.attribution.is_timed(operator)

    def around(self, operator: int, kernel: Kernel, named: Collection[int]) -> set[int]:
        """The named operator, and those from there to the one that does the computation."""
        base = kernel.op
        for prefix in sorted(_PREFIXES, key=len, reverse=True):
            base = base.removeprefix(prefix)
        targets = _COMPUTES.get(base, (base,))
        op = self.graph.operators[operator].op
        if op not in targets:
            return self._way_back(operator, targets, named)
        only = self._only_reader(operator)
        if (base, op) == ("Gemm", "MatMul") and only is not None and only not in named:
            is_sum = self.graph.operators[only].op == "Add"
            return {operator, only} if is_sum else {operator}
        return {operator}

    def _way_back(
        self, operator: int, targets: tuple[str, ...], named: Collection[int]
    ) -> set[int]:
        """From the last operator of a kernel to the first, over some that feed nothing else."""
        ways: list[tuple[int, ...]] = [(operator,)]
        while ways:
            way = ways.pop(0)
            if self.graph.operators[way[-1]].op in targets:
                return set(way)
            for producer in self.producers(way[-1]):
                is_open = producer not in named and not self.attribution.is_timed(producer)
                if is_open and self.readers(producer) == {way[-1]} and len(way) < 8:
                    ways.append((*way, producer))
        return {operator}

    def _only_reader(self, operator: int) -> int | None:
        """The one operator that reads what this one writes, views between them left out."""
        while True:
            readers = self.readers(operator)
            outputs = self.graph.operators[operator].outputs
            if len(readers) != 1 or not self._outputs.isdisjoint(outputs):
                return None
            (operator,) = readers
            if not self._is_free[operator] or self.attribution.is_timed(operator):
                return operator

    def fill_parts(self, nameless: list[tuple[int, Kernel]]) -> None:
        """Give kernels that nothing names to the connected parts of the graph that lack a time.

        A part fits if the kernel ran after all that the part reads, and before all that reads it.
        """
        windows = [(part, *self._window(part)) for part in self._parts()]
        for position, kernel in nameless:
            fits: set[int] = set()
            if not is_layout(kernel):
                candidates = (p for p, after, before in windows if after < position < before)
                fits = next((p for p in candidates if self._may_be(p)), set())
            self.attribution.place(kernel, fits, position, "guessed: kernel")

    def _may_be(self, part: set[int]) -> bool:
        """Whether nothing ran in the part's place yet: one kernel, one part."""
        return not any(self.attribution.is_timed(operator) for operator in part)

    def _parts(self) -> Iterator[set[int]]:
        """Connected operators without a time, in the order of their first ones.

        A tensor that a timed operator reads was written out, and so ends a kernel.
        """
        seen: set[int] = set()
        for start in range(len(self.graph.operators)):
            if start in seen or not self.lacks_time(start):
                continue
            part, pending = {start}, [start]
            while pending:
                operator = pending.pop()
                for other in self._within_kernel(operator):
                    if other not in part:
                        part.add(other)
                        pending.append(other)
            seen |= part
            yield part

    def _within_kernel(self, operator: int) -> Iterator[int]:
        """Neighbours over tensors that nothing with a time reads."""
        if self._is_internal(operator):
            yield from filter(self.lacks_time, self.readers(operator))
        for producer in self.producers(operator):
            if self.lacks_time(producer) and self._is_internal(producer):
                yield producer

    def _is_internal(self, operator: int) -> bool:
        return not any(self.attribution.is_timed(reader) for reader in self.readers(operator))

    def _window(self, part: set[int]) -> tuple[float, float]:
        """Positions after which, and before which, a part of the graph must have run."""
        before = [p for o in part for p in self.producers(o) if self.attribution.is_timed(p)]
        after = [r for o in part for r in self.readers(o) if self.attribution.is_timed(r)]
        position = self.attribution.position
        return max(map(position, before), default=-1), min(map(position, after), default=1e18)

    def join_neighbours(self) -> None:
        """Operators to what they alone read from, or alone feed; until nothing changes."""
        order = range(len(self.graph.operators))
        n_left = -1
        while n_left != (n_left := sum(map(self.lacks_time, order))):
            for operator in order:
                if self.lacks_time(operator) and not self._is_heavy(operator):
                    self._join(operator, [*self._feeding_only(operator)])
            for operator in reversed(order):
                reader = self._only_reader(operator)
                if self.lacks_time(operator) and reader is not None:
                    self._join(operator, [reader])

    def _is_heavy(self, operator: int) -> bool:
        """A product starts a kernel; nothing before it takes it in."""
        return rule_of(self.graph.operators[operator].op).family in MAC_FAMILIES

    def _feeding_only(self, operator: int) -> Iterator[int]:
        """What this operator reads and nobody else does, views between them left out."""
        for producer in self.producers(operator):
            while self._is_free[producer] and not self.attribution.is_timed(producer):
                further = self.producers(producer)
                if len(further) != 1:
                    break
                producer = further[0]
            if self._only_reader(producer) == operator:
                yield producer

    def _join(self, operator: int, others: list[int]) -> None:
        """The latest of them: a fused kernel runs once everything it reads is there."""
        timed = [other for other in others if self.attribution.is_timed(other)]
        if timed:
            self.attribution.join(operator, max(timed, key=self.attribution.position))
