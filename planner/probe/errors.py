"""What a person who measures can do something about."""

from __future__ import annotations

from typing import Any


class ProbeError(Exception):
    """A deliberate error.

    Args:
        message: What is, then what was expected; lower case, no full stop.
        code: Of the planner's catalogue, for instance `PLN602`.
        where: The flag, file or operator.
        hint: A command or an edit that is likely to help.
    """

    def __init__(
        self, message: str, *, code: str, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.where = where
        self.hint = hint

    def as_event(self) -> dict[str, Any]:
        """The line that `--progress json` prints."""
        return {
            "event": "error",
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"error[{self.code}]: {place}{self.message}{hint}"
