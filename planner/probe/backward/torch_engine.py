"""The training measurement by torch: whole steps and steps operator by operator, in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import ProbeError
from ..measurements import check_unfinished, empty_measurement
from ..settings import WARM_UPS
from ..statistics import scaled, timing, typical
from ..torch_ops.operators import to_tensor
from ..torch_ops.program import Program, is_out_of_memory
from .torch_training import TrainingStep

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..reporting import Reporter
    from ..settings import Settings

NAME = "torch"
BUSY_FACTOR = 1.25
"""Short operators find a moment without disturbance, whole steps on a busy machine do not."""

_CUDA_PROVIDERS = frozenset({"cuda", "tensorrt"})
_UPDATE = "autograd of this operator, and gradient descent on the weights it is the first to read"


def device_for(provider: str) -> str | None:
    """Where torch runs what onnxruntime would run on `provider`; None if it cannot do so."""
    if provider in _CUDA_PROVIDERS:
        return "cuda" if torch.cuda.is_available() else None
    return "cpu"


def program_of(bundle: Bundle, device: str = "cpu", seed: int = 0) -> Program:
    """The model of a bundle, with weights, inputs, and everything in training mode.

    Raises:
        UnsupportedByTorch: If torch lacks an operator.
    """
    manifest, constants = bundle.manifest, bundle.constants()
    weights = {
        item["name"]: to_tensor(bundle.weight(item["name"]), item["dtype"])
        for item in manifest["weights"]
    }
    trainable = {item["name"] for item in manifest["weights"] if item["trainable"]}
    trainable |= _small_trainable(manifest) & constants.keys()
    return Program(
        manifest["nodes"],
        manifest["outputs"],
        inputs=bundle.inputs_feed(seed),
        weights=weights,
        trainable=trainable,
        constants=constants,
        opset=manifest["model"]["opset"],
        device=device,
    )


def _small_trainable(manifest: dict[str, Any]) -> set[str]:
    """What needs a gradient although it may be in the files: small weights among others."""
    names = {name for given in manifest["gradient_inputs"].values() for name in given}
    for node in reversed(manifest["nodes"]):
        if node["operator"] is None and names.intersection(node["outputs"]):
            names.update(node["inputs"][:1])  # it only re-arranges a weight
    return names


class Samples:
    """Seconds by round: of whole steps, and of operators; `rounds_left` are still to be run."""

    def __init__(self, unfinished: dict[str, Any] | None = None) -> None:
        given = unfinished or {}
        self.whole: list[list[float]] = [list(pair) for pair in given.get("whole", [])]
        self.forward: dict[str, list[float]] = dict(given.get("forward", {}))
        self.backward: dict[str, list[float]] = dict(given.get("backward", {}))
        self.rounds_left = int(given.get("rounds_left", 0))

    def add(
        self, whole: tuple[float, float], parts: tuple[dict[str, float], dict[str, float]]
    ) -> None:
        """One round."""
        self.whole.append(list(whole))
        for known, new in zip((self.forward, self.backward), parts):
            for name, seconds in new.items():
                known.setdefault(name, []).append(seconds)
        self.rounds_left -= 1

    def as_dict(self) -> dict[str, Any]:
        """For the profile of an interrupted measurement."""
        return {
            "engine": NAME,
            "rounds_left": self.rounds_left,
            "whole": self.whole,
            "forward": self.forward,
            "backward": self.backward,
        }


def measure(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any]:
    """Measure training with torch.

    Returns:
        A measurement of the profile; not complete if it was interrupted.

    Raises:
        UnsupportedByTorch: If torch lacks an operator; nothing was measured then.
        ProbeError: PLN604 if there is not enough memory, PLN606 if what is to be gone on with was
            measured in another way.
    """
    run = _Run(bundle, settings, reporter, check_unfinished(bundle, settings, unfinished))
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        run.all_rounds()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        model = bundle.manifest["model"]
        raise ProbeError(
            "memory does not suffice for a training step at batch {}".format(model["batch"]),
            code="PLN604",
            where=model["name"],
            hint="measure at a smaller batch (`--batch`), or inference only (`--mode inference`)",
        ) from error
    finally:
        torch.set_num_threads(threads)
    return run.measurement()


class _Run:
    """The rounds of one measurement: each is a whole step and a step operator by operator."""

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings,
        reporter: Reporter,
        unfinished: dict[str, Any] | None,
    ) -> None:
        device = device_for(settings.provider)
        if device is None:
            raise ValueError(f"torch has no device for provider {settings.provider}")
        self.bundle, self.settings, self.reporter = bundle, settings, reporter
        self.device = device
        self.samples = Samples(unfinished)
        entry = {
            "name": NAME,
            "version": str(torch.__version__),
            "provider": device,
            "threads": settings.threads,
            "optimization": "eager",
            "settings": {"update": "gradient descent", "seed": str(settings.seed)},
        }
        self._empty = empty_measurement(bundle, "training", entry)
        self._engine = f"torch {torch.__version__} on {device}"

    def all_rounds(self) -> None:
        """Measure until there are enough rounds, or somebody interrupts."""
        seed, samples, reporter = self.settings.seed, self.samples, self.reporter
        reporter.phase("training")
        step = TrainingStep(program_of(self.bundle, self.device, seed), seed)
        step.by_operator()
        expected_s = 2 * min(sum(step.whole()) for _ in range(WARM_UPS))
        rounds = self.settings.rounds(expected_s)
        wanted = max(rounds, len(samples.whole) + samples.rounds_left)
        samples.rounds_left = max(wanted - len(samples.whole), 1)
        reporter.total(samples.rounds_left * expected_s)
        while samples.rounds_left and not reporter.interrupted:
            whole = step.whole()
            if reporter.interrupted:
                break
            samples.add(whole, step.by_operator())
            reporter.step(expected_s)
            reporter.checkpoint(self.measurement)

    def measurement(self) -> dict[str, Any]:
        """What is known up to now."""
        samples, manifest = self.samples, self.bundle.manifest
        is_complete = not samples.rounds_left
        state = {"settings": self.settings.as_dict(), **samples.as_dict()}
        found: dict[str, Any] = {
            **self._empty,
            "is_complete": is_complete,
            "notes": list(self._empty["notes"]),
            "unfinished": None if is_complete else state,
        }
        if samples.whole:
            found["whole"], factors = _whole(samples, self._engine)
            if max(factors) > BUSY_FACTOR:
                text = "the machine was busy: whole steps took {:.2f} times their operators' sum"
                found["notes"].append(text.format(max(factors)))
            found["nodes"] = _rows(manifest, samples, factors, self._engine)
        return found


def _whole(samples: Samples, engine: str) -> tuple[dict[str, Any], tuple[float, float]]:
    """The whole step, and what the operators have to be multiplied by to add up to it."""
    entries = [
        timing([pair[i] for pair in samples.whole], f"{engine}: {what}")
        for i, what in enumerate(("forward in training mode", "backward and gradient descent"))
    ]
    sums = [
        sum(typical(seconds)[0] for seconds in parts.values())
        for parts in (samples.forward, samples.backward)
    ]
    forward, backward = (
        entry["typical_s"] / total if total else 1.0 for entry, total in zip(entries, sums)
    )
    whole: dict[str, Any] = {"forward": entries[0], "sum_forward_s": sums[0]}
    if samples.backward:
        whole.update({"backward": entries[1], "sum_backward_s": sums[1]})
    return whole, (forward, backward)


def _rows(
    manifest: dict[str, Any], samples: Samples, factors: tuple[float, float], engine: str
) -> list[dict[str, Any]]:
    nothing = {"typical_s": 0.0, "spread_s": 0.0, "n_runs": 0, "origin": "measured"}
    rows = []
    for item in manifest["operators"]:
        name = item["name"]
        forward = dict(nothing, method="no computation of its own")
        if name in samples.forward:
            method = f"{engine}: this operator, training mode"
            forward = scaled(timing(samples.forward[name], method), factors[0])
        backward = None
        if item["has_backward"]:
            backward = dict(nothing, method="no gradient reaches it")
            if name in samples.backward:
                method = f"{engine}: {_UPDATE}"
                backward = scaled(timing(samples.backward[name], method), factors[1])
        rows.append(
            {
                "name": name,
                "op": item["op"],
                "signature": item["signature"],
                "output_bytes": item["output_bytes"],
                "forward": forward,
                "backward": backward,
            }
        )
    return rows
