"""The package as users get it: the wheel, its names, and every module."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

import planner
from planner.costs.cost_table import COST_MODELS
from planner.drafts.frontend import FRONTENDS
from planner.problems.solution import SOLVERS
from tests.conftest import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = SETTINGS["tool"]["setuptools"]["package-dir"]


RUNNING = (
    "backward/gradient_graph",
    "backward/gradient_timing",
    "measurements",
    "forward/providers",
    "forward/segments",
    "forward/sessions",
)
"""Modules of the probe that call onnxruntime."""

USING_TORCH = (
    "torch_export/examples",
    "torch_export/live",
    "torch_export/live_graph",
    "torch_export/module",
    "torch_parts/checks",
    "torch_parts/module_parts",
    "torch_parts/part_module",
    "torch_parts/splitting",
    "torch_programs/dtypes",
    "torchscript/builtins",
    "torchscript/execution",
    "torchscript/inputs",
    "torchscript/interpreter",
    "torchscript/live",
    "torchscript/program",
    "torchscript/recording",
    "torchscript/steps",
    "torchscript/values",
)
"""Modules of frontends that call torch; nothing imports them before a torch model is read."""


def module_names() -> list[str]:
    names = []
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names.append(".".join((package, *(p for p in parts if p != "__init__"))))
    return names


def test_every_package_folder_is_listed() -> None:
    packages = set(SETTINGS["tool"]["setuptools"]["packages"])
    found = {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts))
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == packages


def test_every_module_imports_and_every_public_function_is_still_callable() -> None:
    for name in module_names():
        importlib.import_module(name)
    for name in planner.__all__:
        assert callable(getattr(planner, name)), name
        assert name in dir(planner)


def test_no_module_has_the_name_of_a_public_name() -> None:
    top = {name.split(".")[1] for name in module_names() if name.count(".") == 1}
    assert not top & set(planner.__all__)


@pytest.mark.parametrize("group", ["frontends", "costmodels", "solvers"])
def test_built_in_plug_ins_are_entry_points_and_in_the_static_table(group: str) -> None:
    table = {
        "frontends": FRONTENDS,
        "costmodels": COST_MODELS,
        "solvers": SOLVERS,
    }[group]
    declared = SETTINGS["project"]["entry-points"][f"planner.{group}"]
    assert declared == table.builtin
    assert set(declared) <= set(table.names())


def test_heavy_libraries_are_known_to_few_modules() -> None:
    allowed = {
        "ortools": {"solvers/flow/cuts.py"},
        "networkx": {"solvers/networkx_flow.py"},
        "pulp": {"solvers/pulp_milp.py", "solvers/milp/cbc.py"},
        "pyomo": {"solvers/pyomo_milp/model.py", "solvers/pyomo_milp/engines.py"},
        "onnxruntime": {
            "frontends/onnx_model/runtime_shapes.py",
            *(f"planner/probe/{name}.py" for name in RUNNING),
        },
        "torch": {
            *(str(p.relative_to(ROOT)) for p in (ROOT / "planner/probe/torch_ops").glob("*.py")),
            "planner/probe/backward/torch_engine.py",
            "planner/probe/backward/torch_training.py",
            *(f"frontends/{name}.py" for name in USING_TORCH),
            "frontends/torch_export/__init__.py",
            "planner/drafts/frontend.py",  # only its types
            "planner/plans/module_parts.py",  # only its types
        },
        "matplotlib": {"planner/cli/views/table_map.py"},
        "scipy": set(),
    }
    for library, places in allowed.items():
        importing = {
            str(path.relative_to(ROOT))
            for folder in FOLDERS.values()
            for path in (ROOT / folder).rglob("*.py")
            if f"\nimport {library}" in (text := path.read_text(encoding="utf-8"))
            or f"from {library}" in text
            or f"    import {library}" in text
        }
        assert importing <= places


def test_schemas_are_package_data() -> None:
    for name in ("graph", "costs", "plan", "table"):
        text = files("planner.schemas").joinpath(f"{name}.v1.json").read_text(encoding="utf-8")
        assert json.loads(text)["$schema"].endswith("2020-12/schema")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_installs_into_an_empty_environment_and_plans(tmp_path: Path) -> None:
    # From a copy: a build in the checkout would leave a folder behind that spoils the next one.
    source = tmp_path / "source"
    source.mkdir()
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    for folder in FOLDERS.values():
        shutil.copytree(ROOT / folder, source / folder)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, source, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (top,) = [n for n in names if n.endswith("top_level.txt")]
        assert archive.read(top).decode().split() == ["planner"]
    assert all(n.startswith(("planner/", "dnn_partition_planner-")) for n in names)
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        wheel,
        cwd=tmp_path,
    )
    for command in ("planner", "dnn-planner"):
        command_path = environment / "bin" / command
        run(command_path, "zoo", "resnet18", "-o", "net.onnx", "--force", cwd=tmp_path)
        flags = ["--device", "jetson-nano", "--server", "a100"]
        rates = ["--uplink", "20Mbit/s", "--downlink", "50Mbit/s", "--format", "json"]
        plan = json.loads(run(command_path, "plan", "net.onnx", *flags, *rates, cwd=tmp_path))
        assert plan["certificate"]["holds"]
    run(python, "-m", "pip", "check", "--disable-pip-version-check", cwd=tmp_path)
