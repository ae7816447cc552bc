"""What click finds wrong with a command line, in the words and the form of our own errors."""

from __future__ import annotations

import re

import click

from planner.errors import InputError, nearest, shorten


def in_our_words(error: click.ClickException) -> InputError:
    """The error of the catalogue for one of click's.

    Codes: PLN124 for what is unknown or missing, PLN119 for a value.
    """
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context is not None else "planner"
    match error:
        case click.NoSuchOption():
            return _no_such_option(error, context, command)
        case click.MissingParameter():
            name = _flag(error)
            text = f"`{name}` is missing"
            usage = f"{command} {name} …"
            return InputError(text, code="PLN124", where=command, hint=_help(command, usage))
        case click.BadParameter():
            message = _plain(error.message)
            return InputError(message, code="PLN119", where=_flag(error) or command)
        case click.BadOptionUsage():
            message = _plain(error.message)
            return InputError(message, code="PLN124", where=error.option_name)
    return InputError(
        _plain(error.message), code="PLN124", where=command, hint=_help(command, None)
    )


def _no_such_option(
    error: click.NoSuchOption, context: click.Context | None, command: str
) -> InputError:
    params = context.command.get_params(context) if context is not None else []
    known = [name for param in params for name in param.opts if name.startswith("-")]
    close = nearest(error.option_name, known) or next(iter(error.possibilities or ()), None)
    hint = f"did you mean `{close}`?" if close else _help(command, None)
    text = f"there is no option `{error.option_name}`"
    return InputError(text, code="PLN124", where=command, hint=hint)


def _flag(error: click.BadParameter) -> str:
    if error.param is None:
        return str(error.param_hint or "")
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.metavar or str(error.param.name).upper()


def _help(command: str, usage: str | None) -> str:
    return f"{usage}; `{command} --help` tells the rest" if usage else f"see `{command} --help`"


def _plain(message: str) -> str:
    """click's quotes as backticks, its capital and full stop left out."""
    text = re.sub(r"'([^']*)'", lambda match: f"`{shorten(match[1], 60)}`", message.rstrip("."))
    text = text.replace("not a valid integer range", "no whole number")
    text = re.sub(r"is not in the range x>=(\d+)$", r"is out of range, expected ≥ \1", text)
    return f"{text[:1].lower()}{text[1:]}"
