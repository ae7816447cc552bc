"""Small modules, one for every thing that programs of torch.export have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """An activation that is used twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(self.relu(x * 1)))


class Repeated(nn.Module):
    """A block that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.block(x))


class TwoNames(nn.Module):
    """One block by two names, and its activation by a third."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Block()
        self.b = self.a
        self.relu = self.a.relu

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.b(self.a(x)))


class NoGrad(nn.Module):
    """Parts without gradients, and one with within them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("shift", torch.ones(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            y = self.fc(x) + self.shift
        z = self.fc(y)
        with torch.no_grad():
            largest, index = z.max(1)
            with torch.enable_grad():
                more = self.fc(z)
        return z + largest[:, None] + more, index


class Autocast(nn.Module):
    """A part in another precision."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.fc(x)


class Several(nn.Module):
    """Operators with several results, some unused; what is returned is nested."""

    def forward(self, x: Tensor, k: int = 3) -> dict[str, Any]:
        a, b = x.split(2, 1)
        c, _ = torch.topk(x, 2)
        rows = x.unbind(0)
        both = torch.stack([a, b])
        again = x.split(2, 1)[0]
        return {
            "sum": a + b,
            "both": both,
            "scaled": c * k,
            "none": None,
            "rows": [rows[0] + rows[1], again],
            "n": x.shape[0],
            "x": x,
        }


class Branch(nn.Module):
    """Control flow that is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.fc(x), lambda x: x * 2, (x,))


class OnData(nn.Module):
    """Control flow that torch.export cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return x + 1


class Dynamic(nn.Module):
    """Sizes and numbers that are computed from sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        batch, length, _ = x.shape
        y = self.fc(x).view(batch * length, 4)
        y = torch.cat([y, y]).reshape(2 * batch, length, 4)[:batch, : (length + 1) // 2]
        zeros = torch.zeros(batch, length) + torch.arange(length)
        return y.sum() + zeros + mask + 1.0 / length, x.new_ones(max(batch, 2))


class Normalised(nn.Module):
    """Statistics that training updates."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.bn(x))


class Constants(nn.Module):
    """Tensors that are neither parameters nor buffers, and inputs that are no tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.c = torch.ones(3)

    def forward(self, x: Tensor, y: Tensor | None = None, flag: bool = True) -> Tensor:
        return x + self.c + torch.tensor([1.0, 2.0, 3.0]) if flag else x


class Mutated(nn.Module):
    """An input that is changed."""

    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        return x


class Tied(nn.Module):
    """Tied, frozen and other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4, bias=False)
        self.other = nn.Linear(4, 4, bias=False)
        self.c = nn.Linear(4, 4, bias=False)
        self.c.weight = self.a.weight
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.register_buffer("buffer", torch.ones(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.other(self.a(x))) * self.frozen + self.buffer


class Nested(nn.Module):
    """Inputs within a tuple and a dictionary."""

    def forward(self, pair: tuple[Tensor, Tensor], more: dict[str, Tensor]) -> Tensor:
        return pair[0] + pair[1] * more["z"]


def _image() -> tuple[Tensor]:
    return (torch.ones(1, 3, 4, 4),)


def _rows() -> tuple[Tensor]:
    return (torch.ones(2, 4),)


CASES: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "repeated": lambda: (Repeated().eval(), _image()),
    "two_names": lambda: (TwoNames().eval(), _image()),
    "no_grad": lambda: (NoGrad(), _rows()),
    "autocast": lambda: (Autocast(), _rows()),
    "several": lambda: (Several(), _rows()),
    "branch": lambda: (Branch(), _rows()),
    "normalised": lambda: (Normalised().train(), _rows()),
    "constants": lambda: (Constants(), (torch.ones(2, 3), None, True)),
    "mutated": lambda: (Mutated(), _rows()),
    "tied": lambda: (Tied(), _rows()),
    "nested": lambda: (Nested(), ((*_rows(), *_rows()), {"z": torch.ones(2, 4)})),
    "lstm": lambda: (nn.LSTM(4, 4, batch_first=True), (torch.ones(2, 3, 4),)),
    "encoder": lambda: (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(),
        (torch.ones(2, 3, 8),),
    ),
}
"""Makes a module and its inputs, by name."""
