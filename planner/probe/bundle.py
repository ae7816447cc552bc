"""A model in a folder, ready to be run: the manifest, its inputs and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence
from zlib import crc32

import numpy as np

from .errors import ProbeError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

VERSION = 1


class Bundle:
    """What `planner.measuring.bundles.write_bundle` wrote.

    Attributes:
        folder: Where `manifest.json` is.
        manifest: Its content.
        seed: Of weights and inputs.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        """Open a bundle.

        Raises:
            ProbeError: PLN605 if `folder` holds none, or one of another version.
        """
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder / "manifest.json")
        self.seed = seed
        self._weights = {item["name"]: item for item in self.manifest["weights"]}

    def inputs_feed(self, seed: int = 0) -> dict[str, Array]:
        """Random inputs: normal numbers, whole ones inside their range, either truth value."""
        return {
            item["name"]: random_input(item, _generator(item["name"], seed))
            for item in self.manifest["inputs"]
        }

    def weight(self, name: str) -> Array:
        """A weight with random values that depend on its name alone, and on the bundle's seed."""
        item = self._weights[name]
        return random_weight(item["dtype"], item["shape"], _generator(name, self.seed))

    def weight_names(self) -> Sequence[str]:
        """Every weight that the model files lack."""
        return tuple(self._weights)

    def weight_dtype(self, name: str) -> str:
        """The element type of a weight, by its name in ONNX."""
        return str(self._weights[name]["dtype"])

    def constants(self) -> dict[str, Array]:
        """Initializers that are in the model files as well, by name."""
        path = self.folder / "constants.npz"
        if not path.is_file():
            return {}
        names = self.manifest["constants"]
        with np.load(str(path)) as content:
            return {names[int(key)]: content[key] for key in content.files}


def random_input(item: dict[str, Any], random: np.random.Generator) -> Array:
    """An input as an entry of the manifest's `inputs` describes it.

    Raises:
        ProbeError: PLN605 for bfloat16.
    """
    if item["dtype"] == "bfloat16":
        raise ProbeError(
            "inputs of type bfloat16 cannot be fed: numpy has no such type",
            code="PLN605",
            where="input `{}`".format(item["name"]),
            hint="export the model with inputs of float32 or float16",
        )
    shape, dtype = tuple(item["shape"]), np.dtype(item["dtype"])
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return random.integers(item.get("low", 0), item.get("high", 2), shape).astype(dtype)
    return random.standard_normal(shape, np.float32).astype(dtype)


def random_weight(dtype: str, shape: Sequence[int], random: np.random.Generator) -> Array:
    """Weights that keep activations in range: no overflow, no denormal numbers.

    `bfloat16`, which numpy does not have, comes as its 16 bits (uint16).
    """
    if dtype not in ("float16", "float32", "float64", "bfloat16"):
        kind = np.dtype(dtype)
        if kind.kind in "iu" and kind.itemsize == 1:
            return random.integers(0, 16, tuple(shape)).astype(kind)
        return np.zeros(tuple(shape), kind)
    if len(shape) >= 2:
        # Of a matrix it is not known which dimension is summed over.
        fan_in = max(shape) if len(shape) == 2 else int(np.prod(list(shape)[1:]))
        values = random.standard_normal(tuple(shape), np.float32)
        values *= np.float32(1 / max(fan_in, 1) ** 0.5)
    else:
        values = random.random(tuple(shape), np.float32)
        values += np.float32(0.5)
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values if dtype == "float32" else values.astype(dtype)


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(name.encode())])


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        text = f"not a bundle: {error}"
        raise ProbeError(text, code="PLN605", where=str(path)) from error
    if not isinstance(content, dict) or content.get("kind") != "bundle":
        raise ProbeError("not a bundle's manifest", code="PLN605", where=str(path))
    if content.get("version") != VERSION:
        raise ProbeError(
            "the bundle has version {}, expected {}".format(content.get("version"), VERSION),
            code="PLN605",
            where=str(path),
            hint="export it again with the version of the planner that is to read the profile",
        )
    return content
