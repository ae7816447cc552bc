"""Sessions of onnxruntime, made from models that lack their weights."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Callable, TypeVar

from ..bundle import Bundle
from ..errors import ProbeError
from ..settings import Settings
from .providers import fallbacks, full_name, short_name
from .wire import absent_initializers

T = TypeVar("T")

_OPERATOR_PATTERNS = (
    r"[Nn]ode with name '([^']+)'",
    r"[Nn]ode\. ?Name: ?'([^']+)'",
    r"in node \(([^()]+)\)",
    r"[Nn]ode ?\(([^()]+)\)",
    r"node '([^']+)'",
    r"[Ii]n Node, \(\"([^\"]+)\"",
)
_UNKNOWN_OP = r"(?:[\w.]*:)?(\w+)\(-?\d+\) is not a registered function/op"
_NO_MEMORY = (
    "failed to allocate memory",
    "bad_alloc",
    "out of memory",
    "bfcarena",
    "cannot allocate",
)
_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class SessionMaker:
    """Makes sessions of one bundle; weights are made up once and shared by all of them."""

    def __init__(self, bundle: Bundle, settings: Settings, *, keeps_dropout: bool = False) -> None:
        """Prepare.

        Args:
            bundle: The model.
            settings: How it is run.
            keeps_dropout: Whether the optimiser leaves Dropout alone, which it takes for a no-op
                even in training mode.

        Raises:
            ProbeError: PLN601 if the provider is not in this onnxruntime.
        """
        self.bundle = bundle
        self.settings = settings
        self.provider = full_name(settings.provider)
        self._disabled = ["EliminateDropout"] if keeps_dropout else None
        self._values: dict[str, tuple[Any, Any]] = {}

    def make(
        self, model: bytes, *, trace_prefix: Path | None = None, optimised: Path | None = None
    ) -> Any:
        """A session.

        Args:
            model: A serialized ModelProto of the bundle.
            trace_prefix: Start of the name of the trace file, to write one.
            optimised: Where to save what the optimiser makes of the model, without weights.

        Raises:
            ProbeError: PLN602 if the provider does not initialise, PLN603 if onnxruntime cannot run
                the model, PLN604 if memory does not suffice.
        """
        return self.guard(lambda: self._make(model, trace_prefix, optimised))

    def _make(self, model: bytes, trace_prefix: Path | None, optimised: Path | None) -> Any:
        import onnxruntime

        options = self._options(onnxruntime)
        if trace_prefix is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(trace_prefix)
        if optimised is not None:
            _save_without_weights(options, optimised)
        names = absent_initializers(model)
        if names:
            options.add_external_initializers(names, [self._value(name) for name in names])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it fell back to another provider is seen below
            session = self._start(onnxruntime, model, options)
        used = session.get_providers()
        if not used or used[0] != self.provider:
            self._refuse("onnxruntime fell back to `{}`".format(short_name((used or ["none"])[0])))
        return session

    def _start(self, onnxruntime: Any, model: bytes, options: Any) -> Any:
        chain = fallbacks(self.provider)
        present = onnxruntime.get_available_providers()
        chain = [name for name in chain if name == self.provider or name in present]
        try:
            return onnxruntime.InferenceSession(
                model, options, providers=chain, disabled_optimizers=self._disabled
            )
        except Exception as error:
            text = str(error)
            is_providers = short_name(self.provider) != "cpu" and not _is_memory(error)
            if is_providers and not _names_operator(text):
                self._refuse(_first_line(text))
            raise

    def _refuse(self, reason: str) -> None:
        raise ProbeError(
            f"provider `{short_name(self.provider)}` is listed but does not initialise: {reason}",
            code="PLN602",
            where="--provider",
            hint="its libraries must suit this onnxruntime; `--provider cpu` always runs",
        )

    def _options(self, onnxruntime: Any) -> Any:
        options = onnxruntime.SessionOptions()
        level = _LEVELS[self.settings.level]
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.intra_op_num_threads = self.settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Threads of one session that wait for work would slow the other one down.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def _value(self, name: str) -> Any:
        """A weight as onnxruntime takes it; the array behind it has to live as long."""
        import onnxruntime

        if name not in self._values:
            array = self.bundle.weight(name)
            if self.bundle.weight_dtype(name) == "bfloat16":
                make = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type
                self._values[name] = (array, make(array, 16))
            else:
                self._values[name] = (array, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        return self._values[name][1]

    def guard(self, action: Callable[[], T]) -> T:
        """Do something with onnxruntime.

        Raises:
            ProbeError: PLN603 with the operator, PLN604; in place of what onnxruntime raises.
        """
        try:
            return action()
        except (ProbeError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if _is_memory(error):
                raise ProbeError(
                    f"memory does not suffice: {_first_line(str(error)) or 'MemoryError'}",
                    code="PLN604",
                    hint="measure a smaller `--batch`, or close other programs",
                ) from error
            raise ProbeError(
                f"onnxruntime cannot run the model: {_first_line(str(error))}",
                code="PLN603",
                where=self._operator(str(error)),
            ) from error

    def _operator(self, text: str) -> str | None:
        """The operator that a message of onnxruntime names."""
        for pattern in _OPERATOR_PATTERNS:
            match = re.search(pattern, text)
            if match:
                return f"operator `{match.group(1)}`"
        match = re.search(_UNKNOWN_OP, text)
        if match is None:
            return None
        ops = {node["name"]: node["op"] for node in self.bundle.manifest["nodes"]}
        names = [name for name, op in ops.items() if op == match.group(1)]
        return f"operator `{names[0]}` ({match.group(1)})" if names else match.group(1)


def _names_operator(text: str) -> bool:
    return any(re.search(pattern, text) for pattern in (*_OPERATOR_PATTERNS, _UNKNOWN_OP))


def _is_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)


def _first_line(text: str) -> str:
    line = (text.strip().splitlines() or [""])[0]
    return line if len(line) <= 500 else line[:499] + "…"


def _save_without_weights(options: Any, path: Path) -> None:
    """Save the optimised model; its weights go to a file that is not kept."""
    options.optimized_model_filepath = str(path)
    weights = path.with_suffix(".weights")
    try:
        if not weights.exists() and not weights.is_symlink():
            weights.symlink_to("/dev/null")
    except OSError:
        pass  # then they take room on the disk until the folder is deleted
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", weights.name
    )
