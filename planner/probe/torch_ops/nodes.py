"""What an operator of the manifest is to torch, and the table of those that torch can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Kernel = Callable[..., Any]
    Maker = Callable[["TorchNode"], Kernel]
    Reader = Callable[[Any], list[Any]]

DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
"""Torch's type for each element type of ONNX that torch has."""

_TABLE: dict[str, Maker] = {}
_DOMAINS = ("", "ai.onnx", "com.microsoft")


class UnsupportedByTorch(Exception):  # noqa: N818 - it says what is the case, not that it is wrong
    """Torch has nothing for an operator, or not for these attributes.

    Args:
        op: Its type, with the reason in parentheses where the type alone is none.
    """

    def __init__(self, op: str) -> None:
        super().__init__(f"no torch equivalent of {op}")
        self.op = op


class TorchNode:
    """One operator, before it is run.

    Attributes:
        op: Its type.
        domain: Its operator set; empty for that of ONNX.
        inputs: Names of what it reads, "" for what is left out.
        outputs: Names of its results.
        attributes: Of the model's file.
        constants: Values of inputs that never change, by position.
        opset: Version of ONNX's operator set.
        is_training: Whether normalisation and dropout behave as in training, whatever the file
            says; else as the file says.
        device: Where new tensors are made.
    """

    def __init__(
        self,
        item: Mapping[str, Any],
        constants: Mapping[int, Array],
        *,
        opset: int = 17,
        is_training: bool = False,
        device: str = "cpu",
    ) -> None:
        self.op: str = item["op"]
        self.domain: str = item.get("domain", "")
        self.inputs: Sequence[str] = item["inputs"]
        self.outputs: Sequence[str] = item["outputs"]
        self.attributes: Mapping[str, Any] = item["attributes"]
        self.constants = constants
        self.opset = opset
        self.is_training = is_training
        self.device = device

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default`."""
        return self.attributes.get(name, default)

    def has(self, position: int) -> bool:
        """Whether an input is given."""
        return position < len(self.inputs) and bool(self.inputs[position])

    def wants(self, position: int) -> bool:
        """Whether an output has a name, so that somebody may read it."""
        return position < len(self.outputs) and bool(self.outputs[position])

    def unsupported(self, reason: str = "") -> UnsupportedByTorch:
        """The error that names this operator."""
        return UnsupportedByTorch(f"{self.op} ({reason})" if reason else self.op)

    def reader(self, position: int, attribute: str = "") -> Reader | None:
        """How to get the numbers of an input: from a constant at once, else when it is there.

        `attribute` is what held them in older operator sets. None if neither is given.
        """
        if attribute and attribute in self.attributes:
            value = self.attributes[attribute]
            given = list(value) if isinstance(value, (list, tuple)) else [value]
            return lambda _: given
        if not self.has(position):
            return None
        if position in self.constants:
            fixed = np.asarray(self.constants[position]).reshape(-1).tolist()
            return lambda _: fixed
        return lambda tensor: tensor.reshape(-1).tolist()

    def numbers(self, position: int, attribute: str = "") -> Reader:
        """The same for an input that must be given.

        Raises:
            UnsupportedByTorch: If it is not.
        """
        read = self.reader(position, attribute)
        if read is None:
            raise self.unsupported(f"without input {position}")
        return read

    def number(self, position: int, attribute: str, default: Any) -> Any:
        """One number that is an attribute or a constant input.

        Raises:
            UnsupportedByTorch: If it is computed.
        """
        if attribute in self.attributes:
            return self.attributes[attribute]
        if not self.has(position):
            return default
        if position not in self.constants:
            raise self.unsupported(f"{attribute} is computed")
        return np.asarray(self.constants[position]).reshape(-1)[0].item()


def operator(*ops: str) -> Callable[[Maker], Maker]:
    """Register what makes the kernels of these operator types."""

    def register(maker: Maker) -> Maker:
        for op in ops:
            _TABLE[op] = maker
        return maker

    return register


def known_operators() -> frozenset[str]:
    """Every operator type in the table."""
    return frozenset(_TABLE)


def make_kernel(node: TorchNode) -> Kernel:
    """A function of the node's inputs (None where left out) that computes its outputs.

    It returns a tensor, or a tuple of them where the node has several outputs.

    Raises:
        UnsupportedByTorch: If there is none.
    """
    maker = _TABLE.get(node.op)
    if maker is None or node.domain not in _DOMAINS:
        raise UnsupportedByTorch(f"{node.domain}.{node.op}".lstrip("."))
    return maker(node)


def torch_dtype(code: int, op: str) -> torch.dtype:
    """The type for an element type of ONNX.

    Raises:
        UnsupportedByTorch: If torch has none.
    """
    if code not in DTYPES:
        raise UnsupportedByTorch(f"{op} (element type {code})")
    return DTYPES[code]


def to_tensor(array: Array, dtype: str = "") -> torch.Tensor:
    """An array as a tensor that shares its memory; `bfloat16` comes as its 16 bits."""
    if dtype == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if not array.flags.writeable or not array.flags.c_contiguous:
        array = array.copy()
    return torch.from_numpy(array)
