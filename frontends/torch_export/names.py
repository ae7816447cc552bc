"""Where a call comes from: its module, and its line in the user's source."""

from __future__ import annotations

import re

_NO_STACK = "_empty_nn_module_stack"

_FRAME = re.compile(r'^\s*File "([^"\n]*)", line (\d+)', re.MULTILINE)

_TORCH = re.compile(
    r"^<|[\\/](?:site|dist)-packages[\\/]torch[\\/]"
    r"|[\\/]torch[\\/](?:_|functional\.py|(?:ao|amp|autograd|export|fx|func|nn|utils)[\\/])"
)


class ModulePaths:
    """Gives every call of a module a path of its own, `block@1.conv` in the second call of `block`.

    torch numbers the calls of a module through the whole program; here they are numbered within the
    call that they are part of, so that repeated blocks look the same inside.
    """

    def __init__(self) -> None:
        self._paths: dict[tuple[str, str], str] = {}
        self._taken: dict[str, int] = {}

    def path(self, stack: tuple[tuple[str, str], ...]) -> str:
        """The path of the innermost module of a stack of keys and paths; "" for the outermost."""
        around, name = "", ""
        for key, inner in stack:
            if not inner or key.startswith(_NO_STACK):
                continue
            call = (around, key)
            if call not in self._paths:
                self._paths[call] = self._new(around, name, inner)
            around, name = self._paths[call], inner
        return around

    def _new(self, around: str, name: str, inner: str) -> str:
        """A module called from outside its parent keeps its own path."""
        is_within = not name or inner.startswith(f"{name}.")
        rest = inner[len(name) + 1 :] if name else inner
        path = f"{around}.{rest}" if is_within and around else inner
        number = self._taken.get(path, 0)
        self._taken[path] = number + 1
        return f"{path}@{number}" if number else path


def source_place(trace: str) -> str:
    """`model.py:12` for the innermost frame that is not torch's own; "" without a trace."""
    frames = _FRAME.findall(trace)
    own = next((frame for frame in reversed(frames) if not _TORCH.search(frame[0])), None)
    if own is None:
        named = [frame for frame in frames if not frame[0].startswith("<")]
        if not named:
            return ""
        own = named[-1]
    file = re.split(r"[\\/]", own[0])[-1]
    return f"{file}:{own[1]}"
