"""The probe where it is meant to run: an environment with numpy and onnxruntime alone."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from planner import zoo
from planner.costs.cost_file import check_costs
from planner.costs.pricing import priced
from planner.costs.profile_file import read_profile
from planner.drafts.frontend import LoadOptions
from planner.drafts.loading import load
from planner.graphs.signatures import model_digest
from planner.measuring.export import export_probe
from planner.plans.planning import plan
from tests.conftest import ROOT
from tests.support.cli import refused, run_planner

PROBE = ROOT / "planner" / "probe"
SOURCES = sorted(PROBE.rglob("*.py"))
ALLOWED = {"numpy", "onnxruntime", "torch"}
OLD = "3.8"
OLD_RUNTIME = "onnxruntime==1.16.3"

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources_are_python_3_8_and_import_nothing_but_what_a_device_has(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    assert path.name == "__init__.py" or any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(path.relative_to(PROBE).parts)
            names = [] if node.level else [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            assert top in ALLOWED or top in sys.stdlib_module_names, name


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "lenet5.onnx"
    zoo.write("lenet5", path)
    return path


@pytest.fixture(scope="module")
def probe(model: Path) -> Path:
    path = model.with_name("probe.zip")
    export_probe(model, path, load_options=LoadOptions(batch=2), force=False)
    return path


def interpreter(version: str) -> str | None:
    """A Python of this version, on the path or where pyenv keeps them."""
    kept = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")
    found = [shutil.which(f"python{version}"), *map(str, kept)]
    for candidate in filter(None, found):
        done = subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    return None


def environment(folder: Path, python: str, *packages: str) -> Path:
    """An environment with these packages alone; skips where they cannot be had."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = folder / "bin" / "python"
    pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(packages)} cannot be installed: {done.stderr[-200:]}")
    return own


def check_run(python: Path, probe: Path, model: Path, folder: Path) -> None:
    """The probe runs in an empty folder, and what it writes plans the model."""
    profile_path = folder / "jetson.json"
    command = [str(python), str(probe), "-o", str(profile_path), "--repeat", "3"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    profile = read_profile(profile_path)
    graph = load(model, batch=2)
    assert {m.mode for m in profile.measurements} == {"inference", "training"}
    for measurement in profile.measurements:
        assert measurement.is_complete
        assert measurement.digest == model_digest(graph)
        assert measurement.batch == 2
        assert [row.node for row in measurement.nodes] == [o.name for o in graph.operators]
    for mode in ("inference", "training"):
        costs = check_costs(
            {
                "kind": "costs",
                "version": 1,
                "workload": {"mode": mode},
                "hosts": [
                    {"name": "device", "model": "measured", "profile": str(profile_path)},
                    {"name": "server", "model": "analytical", "hardware": "a100"},
                ],
                "links": [{"uplink_bps": 1e7, "downlink_bps": 1e7}],
            },
            "costs",
        )
        (measurement,) = [m for m in profile.measurements if m.mode == mode]
        assert measurement.whole is not None
        _, table = priced(graph, costs)
        assert table.forward_s[0].sum() == pytest.approx(measurement.whole.forward.typical_s)
        assert plan(graph, costs).certificate.holds


def test_probe_runs_in_an_environment_of_numpy_and_onnxruntime(
    probe: Path, model: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "env", sys.executable, "onnxruntime")
    check_run(python, probe, model, tmp_path)


def test_probe_runs_on_an_old_python_and_an_old_onnxruntime(
    probe: Path, model: Path, tmp_path: Path
) -> None:
    python = interpreter(OLD)
    if python is None:
        pytest.skip(f"there is no Python {OLD} here")
    check_run(environment(tmp_path / "env", python, OLD_RUNTIME), probe, model, tmp_path)


def test_probe_runs_from_a_folder(probe: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "probe"
    with zipfile.ZipFile(probe) as archive:
        archive.extractall(folder)
    check_run(Path(sys.executable), folder, model, tmp_path)


def test_the_archive_holds_every_file_of_the_probe(probe: Path) -> None:
    files = [*SOURCES, *PROBE.rglob("*.json")]
    with zipfile.ZipFile(probe) as archive:
        held = {name for name in archive.namelist() if name.startswith("probe/")}
    assert held == {f"probe/{path.relative_to(PROBE).as_posix()}" for path in files}


def test_equal_models_give_equal_archives(probe: Path, model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    export_probe(model, again, load_options=LoadOptions(batch=2), force=False)
    assert again.read_bytes() == probe.read_bytes()


def test_probe_carries_no_weights_and_an_old_operator_set(tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "squeezenet.onnx"
    zoo.write("squeezenet1_1", path)
    outcome = run_planner("probe", "export", path, "-o", tmp_path / "probe.zip", "--opset", "16")
    assert outcome.status == 0, outcome.stderr
    assert (tmp_path / "probe.zip").stat().st_size < 1_000_000
    with zipfile.ZipFile(tmp_path / "probe.zip") as archive:
        manifest = json.loads(archive.read("manifest.json"))
        loaded = onnx.ModelProto.FromString(archive.read("inference.onnx"))
    assert max(o.version for o in loaded.opset_import if o.domain == "") <= 16
    assert loaded.ir_version <= 8
    assert manifest["weights"]


def test_output_that_exists_is_kept(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "probe.zip"
    output.write_text("mine", encoding="utf-8")
    assert refused("probe", "export", model, "-o", output).codes() == ["PLN120"]
    assert output.read_text(encoding="utf-8") == "mine"
