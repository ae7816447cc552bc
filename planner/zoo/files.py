"""Models of the zoo in memory, and on disk without ever leaving half a file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from planner.errors import InputError
from planner.files.writing import check_writable
from planner.zoo import registry
from planner.zoo.layers import Network
from planner.zoo.weights import Filling, place, write_random, write_zeros

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenModel:
    """What `write` has put on disk.

    Attributes:
        path: The ONNX file.
        n_bytes: Its size.
        weights_path: The file that its weights are in, or would be.
        weights_bytes: Apparent size of the weights; 0 if they are absent.
    """

    path: Path
    n_bytes: int
    weights_path: Path
    weights_bytes: int


def build(
    name: str, *, batch: int = 1, sequence: int = 128, training: bool = False
) -> onnx.ModelProto:
    """An architecture as an ONNX model whose weights are absent.

    Args:
        name: A key of `ARCHITECTURES`.
        batch: Samples per run.
        sequence: Tokens per sample; ignored by models of images.
        training: Whether batch normalisation and dropout behave as in training.

    Raises:
        InputError: PLN130 for an unknown name, PLN131 for a batch or sequence out of range.

    >>> build("lenet5", batch=8).graph.output[0].name
    'logits'
    """
    net = registry.network(name, batch=batch, sequence=sequence, is_training=training)
    return _to_onnx(net, name, f"{name}.weights")


def write(
    name: str,
    path: str | os.PathLike[str],
    *,
    batch: int = 1,
    sequence: int = 128,
    training: bool = False,
    weights: Filling | None = None,
    seed: int = 0,
    force: bool = False,
) -> WrittenModel:
    """Write an architecture as `foo.onnx` and, if wanted, its weights as `foo.weights`.

    Either all that was asked for is written or nothing is. With `force` and without `weights`, old
    weights beside an old model are removed: their layout may not be that of the new one.

    Args:
        name: A key of `ARCHITECTURES`.
        path: The ONNX file.
        batch: Samples per run.
        sequence: Tokens per sample; ignored by models of images.
        training: Whether batch normalisation and dropout behave as in training.
        weights: What to fill the weights file with; None for no such file.
        seed: Of random weights.
        force: Replace existing files.

    Raises:
        InputError: PLN120 if a file exists, PLN121 if one cannot be written, PLN130 for an unknown
            name, PLN131 for a batch, sequence, seed or kind of weights out of range.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write("lenet5", f"{folder}/lenet.onnx", weights="zeros").weights_path.name
    'lenet.weights'
    """
    if weights not in (None, "random", "zeros"):
        message = f"weights are `{weights}`, expected `random` or `zeros`"
        raise InputError(message, code="PLN131", where="weights")
    if seed < 0:
        message = f"seed is {seed}, expected a number >= 0"
        raise InputError(message, code="PLN131", where="seed")
    net = registry.network(name, batch=batch, sequence=sequence, is_training=training)
    model_path = Path(path)
    weights_path = model_path.with_suffix(".weights") if model_path.name else model_path
    data = _to_onnx(net, name, weights_path.name).SerializeToString(deterministic=True)
    try:
        _check_targets(model_path, weights_path, force=force)
        _replace_both(model_path, data, weights_path, _filler(net, weights, seed))
    except OSError as error:
        message = f"the model cannot be written: {error.strerror or error}"
        raise InputError(message, code="PLN121", where=str(model_path)) from error
    return WrittenModel(
        path=model_path,
        n_bytes=len(data),
        weights_path=weights_path,
        weights_bytes=weights_path.stat().st_size if weights else 0,
    )


def _to_onnx(net: Network, name: str, location: str) -> onnx.ModelProto:
    from planner.zoo.onnx_model import to_onnx

    entry = registry.ARCHITECTURES[name]
    return to_onnx(
        net,
        name,
        description=f"{entry.description}; {entry.reference}",
        placements=place(net.parameters),
        location=location,
    )


def _filler(net: Network, filling: Filling | None, seed: int) -> Callable[[BinaryIO], None] | None:
    placements = place(net.parameters)
    match filling:
        case "random":
            return lambda stream: write_random(stream, placements, seed)
        case "zeros":
            return lambda stream: write_zeros(stream, placements)
        case None:
            return None


def _check_targets(model: Path, weights_path: Path, *, force: bool) -> None:
    for path in (model, weights_path):
        check_writable(path, force=force)
    if model == weights_path:
        message = f"`{model}` is the name of the weights, expected one like `model.onnx`"
        raise InputError(message, code="PLN121", where=str(model))


def _replace_both(
    model: Path,
    data: bytes,
    weights_path: Path,
    fill: Callable[[BinaryIO], None] | None,
) -> None:
    token = secrets.token_hex(4)
    temporary_model = model.with_name(f".{model.name}.{token}.tmp")
    temporary_weights = weights_path.with_name(f".{weights_path.name}.{token}.tmp")
    unfinished = [temporary_model, temporary_weights]
    try:
        with temporary_model.open("xb") as stream:
            stream.write(data)
        if fill is None:
            weights_path.unlink(missing_ok=True)
        else:
            with temporary_weights.open("xb") as stream:
                fill(stream)
            # The weights first: a model that is there is then complete.
            temporary_weights.replace(weights_path)
            unfinished.append(weights_path)
        temporary_model.replace(model)
        unfinished.clear()
    finally:
        for path in unfinished:
            with suppress(OSError):
                path.unlink(missing_ok=True)
