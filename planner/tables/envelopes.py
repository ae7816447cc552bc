"""The lower envelope of linear functions over a box, and its vertices, in whole numbers.

The region under the envelope is a polyhedron: `z ≤ constant + Σ slope·x` for every cut, `x` in the
box. It is kept by its vertices and changed cut by cut (the double description method). A float64
is a fraction, so all of it is done in integers of any length: which cuts meet in a vertex, and
which vertices share an edge, is never a matter of tolerances, however degenerate the cuts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import product
from math import gcd, lcm
from operator import mul, or_

Cut = tuple[float, ...]
"""A linear function: its constant, then its slope along each axis. None is negative."""
Interval = tuple[float, float]
Point = tuple[int, ...]
"""Homogeneous coordinates w, w·x₁, …, w·z; w = 0 is the direction straight down."""


@dataclass(slots=True, eq=False)
class Vertex:
    """A corner of the region under the envelope.

    Attributes:
        point: Where it is.
        active: Bit mask of the half-spaces on whose border it lies.
        is_verified: For the use of whoever looks for better cuts.
    """

    point: Point
    active: int
    is_verified: bool = False

    @property
    def position(self) -> tuple[float, ...]:
        """Coordinates in the box, each the nearest float64."""
        weight, *scaled = self.point[:-1]
        return tuple(x / weight for x in scaled)

    @property
    def height(self) -> float:
        """Value of the envelope there."""
        return self.point[-1] / self.point[0]


class Envelope:
    """The minimum of linear functions over a box.

    Args:
        box: Lower and upper end of each axis, the lower one smaller.
        first: One cut; `add` takes the others.
    """

    def __init__(self, box: Sequence[Interval], first: Cut) -> None:
        self.box = tuple(box)
        self.cuts: list[Cut] = [first]
        self._planes = [p for axis in range(len(self.box)) for p in self._walls(axis)]
        all_walls = (1 << len(self._planes)) - 1
        self._planes.append(_under(first))
        down = Vertex((*[0] * (len(self.box) + 1), -1), all_walls, is_verified=True)
        corners = [_corner(ends, first) for ends in product(*self.box)]
        self._generators = [down, *(Vertex(p, self._mask(p)) for p in corners)]

    @property
    def vertices(self) -> list[Vertex]:
        """Every vertex of the envelope: corners of the box, and where cuts meet."""
        return self._generators[1:]

    def excess(self, vertex: Vertex, cut: Cut) -> Fraction:
        """How far the envelope is above a cut at a vertex, relative to the envelope there."""
        weight, *scaled, height = vertex.point
        total = sum(map(mul, map(Fraction, cut), (weight, *scaled)), Fraction(0))
        return (height - total) / height if height else Fraction(0)

    def add(self, cut: Cut) -> None:
        """Lower the envelope to a cut wherever that is below it."""
        plane, bit = _under(cut), 1 << len(self._planes)
        slack = [_dot(plane, g.point) for g in self._generators]
        kept = [(g, s) for g, s in zip(self._generators, slack, strict=True) if s >= 0]
        above = [(g, s) for g, s in zip(self._generators, slack, strict=True) if s < 0]
        # What lies on edges from what is cut off to what stays.
        added = [
            Vertex(_between(inner.point, s, outer.point, -t), inner.active & outer.active | bit)
            for inner, s in kept
            if s > 0
            for outer, t in above
            if self.is_edge(inner, outer)
        ]
        for vertex, s in kept:
            vertex.active |= 0 if s else bit
        self._planes.append(plane)
        self.cuts.append(cut)
        self._generators = [*(g for g, _ in kept), *added]

    def is_edge(self, one: Vertex, other: Vertex) -> bool:
        """Whether two vertices are joined by an edge: nothing else lies on all they share."""
        common = one.active & other.active
        if common.bit_count() < len(self.box):
            return False
        return not any(
            g.active & common == common for g in self._generators if g is not one and g is not other
        )

    def cells(self) -> dict[int, list[Vertex]]:
        """Vertices of the region in which each cut is lowest, by the cut's number.

        Cuts that are lowest at most on a border between others are left out: a face that is no
        facet is part of one.
        """
        found = {
            number: frozenset(
                i for i, v in enumerate(self.vertices) if v.active & self._bit(number)
            )
            for number in range(len(self.cuts))
        }
        distinct = set(found.values())
        return {
            number: [self.vertices[i] for i in sorted(own)]
            for number, own in found.items()
            if own and not any(own < other for other in distinct)
        }

    def walls_of(self, vertex: Vertex) -> list[int]:
        """Per axis, -1 or 1 for a vertex on the lower or upper wall of the box, else 0."""
        return [
            (vertex.active >> (2 * axis + 1) & 1) - (vertex.active >> 2 * axis & 1)
            for axis in range(len(self.box))
        ]

    def _walls(self, axis: int) -> list[Point]:
        """`x - low ≥ 0` and `high - x ≥ 0`, for w ≥ 0."""
        planes = []
        for end, sign in zip(self.box[axis], (1, -1), strict=True):
            numerator, denominator = end.as_integer_ratio()
            plane = [0] * (len(self.box) + 2)
            plane[0], plane[1 + axis] = -sign * numerator, sign * denominator
            planes.append(tuple(plane))
        return planes

    def _bit(self, cut: int) -> int:
        return 1 << (2 * len(self.box) + cut)

    def _mask(self, point: Point) -> int:
        bits = (1 << i for i, plane in enumerate(self._planes) if _dot(plane, point) == 0)
        return reduce(or_, bits, 0)


def _under(cut: Cut) -> Point:
    """`constant + Σ slope·x - z ≥ 0`."""
    return _whole([*map(Fraction, cut), Fraction(-1)])


def _corner(ends: Sequence[float], cut: Cut) -> Point:
    """A corner of the box, at the height of a cut."""
    position = [Fraction(1), *map(Fraction, ends)]
    height = sum((Fraction(c) * x for c, x in zip(cut, position, strict=True)), Fraction(0))
    return _whole([*position, height])


def _between(inner: Point, slack: int, outer: Point, excess: int) -> Point:
    """Where the way from `inner` to `outer` meets the border: a plane that both are off."""
    mixed = [excess * a + slack * b for a, b in zip(inner, outer, strict=True)]
    divisor = gcd(*mixed)
    return tuple(number // divisor for number in mixed)


def _whole(fractions: Sequence[Fraction]) -> Point:
    scale = lcm(*(f.denominator for f in fractions))
    return tuple(int(f * scale) for f in fractions)


def _dot(plane: Point, point: Point) -> int:
    return sum(map(mul, plane, point))
