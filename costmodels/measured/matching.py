"""Which measurements of a profile are those of a graph, and why none is.

The digest of a model leaves out constants, such as the factor of a Resize or the end of a Slice,
because exporters bake the batch into them. What they change is seen in what operators read and
write, so operators of one name are held against each other, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from planner.costs.profile_file import Engine, Measurement, Profile
from planner.errors import MAX_LISTED, PlannerError, PluginError, listed, shorten
from planner.graphs.graph import Graph
from planner.graphs.signatures import (
    gradient_digest,
    input_shapes,
    model_digest,
    operator_signature,
    output_bytes,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The measurements that price a graph.

    Attributes:
        measurements: One at the graph's batch, or several at others, by ascending batch.
        is_exact: Whether it is one at the graph's batch.
        place: Where the first of them is, for errors.
        notes: What was chosen among several.
    """

    measurements: tuple[Measurement, ...]
    is_exact: bool
    place: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is looked for: the host's name, the profile, and `inference` or `training`."""

    host: str
    profile: Profile
    mode: str

    def error(self, text: str, code: str, hint: str, at: Measurement | None = None) -> PlannerError:
        """An error about the profile, or about one measurement of it."""
        return PluginError(text, code=code, where=self.place(at), hint=hint)

    def place(self, measurement: Measurement | None = None) -> str:
        """Where the measurements are, or one of them."""
        section = f"{self.profile.place}.measurements"
        if measurement is None:
            return section
        numbers = [i for i, m in enumerate(self.profile.measurements) if m is measurement]
        return f"{section}[{numbers[0]}]"


def match(graph: Graph, request: Request) -> Match:
    """The measurements of `graph` in the requested mode, at its batch or at several others.

    Raises:
        PlannerError: If the profile has none: it is of another model (PLN317) or mode (PLN320), not
            finished (PLN319), by several engines (PLN321), or at one other batch (PLN318), or sizes
            are not on a line between batches (PLN318).
    """
    digest = model_digest(graph)
    same_model = [m for m in request.profile.measurements if m.digest == digest]
    if not same_model:
        raise _of_another_model(graph, request)
    same_shapes = [m for m in same_model if _shape_difference(graph, m) is None]
    if not same_shapes:
        raise _of_other_shapes(graph, same_model[0], request)
    usable = _with_gradients(graph, finished(same_shapes, request), request)
    if at_batch := [m for m in usable if m.batch == graph.batch]:
        exact = [m for m in at_batch if difference(graph, m) is None]
        if not exact:
            raise _of_other_sizes(graph, at_batch[-1], request)
        chosen = max(exact, key=_when)
        return Match(
            measurements=(chosen,),
            is_exact=True,
            place=request.place(chosen),
            notes=_chosen_of(exact, chosen),
        )
    alike = (
        _by_batch(other for other in usable if _is_alike(other.engine, m.engine))
        for m in sorted(usable, key=_when, reverse=True)
    )
    series = next((found for found in alike if len(found) > 1), ())
    if not series or graph.batch is None:
        raise _at_another_batch(graph, usable, request)
    if text := off_the_line(graph, series):
        hint = f"measure at batch {graph.batch}, with the same `--input` and `--dim` as here"
        raise request.error(text, "PLN318", hint, series[0])
    return Match(measurements=series, is_exact=False, place=request.place(series[0]))


def finished(measurements: Sequence[Measurement], request: Request) -> list[Measurement]:
    """Those that can be used, in file order; all by one engine.

    Raises:
        PlannerError: If there are none of the mode, none that is complete, or several engines.
    """
    mode = request.mode
    of_mode = [m for m in measurements if m.mode == mode]
    if not of_mode:
        others = _listed(dict.fromkeys(m.mode for m in measurements), str)
        text = f"`{request.host}` was measured in {others} only, expected {mode}"
        hint = f"`planner profile GRAPH --mode {mode}` measures that"
        raise request.error(text, "PLN320", hint, measurements[0])
    complete = [m for m in of_mode if m.is_complete]
    if not complete:
        model = of_mode[-1].model
        text = f"the measurement of `{shorten(model)}` in {mode} was not finished"
        hint = "finish it: `planner profile GRAPH -o FILE --resume`"
        raise request.error(text, "PLN319", hint, of_mode[-1])
    engines = dict.fromkeys(engine_name(m.engine) for m in complete)
    if len(engines) > 1:
        text = f"`{request.host}` was measured by {_listed(engines)}, expected one of them"
        hint = "give each a profile of its own"
        raise request.error(text, "PLN321", hint)
    return complete


def _with_gradients(
    graph: Graph, measurements: Sequence[Measurement], request: Request
) -> list[Measurement]:
    """Those of steps that trained what the graph trains.

    Raises:
        PlannerError: PLN317 if there are none.
    """
    wanted = gradient_digest(graph) if request.mode == "training" else ""
    found = [m for m in measurements if not wanted or m.gradients in ("", wanted)]
    if not found:
        text = f"`{shorten(measurements[-1].model)}` was measured with other parameters frozen"
        hint = "give `planner profile` the same `--frozen` as here"
        raise request.error(text, "PLN317", hint, measurements[-1])
    return found


def engine_name(engine: Engine) -> str:
    """What makes times comparable: what ran, where, and on how many threads."""
    provider = f" {engine.provider}" if engine.provider else ""
    plural = "" if engine.threads == 1 else "s"
    threads = f" on {engine.threads} thread{plural}" if engine.threads else ""
    return f"{engine.name}{provider}{threads}"


def _is_alike(one: Engine, other: Engine) -> bool:
    """Whether times at two batches are of one series; random numbers take as long as others."""
    this, that = (
        (e.version, e.optimization, {k: v for k, v in e.settings.items() if k != "seed"})
        for e in (one, other)
    )
    return this == that


def _by_batch(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The latest at each batch."""
    found: dict[int, Measurement] = {}
    for measurement in sorted(measurements, key=_when):
        if measurement.batch is not None:
            found[measurement.batch] = measurement
    return tuple(found[batch] for batch in sorted(found))


def _when(measurement: Measurement) -> str:
    return measurement.started


def _chosen_of(measurements: Sequence[Measurement], chosen: Measurement) -> tuple[str, ...]:
    if len(measurements) == 1:
        return ()
    count = len(measurements)
    return (f"measured {count} times at this batch; the last counts, of {chosen.started}",)


def _shape_difference(graph: Graph, measurement: Measurement) -> str | None:
    """The first input that was fed another shape, apart from the batch; None if there is none."""
    fed = {item.name: item for item in measurement.inputs}
    for name, (dtype, shape) in input_shapes(graph).items():
        item = fed.get(name)
        if item is None or not shape:
            continue
        start = 0 if graph.batch is None or measurement.batch is None else 1
        if item.dtype != dtype or (len(item.shape), *item.shape[start:]) != (
            len(shape),
            *shape[start:],
        ):
            return name
    return None


def _of_other_shapes(graph: Graph, measurement: Measurement, request: Request) -> PlannerError:
    name = _shape_difference(graph, measurement) or ""
    fed = next(item for item in measurement.inputs if item.name == name)
    dtype, shape = input_shapes(graph)[name]
    text = (
        f"`{shorten(measurement.model)}` was measured with `{name}` as "
        f"{_typed(fed.dtype, fed.shape)}, the graph has {_typed(dtype, shape)}"
    )
    hint = "give `planner profile` the same `--input` and `--dim` as here"
    return request.error(text, "PLN317", hint, measurement)


def _of_other_sizes(graph: Graph, measurement: Measurement, request: Request) -> PlannerError:
    text = (
        f"`{shorten(measurement.model)}` was another model when it was measured: "
        f"{difference(graph, measurement)}"
    )
    hint = "measure it again: `planner profile GRAPH -o FILE`"
    return request.error(text, "PLN317", hint, measurement)


def _typed(dtype: str, shape: Sequence[int]) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


def _of_another_model(graph: Graph, request: Request) -> PlannerError:
    measured = list({(m.model, m.digest): m for m in request.profile.measurements}.values())
    models = _listed(measured, lambda m: f"`{shorten(m.model)}` ({len(m.nodes)} operators)")
    text = (
        f"the profile is of {models}, the graph is `{shorten(graph.name)}` "
        f"({len(graph.operators)} operators){_difference(graph, measured)}"
    )
    hint = (
        "measure it with `planner profile`, or price it by the operators that were measured: "
        '`--by-signature` (`"by_signature": true`)'
    )
    return request.error(text, "PLN317", hint)


def _difference(graph: Graph, measured: Sequence[Measurement]) -> str:
    """What tells two models apart that look alike; nothing if they do not."""
    if len(measured) != 1 or len(measured[0].nodes) != len(graph.operators):
        return ""
    known = {row.node for row in measured[0].nodes}
    new = [operator.name for operator in graph.operators if operator.name not in known]
    if new:
        return f": `{shorten(new[0])}` was not measured"
    return ": the same operators, with other attributes, tensors or parameters"


def _at_another_batch(
    graph: Graph, usable: Sequence[Measurement], request: Request
) -> PlannerError:
    measured = sorted({m.batch for m in usable if m.batch is not None})
    wanted = graph.batch
    batches = _listed(measured, str) or "none"
    text = f"`{request.host}` was measured at batch {batches}, the graph is at {wanted}"
    if wanted is None:
        text = f"`{request.host}` was measured at batch {batches}, that of the graph is not known"
        hint = "load the graph at a batch that was measured: `--batch`"
    else:
        hint = (
            f"`planner profile GRAPH --batch {wanted} -o FILE` measures it; two batches, joined by "
            "`planner merge-profiles`, give all others"
        )
        if measured:
            hint = f"plan at `--batch {measured[0]}`, or {hint}"
    return request.error(text, "PLN318", hint, usable[0])


def _listed(items: Iterable[T], show: Callable[[T], str] = str) -> str:
    """`a, b and 3 more`, or `a and b`."""
    shown = [show(item) for item in items]
    if len(shown) > MAX_LISTED:
        return listed(shown, MAX_LISTED)
    return " and ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def difference(graph: Graph, measurement: Measurement) -> str | None:
    """The first operator that was another one where it was measured, at the graph's batch.

    Returns:
        What it wrote there and writes here, as part of a sentence; None if all are the same.
    """
    for row in measurement.nodes:
        index = graph.operator_index.get(row.node)
        if index is None:
            continue
        size = output_bytes(graph, index)
        if row.output_bytes not in (None, size):
            return f"`{shorten(row.node)}` wrote {row.output_bytes} bytes, in the graph {size}"
        # Scaled graphs have the shapes of the exported batch: only their sizes can be compared.
        is_comparable = bool(row.signature) and graph.batch_scale == 1
        if is_comparable and row.signature != operator_signature(graph, index):
            return f"`{shorten(row.node)}` has other shapes or types in the graph"
    return None


def off_the_line(graph: Graph, series: Sequence[Measurement]) -> str | None:
    """The first operator whose output does not grow with the batch as it did where measured.

    Args:
        graph: At a batch that was not measured.
        series: One model at two or more batches, ascending.

    Returns:
        As `difference`: sizes are checked against the line through the first and the last batch.
    """
    first, *between, last = series
    sizes = [{row.node: row.output_bytes for row in m.nodes} for m in (first, last, *between)]
    start, end, *inner = [m.batch or 0 for m in (first, last, *between)]
    for name, small in sizes[0].items():
        large, index = sizes[1].get(name), graph.operator_index.get(name)
        if small is None or large is None or index is None:
            continue
        wanted = output_bytes(graph, index)
        points = [(graph.batch or 0, wanted)]
        points += [(b, s) for b, row in zip(inner, sizes[2:], strict=True) if (s := row.get(name))]
        for batch, size in points:
            off = (size - small) * (end - start) - (large - small) * (batch - start)
            if abs(off) > end - start:  # a byte is rounding
                return (
                    f"`{shorten(name)}` writes {size} bytes at batch {batch}, which is not on the "
                    f"line through {small} at batch {start} and {large} at batch {end}"
                )
    return None
