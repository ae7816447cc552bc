"""The cost model `analytical`: the roofline of a host's hardware, operator by operator.

A kernel takes the longer of its arithmetic and its memory traffic, plus a launch overhead. The
backward pass has a kernel for every input tensor that needs a gradient, and one for the trainable
parameters; what kind each is comes from `planner.graphs.flop_rules`. Bytes are those of the graph:
a `precision` changes the arithmetic's peak and not the tensors. Everything is vectorised over the
operators but the FLOPs themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.costmodels import presets
from planner.costs.cost_file import MAX_SECONDS, AnalyticalHost
from planner.costs.cost_table import CostContext, HostCosts
from planner.errors import MAX_LISTED, PluginError, listed
from planner.graphs.flop_rules import UNKNOWN, Gradient, OperationRule, Traffic
from planner.graphs.graph import Graph
from planner.graphs.operations import lacks_shapes, rule_of

_GRADIENTS = tuple(Gradient)
_TRAFFICS = tuple(Traffic)
KindArray = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """What every operator computes and moves, forward; shape [operators].

    `input_bytes`, `parameter_bytes` and `output_bytes` are what it reads and writes in full;
    `trainable_bytes` is the part of the parameters that gets a gradient. `peaks` holds the
    attainable FLOP/s in the operator's precision.
    """

    rules: tuple[OperationRule, ...]
    flops: FloatArray
    peaks: FloatArray
    input_bytes: FloatArray
    parameter_bytes: FloatArray
    trainable_bytes: FloatArray
    output_bytes: FloatArray
    is_view: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The host's figures: attainable FLOP/s by type, bytes per second, seconds per kernel."""

    peak_by_dtype: dict[str, float]
    default_peak: float
    bandwidth: float
    overhead_s: float

    def seconds(
        self, flops: FloatArray, peaks: FloatArray, size_bytes: FloatArray, runs: BoolArray
    ) -> FloatArray:
        """Seconds of kernels; 0 where none runs."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            times = np.maximum(flops / peaks, size_bytes / self.bandwidth) + self.overhead_s
        return np.where(runs, times, 0.0)


class AnalyticalModel:
    """See the module; satisfies `planner.costs.cost_table.CostModel`."""

    name = "analytical"
    requires: tuple[str, ...] = ()
    options: type[BaseModel] = AnalyticalHost

    def cost(self, graph: Graph, options: BaseModel, context: CostContext) -> HostCosts:
        """Price every operator of `graph`.

        Raises:
            PlannerError: For an unknown preset, a precision that it lacks, or figures so small
                that an operator would take longer than `MAX_SECONDS`.
        """
        if not isinstance(options, AnalyticalHost):
            raise TypeError(f"expected AnalyticalHost, got {type(options).__name__}")
        roofline = _roofline(options, context.where)
        work = _work(graph, roofline)
        forward = roofline.seconds(work.flops, work.peaks, _forward_bytes(work), ~work.is_view)
        backward = np.zeros(len(graph.operators))
        if context.is_training:
            backward = _backward(graph, work, roofline, context)
        _check_seconds(graph, forward + backward, context.where)
        return HostCosts(forward_s=forward, backward_s=backward, notes=_notes(graph, work))


COST_MODEL = AnalyticalModel()


def _roofline(options: AnalyticalHost, where: str) -> Roofline:
    """Figures of the preset, each replaced by the host's own; without a preset, as given."""
    peaks: dict[str, float] = {}
    bandwidth, efficiency, overhead_s = 0.0, 1.0, 0.0
    if options.hardware is not None:
        preset = presets.get(options.hardware, where=f"{where}.hardware")
        peaks = preset.peak_flops.by_dtype()
        bandwidth = preset.memory_bandwidth_bytes_per_s
        efficiency, overhead_s = preset.efficiency, preset.overhead_s
        if options.precision not in (None, *peaks) and options.peak_flops is None:
            has = ", ".join(f"`{dtype}`" for dtype in peaks)
            raise PluginError(
                f"`{preset.name}` has no peak for `{options.precision}`, expected one of {has}",
                code="PLN315",
                where=f"{where}.precision",
                hint="`peak_flops` states one",
            )
    if options.efficiency is not None:
        efficiency = options.efficiency
    if options.peak_flops is not None:
        peaks = {"float32": options.peak_flops}
    if options.precision in peaks:
        peaks = {"float32": peaks[options.precision]}
    return Roofline(
        peak_by_dtype={dtype: peak * efficiency for dtype, peak in peaks.items()},
        default_peak=peaks["float32"] * efficiency,
        bandwidth=options.memory_bandwidth_bytes_per_s or bandwidth,
        overhead_s=overhead_s if options.overhead_s is None else options.overhead_s,
    )


def _work(graph: Graph, roofline: Roofline) -> Work:
    operators, tensors = graph.operators, graph.tensors
    count = len(operators)
    rules = tuple(rule_of(operator.op) for operator in operators)
    peaks = [
        roofline.peak_by_dtype.get(
            rule.precision or tensors[operator.outputs[0]].dtype or "float32",
            roofline.default_peak,
        )
        for operator, rule in zip(operators, rules, strict=True)
    ]
    produced = graph.producers >= 0
    parameter_bytes = np.array([p.size_bytes for p in graph.parameters], np.float64)
    trainable = np.array([p.trainable for p in graph.parameters], np.bool_)
    return Work(
        rules=rules,
        flops=graph.forward_flops,
        peaks=np.array(peaks, np.float64),
        input_bytes=_gathered(graph.consumers, graph.tensor_bytes.astype(np.float64), count),
        parameter_bytes=_gathered(graph.readers, parameter_bytes, count),
        trainable_bytes=_gathered(graph.readers, parameter_bytes * trainable, count),
        output_bytes=_summed(
            graph.producers[produced], graph.tensor_bytes[produced].astype(np.float64), count
        ),
        is_view=np.array([rule.traffic is Traffic.NOTHING for rule in rules], np.bool_),
    )


def _gathered(csr: tuple[IntArray, IntArray], values: FloatArray, count: int) -> FloatArray:
    """The sum, per operator, of the values of the items that it reads."""
    indptr, operators = csr
    return _summed(operators, np.repeat(values, np.diff(indptr)), count)


def _summed(operators: IntArray, values: FloatArray, count: int) -> FloatArray:
    # Of nothing at all, bincount returns integers.
    return np.bincount(operators, values, count).astype(np.float64)


def _forward_bytes(work: Work) -> FloatArray:
    kinds = np.array([_TRAFFICS.index(rule.traffic) for rule in work.rules], np.int8)
    everything = work.input_bytes + work.parameter_bytes + work.output_bytes
    twice = kinds == _TRAFFICS.index(Traffic.OUTPUT_TWICE)
    return np.where(twice, 2 * work.output_bytes, everything)


def _backward(graph: Graph, work: Work, roofline: Roofline, context: CostContext) -> FloatArray:
    is_priced = context.has_backward(graph) & ~work.is_view
    indptr, readers = graph.consumers
    tensors = np.repeat(np.arange(len(graph.tensors)), np.diff(indptr))
    chosen = context.needs_gradient[tensors] & is_priced[readers]
    own = graph.tensor_bytes[tensors[chosen]].astype(np.float64)
    seconds, kernels = _input_gradients(work, roofline, readers[chosen], own)
    weights = np.flatnonzero(is_priced & (work.trainable_bytes > 0))
    seconds[weights] += _weight_gradients(work, roofline, weights, kernels[weights] > 0)
    return seconds


def _input_gradients(
    work: Work, roofline: Roofline, operators: IntArray, own: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """One kernel for every pair of an operator and an input of `own` bytes.

    Returns:
        Seconds and number of kernels; shape [operators].
    """
    count = len(work.rules)
    kinds = _kinds([rule.input_gradient for rule in work.rules])[operators]
    runs = _has_kernel(kinds, own, work.output_bytes[operators])
    kernels = _summed(operators, runs.astype(np.float64), count)
    # What of the FLOPs that a file states for a type without a rule depends on which input is not
    # known: all its input gradients together count as one forward pass, as for a layer.
    is_unknown = np.array([rule is UNKNOWN for rule in work.rules], np.bool_)
    shares = np.where(is_unknown, np.maximum(kernels, 1.0), 1.0)
    seconds = roofline.seconds(
        (_gradient_flops(work) / shares)[operators],
        work.peaks[operators],
        _gradient_bytes(work, kinds, operators, own),
        runs,
    )
    return _summed(operators, seconds, count), kernels


def _weight_gradients(
    work: Work, roofline: Roofline, operators: IntArray, has_input_kernel: BoolArray
) -> FloatArray:
    """One kernel for all trainable parameters of each of `operators`; shape as theirs."""
    kinds = _kinds([rule.weight_gradient for rule in work.rules])[operators]
    own = work.trainable_bytes[operators]
    by_product = (kinds == _GRADIENTS.index(Gradient.BY_PRODUCT)) & has_input_kernel
    return roofline.seconds(
        _gradient_flops(work)[operators],
        work.peaks[operators],
        _gradient_bytes(work, kinds, operators, own),
        _has_kernel(kinds, own, work.output_bytes[operators]) & ~by_product,
    )


def _gradient_flops(work: Work) -> FloatArray:
    return work.flops * np.array([rule.gradient_flops for rule in work.rules], np.float64)


def _kinds(gradients: Sequence[Gradient]) -> KindArray:
    numbers = {gradient: number for number, gradient in enumerate(_GRADIENTS)}
    return np.array([numbers[gradient] for gradient in gradients], np.int8)


def _has_kernel(kinds: KindArray, own: FloatArray, outputs: FloatArray) -> BoolArray:
    """Whether anything is computed: a gradient of full size is handed on as it is."""
    handed_on = (kinds == _GRADIENTS.index(Gradient.HANDED_ON)) & (own == outputs)
    has_none = kinds == _GRADIENTS.index(Gradient.NONE)
    runs: BoolArray = ~(handed_on | has_none)
    return runs


def _gradient_bytes(
    work: Work, kinds: KindArray, operators: IntArray, own: FloatArray
) -> FloatArray:
    """Bytes of the kernels that compute gradients of `own` bytes at `operators`."""
    outputs = work.output_bytes[operators]
    operands = work.input_bytes[operators] + work.parameter_bytes[operators]
    plain = outputs + own
    formula = {
        Gradient.SHARE: 2 * own,
        Gradient.OTHERS: plain + operands - own,
        Gradient.OPERANDS: plain + operands,
        Gradient.BY_PRODUCT: plain + operands,
        Gradient.OUTPUTS: plain + outputs,
    }
    conditions = [kinds == _GRADIENTS.index(gradient) for gradient in formula]
    return np.select(conditions, list(formula.values()), plain)


def _check_seconds(graph: Graph, seconds: FloatArray, where: str) -> None:
    bad = np.flatnonzero(~(seconds <= MAX_SECONDS))
    if not len(bad):
        return
    names = listed([f"`{graph.operators[i].name}`" for i in bad], MAX_LISTED)
    raise PluginError(
        f"operators would take longer than {MAX_SECONDS:.0e} s: {names}",
        code="PLN316",
        where=where,
        hint="rates are in FLOP/s and bytes per second, without a prefix",
    )


def _notes(graph: Graph, work: Work) -> tuple[str, ...]:
    """What was priced by bytes alone, once per operator type, in the graph's order."""
    unruled: Counter[str] = Counter()
    shapeless: Counter[str] = Counter()
    for index in np.flatnonzero(work.flops == 0):
        operator = graph.operators[index]
        if work.rules[index] is UNKNOWN and operator.forward_flops is None:
            unruled[operator.op] += 1
        elif lacks_shapes(operator, graph.tensors):
            shapeless[operator.op] += 1
    return (
        *(
            f"no FLOP rule for {_counted(op, n)}, priced by bytes alone"
            for op, n in unruled.items()
        ),
        *(
            f"the shapes of {_counted(op, n)} are unknown or do not fit, priced by bytes alone"
            for op, n in shapeless.items()
        ),
    )


def _counted(op: str, count: int) -> str:
    return f"`{op}` ({count} operator{'s' if count > 1 else ''})"
