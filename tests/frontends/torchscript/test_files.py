"""Files that are no TorchScript, damaged or hostile ones, and loading that is switched off."""

from __future__ import annotations

import io
import json
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import planner
from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.torchscript import FRONTEND
from planner.frontends.torchscript import archive as torchscript_archive
from planner.frontends.torchscript.archive import Kind, read_archive
from planner.frontends.torchscript.pickle import PickleError, read_contents
from tests.support.torch_nets.torchscript import program_of, scripted, traced

torch = pytest.importorskip("torch", reason="TorchScript is read with torch")

INPUT = "x:float32[2,4]"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x):
        return torch.relu(self.linear(x)) + torch.tensor([1.0, 2.0, 3.0, 4.0])


@pytest.fixture(scope="module")
def archive() -> bytes:
    return scripted(Net())


def rewritten(data: bytes, change: dict[str, bytes | None]) -> bytes:
    """The archive with other content for some of its files; None leaves one out."""
    source, output = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            tail = name.split("/", 1)[1]
            content = change.get(tail, source.read(name))
            if content is not None:
                copy.writestr(name, content)
    return output.getvalue()


def refused(data: bytes, options: LoadOptions | None = None) -> PlannerError:
    with pytest.raises(PlannerError) as caught:
        FRONTEND.load(data, where="m.pt", options=options or LoadOptions(inputs=(INPUT,)))
    return caught.value


def test_weights_and_pickled_modules_are_told_from_programs() -> None:
    for content in ({"w": torch.zeros(2)}, Net()):
        for is_new in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=is_new)
            error = refused(buffer.getvalue())
            assert error.code == "PLN145"
            assert "pickled" in error.message
            assert "torch.export.save" in (error.hint or "")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "evil",))

    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as file:
        file.writestr("a/data.pkl", pickle.dumps(Evil(), 2))
        file.writestr("a/constants.pkl", pickle.dumps(Evil(), 2))
        file.writestr("a/code/x.py", "")
    assert refused(output.getvalue()).code in ("PLN145", "PLN149")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/b": b""}, "without `data.pkl`"),
        ({"a/model.json": b"{}"}, "before 1.4"),
        ({"a/data.pkl": b"", "a/constants.pkl": b""}, "state dict"),
        ({"a/data.pkl": b"\x80\x02N", "a/constants.pkl": b".", "a/code/x.py": b""}, "damaged"),
    ],
)
def test_other_zip_files(files: dict[str, bytes], message: str) -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    error = refused(output.getvalue())
    assert error.code == "PLN145"
    assert message in error.message


def test_what_is_no_zip_file() -> None:
    assert "looks like text" in refused(b"hello world").message
    assert "no zip file" in refused(b"\x05\x06\x07\xff" * 20).message
    assert "JSON" in refused(json.dumps({"kind": "graph"}).encode()).message
    assert refused(b"PK\x03\x04" + bytes(100)).code == "PLN145"


def test_archives_of_torch_export_are_recognised_under_any_name() -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as file:
        file.writestr("m/models/model.json", "{}")
    assert read_archive(output.getvalue(), where="m.pt").kind is Kind.TORCH_EXPORT


def test_loading_is_refused_before_torch_is_imported(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(archive)
    code = (
        "import sys, pathlib\n"
        "from planner.errors import PlannerError\n"
        "from planner.drafts.frontend import LoadOptions\n"
        "from planner.frontends.torchscript import FRONTEND\n"
        "try:\n"
        "    FRONTEND.load(pathlib.Path(sys.argv[1]), where='m', "
        "options=LoadOptions(torchscript=False))\n"
        "except PlannerError as error:\n"
        "    print(error.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["PLN146", "False"]


def test_environment_switches_loading_off(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, is_refused in (("1", True), ("yes", True), ("0", False), ("", False)):
        monkeypatch.setenv("PLANNER_NO_TORCHSCRIPT", value)
        if is_refused:
            error = refused(archive)
            assert error.code == "PLN146"
            assert "PLANNER_NO_TORCHSCRIPT" in error.message
            assert ".pt2" in (error.hint or "")
        else:
            assert planner.load(archive, inputs=[INPUT]).summary()["operators"] >= 2


@pytest.mark.parametrize(
    "options",
    [
        LoadOptions(dims={"n": 2}),
        LoadOptions(tied=("*",)),
        LoadOptions(untied=("*",)),
        LoadOptions(shapes="onnxruntime"),
    ],
)
def test_options_of_other_files_are_refused(archive: bytes, options: LoadOptions) -> None:
    assert refused(archive, options).code == "PLN116"


def test_newer_archives_and_unknown_operators(archive: bytes) -> None:
    error = refused(rewritten(archive, {"version": b"999\n"}))
    assert error.code == "PLN149"
    assert "999" in error.message
    assert "newer" in error.message
    files = zipfile.ZipFile(io.BytesIO(archive))
    name = next(n for n in files.namelist() if n.endswith(".py") and b"relu" in files.read(n))
    code = files.read(name).replace(b"torch.relu", b"ops.nowhere.relu")
    error = refused(rewritten(archive, {name.split("/", 1)[1]: code}))
    assert error.code == "PLN149"
    assert "nowhere" in error.message


def test_bombs_are_not_unpacked(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"code/{i}.py": bytes(2**20) for i in range(3)}
    source = rewritten(archive, {})
    output = io.BytesIO(source)
    with zipfile.ZipFile(output, "a", zipfile.ZIP_DEFLATED) as file:
        root = file.namelist()[0].split("/")[0]
        for name, content in many.items():
            file.writestr(f"{root}/{name}", content)
    monkeypatch.setattr(torchscript_archive, "MAX_CODE_BYTES", 2**21)
    assert "more than 2 MiB" in refused(output.getvalue()).message
    monkeypatch.setattr(torchscript_archive, "MAX_ENTRIES", 2)
    assert "more than 2 entries" in refused(archive).message
    monkeypatch.undo()
    monkeypatch.setattr(torchscript_archive, "MAX_CONSTANT_BYTES", 8)
    assert "tensors in its code" in refused(archive_with_constant()).message


def archive_with_constant() -> bytes:
    table = torch.arange(4.0)

    class Constant(torch.nn.Module):
        def forward(self, x):
            return x + table

    return traced(Constant(), torch.zeros(2, 4))


def test_constants_that_are_too_short_are_refused() -> None:
    data = archive_with_constant()
    assert program_of(data, INPUT).calls
    assert "shorter" in refused(rewritten(data, {"constants/0": b"\0"})).message


def test_weights_are_never_read(archive: bytes) -> None:
    program = program_of(rewritten(archive, {"data/0": b"", "data/1": None}), INPUT)
    assert [weight.value.shape for weight in program.weights[:2]] == [(4, 4), (4,)]


def test_pickles_are_followed_without_being_run() -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(3, 2)}, buffer)
    with zipfile.ZipFile(buffer) as file:
        name = next(n for n in file.namelist() if n.endswith("data.pkl"))
        contents = read_contents(file.read(name))
    assert contents.tensors == [("float32", (3, 2))]
    assert [record.n_bytes for record in contents.records] == [24]
    for damaged in (b"", b".", b"\x80\x02t.", b"\x80\x02h\x05.", b"\x80\x02cos\nsystem\nQ."):
        if damaged not in (b".",):
            with pytest.raises(PickleError):
                read_contents(damaged)


def test_damaged_archives_end_in_an_error_or_a_graph(archive: bytes) -> None:
    chance = random.Random(1)
    for _ in range(60):
        data = bytearray(archive)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            graph = FRONTEND.load(bytes(data), where="m.pt", options=LoadOptions(inputs=(INPUT,)))
        except PlannerError:
            continue
        assert graph.summary()["operators"]
