"""Where in the user's source something was written, from what TorchScript keeps of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SCRIPTED = re.compile(r'File "([^"\n]+)", line (\d+)')
_TRACED = re.compile(r"^(\S.*)\((\d+)\): ", re.MULTILINE)
_OF_TORCH = re.compile(r"(^|[/\\])torch[/\\](nn|functional\.py|jit|_|overrides|utils|autograd|fx)")
_BACKSLASH = "\\"
_ORIGINAL = "of TorchScript, original code"


def place(ranges: Iterable[str]) -> str:
    """The innermost place outside torch, else the innermost one: `model.py:123`, or "".

    Args:
        ranges: Source ranges, the innermost first.

    >>> place(['  File "/x/torch/nn/functional.py", line 9', '  File "/home/model.py", line 3'])
    'model.py:3'
    """
    innermost = ""
    for text in ranges:
        for path, line in _places(text):
            name = f"{path.replace(_BACKSLASH, '/').split('/')[-1]}:{line}"
            if not _OF_TORCH.search(path):
                return name
            innermost = innermost or name
    return innermost


def _places(text: str) -> list[tuple[str, str]]:
    """Paths and lines: one of a script, a whole stack of a trace, none of an archive's own code."""
    text = text.split("Serialized ", 1)[0]
    return _TRACED.findall(text) or _SCRIPTED.findall(text)[:1]


def place_in_traceback(text: str) -> str:
    """The place in the user's source that an error of TorchScript's own interpreter names."""
    original = text.split(_ORIGINAL)[-1] if _ORIGINAL in text else ""
    found = _SCRIPTED.findall(original) or [(p, n) for p, n in _TRACED.findall(original)]
    return place(f'File "{path}", line {line}' for path, line in reversed(found))


def sentence(error: BaseException) -> str:
    """What torch says, in one line and without the traceback that it writes into its messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "Traceback of TorchScript" in str(error):
        last = [line for line in lines if re.match(r"[A-Za-z_.]*(Error|Exception): ", line)]
        lines = [last[-1].split(": ", 1)[1]] if last else lines[-1:]
    return lines[0].rstrip(".")[:300]
