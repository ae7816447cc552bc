"""The command line. Commands are imported only when they run, so that `--help` is instant."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

import click

from planner.cli.console import (
    abandon_stdout,
    prepare_streams,
    say,
    show_error,
    stdout_error,
    write_out,
)
from planner.errors import InputError, PlannerError, name_hint

COMMANDS = {
    "plan": "The best cut of a model, with its proof.",
    "inspect": "What was imported from a model file.",
    "verify": "Whether a saved plan holds, by a second solver.",
    "compare": "Every policy and solver side by side.",
    "table": "Which plan is best in which state of the link, exactly.",
    "profile": "Measure a model on this machine.",
    "probe": "Measure a model on a device that has no planner.",
    "import-profile": "Make a profile of what others measured.",
    "merge-profiles": "Several profiles of one machine as one.",
    "zoo": "Write a known architecture as ONNX.",
    "plugins": "Frontends, cost models and solvers that are installed.",
    "schema": "JSON Schemas of the file formats.",
}
"""One line each; the file in `commands/` has the command's name with `_` for `-`."""

EXIT_USAGE = 2
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130

COMPLETION_VARIABLE = "_PLANNER_COMPLETE"
"""What shells set to ask for completions; see the manual of click."""


class LazyGroup(click.Group):
    """A group that knows the names and one-line helps of its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = f"planner.cli.commands.{cmd_name.replace('-', '_')}"
        command = import_module(module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} has no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest command in the error for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise InputError(
                f"there is no command `{args[0]}`",
                code="PLN124",
                where="planner",
                hint=name_hint(args[0], COMMANDS, "commands"),
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from planner.registry import tool_version

        write_out(f"planner {tool_version()}\n")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    no_args_is_help=False,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help="Show the version.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show the causes of errors.")
@click.pass_context
def cli(context: click.Context, verbose: bool) -> None:
    """Where to cut a neural network between a device and a server, with a proof that no cut is
    better.

    Results go to stdout, everything else to stderr. Exit status: 0 done, 1 the answer is no, 2
    wrong input or flags, 3 no placement satisfies the rules, 4 an optional dependency is missing,
    5 a solver stopped without a proof, 70 a defect of the planner, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        say(context.get_help())
        context.exit(EXIT_USAGE)


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    # A process that ends in a moment gains nothing from looking for garbage in cycles.
    gc.disable()
    arguments = sys.argv[1:] if args is None else args
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    verbose = arguments[:1] in (["-v"], ["--verbose"])
    try:
        return _run(arguments)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except (PlannerError, click.ClickException) as error:
        return _fail(error, verbose=verbose)
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`planner … | head`): nobody is left to tell.
        abandon_stdout()
        return 0
    except MemoryError:
        say("error: not enough memory for this input")
        return EXIT_DEFECT
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            return _fail(stdout_error(error), verbose=verbose)  # click writes its help by itself
        if verbose:
            raise
        say(
            f"error: a defect of the planner: {type(error).__name__}: {error}\n\n"
            "hint: run it again as `planner -v …` for the traceback, and report it"
        )
        return EXIT_DEFECT


def _fail(error: PlannerError | click.ClickException, *, verbose: bool) -> int:
    if isinstance(error, click.ClickException):
        from planner.cli.usage import in_our_words

        error = in_our_words(error)
    show_error(error, verbose=verbose)
    return error.exit_code


def _run(arguments: list[str]) -> int:
    """What click's own `main` does, less its handling of errors: a broken pipe is no failure."""
    prepare_streams()
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "planner", COMPLETION_VARIABLE, instruction)
    with cli.make_context("planner", list(arguments)) as context:
        result = cli.invoke(context)
    if sys.stdout is not None:
        sys.stdout.flush()
    return result if isinstance(result, int) else 0
