"""`python -m planner.probe BUNDLE -o profile.json`: measure a bundle on this machine."""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any, Sequence

from .bundle import Bundle
from .documents import check_output, profile_document, read_measurements, write_document
from .errors import ProbeError
from .machine import check_threads, default_threads, describe_machine
from .reporting import Reporter
from .settings import LEVELS, Settings

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status: 0 done, 2 an error, 130 interrupted."""
    options = _parser().parse_args(arguments)
    reporter = Reporter(is_json=options.progress == "json")
    try:
        with tempfile.TemporaryDirectory(prefix="probe-") as folder, reporter.catching_interrupts():
            bundle = Bundle(_unpacked(Path(options.bundle), Path(folder)), options.seed)
            is_complete = _measure(bundle, options, reporter)
    except ProbeError as error:
        reporter.fail(error)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        reporter.close()
    reporter.emit({"event": "end", "is_complete": is_complete})
    return 0 if is_complete else EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="probe", description="Measure what each operator of a model takes on this machine."
    )
    own = Path(__file__).absolute().parent.parent
    parser.add_argument("bundle", nargs="?", default=str(own), help="folder or zip of the model")
    parser.add_argument("-o", "--output", required=True, help="the profile to write")
    parser.add_argument("--provider", default="cpu", help="execution provider (default: cpu)")
    parser.add_argument("--threads", type=_positive, help="threads of one operator")
    parser.add_argument("--repeat", type=_positive, help="rounds (default: about 8 s)")
    parser.add_argument("--optimization", choices=LEVELS, default="all")
    parser.add_argument("--method", choices=("auto", "trace", "segments"), default="auto")
    parser.add_argument("--mode", choices=("inference", "training", "both"), default="both")
    parser.add_argument("--backward", choices=("measure", "ratio", "none"))
    parser.add_argument("--no-fusion", action="store_true", help="measure every operator apart")
    parser.add_argument("--seed", type=_whole, default=0, help="of weights and inputs")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted profile")
    parser.add_argument("--force", action="store_true", help="replace an existing profile")
    parser.add_argument("--progress", choices=("text", "json"), default="text")
    return parser


def _positive(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number of 0 or more")
    return int(text)


def _unpacked(path: Path, folder: Path) -> Path:
    """The folder of the bundle; an archive is unpacked into `folder`."""
    if not path.is_file():
        return path
    try:
        with zipfile.ZipFile(str(path)) as archive:
            archive.extractall(str(folder))
    except (OSError, zipfile.BadZipFile) as error:
        raise ProbeError(f"not a bundle: {error}", code="PLN605", where=str(path)) from error
    return folder


def _measure(bundle: Bundle, options: argparse.Namespace, reporter: Reporter) -> bool:
    """Take all measurements that were asked for and write them; whether all are complete."""
    output = Path(options.output)
    check_output(output, Path(options.bundle), is_replaced=options.force or options.resume)
    before = read_measurements(output, bundle) if options.resume else []
    settings = _settings(options)
    check_threads(settings.threads)
    machine = describe_machine(settings.provider)
    found = {item["mode"]: item for item in before}

    def save(measurement: dict[str, Any]) -> None:
        found[measurement["mode"]] = measurement
        write_document(output, profile_document(bundle, machine, list(found.values())))

    reporter.save = save
    modes = _modes(bundle, settings, reporter)
    for mode in modes:
        earlier = found.get(mode, {})
        if not earlier.get("is_complete") and not reporter.interrupted:
            save(_one(mode)(bundle, settings, reporter, earlier.get("unfinished")))
    return all(mode in found and found[mode]["is_complete"] for mode in modes)


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        provider=options.provider.lower(),
        threads=options.threads or default_threads(),
        repeat=options.repeat,
        optimization=options.optimization,
        mode=options.mode,
        backward=options.backward,
        fusion=not options.no_fusion,
        seed=options.seed,
        method=options.method,
    )


def _modes(bundle: Bundle, settings: Settings, reporter: Reporter) -> list[str]:
    """What to measure, in order.

    Raises:
        ProbeError: PLN605 if nothing of what was asked for can be.
    """
    modes = ["inference", "training"] if settings.mode == "both" else [settings.mode]
    if settings.backward == "none" and "inference" in modes:
        modes = ["inference"]
    files = bundle.manifest["files"]
    if files["inference"] is None and "inference" in modes:
        modes.remove("inference")
        text = "the file is in training form, so there is no inference to measure"
        if not modes and settings.mode == "both":
            modes = ["training"]
        if not modes:
            raise ProbeError(text, code="PLN605", hint="export it for inference")
        reporter.note(text)
    if "training" in modes and files["training"] is None:
        modes.remove("training")
        text = "the model has no training form"
        if not modes:
            raise ProbeError(text, code="PLN605", hint="export it with a newer operator set")
        reporter.note(text)
    return modes


def _one(mode: str) -> Any:
    """The function that takes a measurement."""
    names = {"inference": "forward.runs", "training": "backward.training"}
    module = import_module("." + names[mode], __package__)
    return getattr(module, "measure_" + mode)


if __name__ == "__main__":
    sys.exit(main())
