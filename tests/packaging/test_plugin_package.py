"""A third-party package with all three kinds of plug-ins, installed for real.

`UPDATE_DOCS=1` writes what the commands print into docs/plugins.md, as in
tests/docs/test_formats.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.test_formats import UPDATE, fits

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "plugin_package"
PAGE = ROOT / "docs" / "plugins.md"


def shown_files() -> dict[str, str]:
    """Every file that docs/plugins.md shows, by its name."""
    pattern = r"^<!-- file: (\S+) -->\n\n```\w*\n(.*?)^```$"
    page = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(pattern, page, re.MULTILINE | re.DOTALL))


def can_build_without_network() -> bool:
    """Whether this environment has a setuptools that writes wheels by itself, or with `wheel`."""
    try:
        major, minor = (int(part) for part in version("setuptools").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return False
    return (major, minor) >= (70, 1) or (major >= 61 and find_spec("wheel") is not None)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    if find_spec("pip") is None:
        pytest.skip("pip is not installed")
    folder = tmp_path_factory.mktemp("plugins")
    source, target = folder / "source", folder / "site"
    # A copy, because setuptools builds in place.
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--target", str(target), str(source)]
    if can_build_without_network():
        command.append("--no-build-isolation")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not can_build_without_network():
        pytest.skip(f"no setuptools ≥ 70.1 here, and pip could not fetch one: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's model and costs."""
    for name in ("net.chain", "costs.json"):
        (tmp_path / name).write_text(shown_files()[name], encoding="utf-8")
    return tmp_path


def planner(
    *arguments: str, cwd: Path, path: tuple[Path, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, with folders of packages added."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONIOENCODING": "utf-8",
        "NO_COLOR": "1",
    }
    code = "from planner.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def add_distribution(folder: Path, name: str, group: str, entry: str, **modules: str) -> Path:
    """A second distribution with one entry point, as pip would leave it in a folder."""
    site = folder / f"site-{name}"
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n", encoding="utf-8")
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text, encoding="utf-8")
    return site


def test_the_page_shows_the_files_as_they_are() -> None:
    shown = shown_files()
    shown = {name: text for name, text in shown.items() if name not in ("net.chain", "costs.json")}
    real = {
        str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in (".py", ".toml") and path.name != "__init__.py"
    }
    assert shown == real


def test_the_page_shows_what_the_commands_print(installed: Path, folder: Path) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    found = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.M)[1:]]
    commands = [part.partition("\n")[::2] for part in found if part.startswith("planner ")]
    assert len(commands) >= 3
    page = PAGE.read_text(encoding="utf-8")
    for command, shown in commands:
        done = planner(*command.split()[1:], cwd=folder, path=(installed,))
        real = re.sub(r" +$", "", done.stderr + done.stdout, flags=re.M).rstrip() + "\n"
        if UPDATE and "[...]" not in shown:
            page = page.replace(f"$ {command}\n{shown}", f"$ {command}\n{real}")
        elif not UPDATE:
            assert fits(shown, real), f"$ {command}\n{real}"
    if UPDATE:
        PAGE.write_text(page, encoding="utf-8")


def test_plugins_are_listed_with_their_distribution(installed: Path, folder: Path) -> None:
    done = planner("plugins", "--format", "json", cwd=folder, path=(installed,))
    assert done.returncode == 0, done.stderr
    rows = {(row["kind"], row["name"]): row for row in json.loads(done.stdout)["plugins"]}
    ours = ("frontend", "chain"), ("cost model", "per-byte"), ("solver", "random-feasible")
    for key in ours:
        assert rows[key]["state"] == "ready"
        assert rows[key]["from"] == "planner-chain 0.1.0"
    assert rows["solver", "maxflow"]["from"].startswith("dnn-partition-planner")


def test_a_plan_through_all_three(installed: Path, folder: Path) -> None:
    totals = {}
    for solver in ("auto", "brute-force", "random-feasible"):
        arguments = ("--costs", "costs.json", "--solver", solver, "--format", "json")
        done = planner("plan", "net.chain", *arguments, cwd=folder, path=(installed,))
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)
        assert plan["graph"] == "net"
        assert plan["certificate"]["holds"] is (solver != "random-feasible")
        totals[solver] = plan["total_s"]
    assert totals["auto"] == totals["brute-force"] <= totals["random-feasible"]


def test_its_plug_ins_keep_the_contracts(installed: Path) -> None:
    code = "from contracts import test_contracts; test_contracts()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (installed, PACKAGE)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_absent_plugin_is_unknown(folder: Path) -> None:
    done = planner("plan", "net.chain", "--costs", "costs.json", cwd=folder)
    assert done.returncode == 2
    assert "PLN118" in done.stderr


def test_errors_of_a_plugin_name_the_place(installed: Path, folder: Path) -> None:
    model = folder / "net.chain"
    model.write_text(model.read_text("utf-8") + "fc2 Gemm many 0\nfc3\n", encoding="utf-8")
    done = planner("inspect", "net.chain", cwd=folder, path=(installed,))
    assert done.returncode == 2
    lines = len(model.read_text("utf-8").splitlines())
    assert f"net.chain:{lines - 1}" in done.stderr
    assert f"net.chain:{lines}" in done.stderr


def test_options_of_a_cost_model_are_checked(installed: Path, folder: Path) -> None:
    text = (folder / "costs.json").read_text("utf-8").replace("seconds_per_byte", "second_per_byte")
    (folder / "costs.json").write_text(text, encoding="utf-8")
    done = planner("plan", "net.chain", "--costs", "costs.json", cwd=folder, path=(installed,))
    assert done.returncode == 2
    assert "unknown key `second_per_byte`" in done.stderr
    assert "$.hosts[0]" in done.stderr


def test_two_providers_of_one_name(installed: Path, folder: Path) -> None:
    entry = "maxflow = impostor:SOLVER"
    other = add_distribution(folder, "impostor", "planner.solvers", entry, impostor="SOLVER = 0\n")
    arguments = ("plan", "net.chain", "--costs", "costs.json", "--solver", "maxflow")
    done = planner(*arguments, cwd=folder, path=(installed, other))
    assert done.returncode == 2
    assert "PLN311" in done.stderr
    assert "planner.solvers.maxflow:SOLVER" in done.stderr
    assert "impostor:SOLVER" in done.stderr
    listed = planner("plugins", cwd=folder, path=(installed, other))
    assert listed.returncode == 0, listed.stderr
    assert "provided twice" in " ".join(listed.stdout.split())


def test_a_plugin_that_does_not_load(installed: Path, folder: Path) -> None:
    broken = add_distribution(
        folder,
        "broken",
        "planner.solvers",
        "broken = broken:SOLVER",
        broken="raise RuntimeError('no licence found')\n",
    )
    path = (installed, broken)
    arguments = ("plan", "net.chain", "--costs", "costs.json")
    done = planner("-v", *arguments, "--solver", "broken", cwd=folder, path=path)
    assert done.returncode == 2
    assert "PLN312" in done.stderr
    assert "RuntimeError: no licence found" in done.stderr
    assert "cause:" in done.stderr
    assert planner(*arguments, cwd=folder, path=path).returncode == 0
    listed = planner("plugins", "--format", "json", cwd=folder, path=path)
    states = {row["name"]: row["state"] for row in json.loads(listed.stdout)["plugins"]}
    assert "no licence found" in states["broken"]
    assert states["chain"] == "ready"


def test_a_broken_frontend_does_not_keep_others_from_reading(installed: Path, folder: Path) -> None:
    broken = add_distribution(
        folder,
        "broken",
        "planner.frontends",
        "aardvark = broken:FRONTEND",
        broken="import a_module_that_is_nowhere\n",
    )
    done = planner("inspect", "net.chain", cwd=folder, path=(installed, broken))
    assert done.returncode == 0, done.stderr


def test_a_missing_dependency_is_told(folder: Path) -> None:
    text = (
        "from planner.problems.solution import Capabilities\n"
        "class Needy:\n"
        "    name = 'needy'\n"
        "    requires = ('a_module_that_is_nowhere',)\n"
        "    capabilities = Capabilities(is_exact=False, summary='')\n"
        "SOLVER = Needy()\n"
    )
    entry = "needy = needy:SOLVER"
    site = add_distribution(folder, "needy", "planner.solvers", entry, needy=text)
    costs = ("--device", "jetson-tx2", "--server", "rtx-3090", "--uplink", "1e6", "--downlink")
    graph = {
        "kind": "graph",
        "version": 1,
        "inputs": [{"name": "x", "bytes": 4}],
        "outputs": ["y"],
        "nodes": [
            {"name": "f", "op": "X", "inputs": ["x"], "outputs": [{"name": "y", "bytes": 4}]}
        ],
    }
    (folder / "graph.json").write_text(json.dumps(graph), encoding="utf-8")
    arguments = ("plan", "graph.json", *costs, "1e6", "--solver", "needy")
    done = planner(*arguments, cwd=folder, path=(site,))
    assert done.returncode == 4
    assert "pip install a_module_that_is_nowhere" in done.stderr
