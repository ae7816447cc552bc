"""`.pt2` archives: real ones, and bad ones, all read without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.torch_export import FRONTEND, read_file
from planner.frontends.torch_export import archive as torch_export_archive
from planner.frontends.torch_programs.program import Program, WeightKind
from tests.support.torch_nets.torch_export_files import (
    archive,
    model,
    node,
    read,
    tensor,
    weights,
    zipped,
)

OPTIONS = LoadOptions()


def program_of(data: bytes | Path, options: LoadOptions = OPTIONS) -> Program:
    return read_file(data, where="net.pt2", options=options)[0]


def error_of(data: bytes | Path, options: LoadOptions = OPTIONS) -> PlannerError:
    with pytest.raises(PlannerError) as caught:
        read_file(data, where="net.pt2", options=options)
    return caught.value


@pytest.mark.parametrize(
    ("name", "n_calls", "n_parameters"),
    [
        ("resnet18", 69, 11_689_512),
        ("googlenet", 197, 6_624_904),
        ("mobilenet_v2", 153, 3_504_872),
        ("gpt2", 485, 124_439_808),
    ],
)
def test_real_archives(shared_models: Path, name: str, n_calls: int, n_parameters: int) -> None:
    program = program_of(shared_models / f"{name}.pt2")
    assert len(program.calls) == n_calls
    stored = {w.storage: w.value.shape for w in program.weights if w.requires_grad}
    total = 0
    for shape in stored.values():
        elements = 1
        for size in shape:
            elements *= size
        total += elements
    assert total == n_parameters
    assert program.outputs == [program.calls[-1].name]


def test_ties_of_a_real_archive(shared_models: Path) -> None:
    by_path = {w.path: w for w in program_of(shared_models / "gpt2.pt2").weights}
    head, embedding = by_path["m.lm_head.weight"], by_path["m.transformer.wte.weight"]
    assert head.storage == embedding.storage == "m.transformer.wte.weight"
    assert by_path["m.transformer.wpe.weight"].storage == "m.transformer.wpe.weight"


def test_modules_and_places_of_a_real_archive(shared_models: Path) -> None:
    calls = {call.name: call for call in program_of(shared_models / "resnet18.pt2").calls}
    assert calls["conv2d"].path == "conv1"
    assert calls["relu__1"].path == "layer1.0.relu"
    assert calls["relu__2"].path == "layer1.0.relu@1"
    gpt2 = program_of(shared_models / "gpt2.pt2").calls
    assert gpt2[0].where == "modeling_gpt2.py:547"
    assert not any(call.where.startswith("sparse.py") for call in gpt2)


def test_a_real_archive_is_planned_and_its_digest_follows_the_options(shared_models: Path) -> None:
    path = shared_models / "resnet18.pt2"
    graph = planner.load(path)
    assert graph.summary()["trainable_parameters"] == 11_689_512
    assert graph.digest == planner.load(path.read_bytes()).digest
    assert graph.digest != planner.load(path, frozen=["conv1*"]).digest


def test_an_archive_by_hand() -> None:
    program = program_of(archive(model()))
    (linear, relu) = program.calls
    assert (linear.target, linear.path, linear.where) == ("aten.linear.default", "fc", "net.py:7")
    assert [(v.name, v.dtype, v.shape) for v in program.inputs] == [("x", "float32", (2, 3))]
    (weight,) = program.weights
    assert (weight.path, weight.kind, weight.requires_grad) == (
        "fc.weight",
        WeightKind.PARAMETER,
        True,
    )
    assert program.outputs == [relu.outputs[0].name] if relu.outputs[0] else False


def test_no_torch_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(archive(model()))
    code = f"import sys, planner; planner.load({str(path)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_large_program_is_read_quickly() -> None:
    document = model()
    graph = document["graph_module"]["graph"]
    last = "act"
    for index in range(5000):
        name = f"relu_{index}"
        graph["nodes"].append(node(name, "torch.ops.aten.relu.default", self=read(last)))
        graph["tensor_values"][name] = tensor(2, 5, 7, 7)
        last = name
    data = archive(document)
    start = time.process_time()
    assert len(program_of(data).calls) == 5002
    assert time.process_time() - start < 2  # 0.3 s on an idle machine


def test_content_is_recognised() -> None:
    data = archive(model())
    assert FRONTEND.recognizes(data[:256])
    assert not FRONTEND.recognizes(zipped({"net/data.pkl": b""})[:256])
    assert not FRONTEND.recognizes(b"\x08\x08\x12")
    assert planner.load(data).summary()["operators"] == 2


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"hello, this is text", "PLN140", "looks like text"),
        (b"PK\x03\x04" + bytes(100), "PLN140", "damaged or cut off"),
        (zipped({"a.txt": b""}), "PLN140", "no entry `models/model.json`"),
        (zipped({"n/data.pkl": b"", "n/constants.pkl": b""}), "PLN140", "a TorchScript archive"),
        (zipped({"n/data.pkl": b"", "n/data/0": b""}), "PLN140", "weights without the program"),
        (zipped({"n/data/aotinductor/model/a.so": b""}), "PLN140", "package of AOTInductor"),
        (zipped({"serialized_exported_program.json": b"{}"}), "PLN141", "torch 2.6 and older"),
        (archive(model(), more={"net/models/b.json": b"{}"}), "PLN141", "2 models: `model`, `b`"),
        (archive(b"{"), "PLN140", "not valid JSON"),
        (archive(b"[" * 200_000), "PLN140", "nested too deep"),
        (archive(b'"\xff"'), "PLN140", "not UTF-8"),
        (archive(b'{"a": "\\ud800"}'), "PLN140", "not UTF-8"),
        (archive(b"1" * 5000), "PLN140", "not valid JSON"),
        (archive([]), "PLN140", "is a list, expected an object"),
        (archive({}), "PLN140", "has no key `schema_version`"),
    ],
)
def test_what_is_no_archive(data: bytes, code: str, text: str) -> None:
    error = error_of(data)
    assert error.code == code
    assert text in str(error)


@pytest.mark.parametrize(("major", "age"), [(9, "a newer"), (7, "an older")])
def test_other_versions_are_refused(major: int, age: str) -> None:
    document = model() | {"schema_version": {"major": major, "minor": 1}, "torch_version": "3.1"}
    error = error_of(archive(document))
    assert error.code == "PLN141"
    assert f"written by {age} torch (3.1) in version {major}.1" in error.message
    assert "torch.export.load" in str(error.hint)


def test_other_minor_versions_and_unknown_keys_are_read() -> None:
    document = model() | {"schema_version": {"major": 8, "minor": 99}, "new": 1}
    document["graph_module"]["graph"]["nodes"][0]["novelty"] = {}
    assert len(program_of(archive(document)).calls) == 2


def test_encrypted_twice_and_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(archive(model()))
    for start in (b"PK\x01\x02", b"PK\x03\x04"):
        place = data.find(start)
        while place >= 0:
            data[place + (8 if start == b"PK\x01\x02" else 6)] |= 1
            place = data.find(start, place + 1)
    assert "encrypted" in str(error_of(bytes(data)))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = _with_a_second_model()
    assert "occurs twice" in str(error_of(twice))
    bomb = archive(b" " * 2**25)
    assert len(bomb) < 100_000
    assert "unpacks to more than" in str(error_of(bomb))
    monkeypatch.setattr(torch_export_archive, "MAX_ENTRIES", 2)
    assert "3 entries" in str(error_of(archive(model())))


def _with_a_second_model() -> bytes:
    import io

    buffer = io.BytesIO(archive(model()))
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr("net/models/model.json", b"{}")
    return buffer.getvalue()


def test_the_digest_of_a_large_file_leaves_weights_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(archive(model(), more={"net/data/weights/weight_0": bytes(100)}))
    small = read_file(path, where="net.pt2", options=OPTIONS)[1]
    monkeypatch.setattr(torch_export_archive, "DIGEST_BYTES", 10)
    large = read_file(path, where="net.pt2", options=OPTIONS)[1]
    assert small != large
    assert large == read_file(path.read_bytes(), where="x", options=OPTIONS)[1]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda n: n.__setitem__("inputs", 3), "graph_module.graph.nodes[1].inputs"),
        (lambda n: n["inputs"][0].pop("arg"), "graph_module.graph.nodes[1].inputs[0]"),
        (lambda n: n["inputs"][0].update(arg={"as_tensor": 1}), "nodes[1].inputs[0].arg.as_tensor"),
        (lambda n: n["inputs"][0].update(arg={}), "nodes[1].inputs[0].arg"),
        (lambda n: n.update(target=None), "graph_module.graph.nodes[1].target"),
        (lambda n: n["inputs"][0].update(arg=read("q")), "graph_module.graph.nodes[1]"),
    ],
)
def test_the_place_in_the_json_is_named(change: Any, place: str) -> None:
    document = json.loads(json.dumps(model()))
    change(document["graph_module"]["graph"]["nodes"][1])
    error = error_of(archive(document))
    assert error.code == "PLN140"
    assert place in str(error.where)


def test_custom_objects_and_unknown_types_are_refused() -> None:
    document = model()
    custom = {"as_custom_obj": {"name": "o", "class_fqn": "a.B"}}
    document["graph_module"]["graph"]["nodes"][1]["inputs"][0]["arg"] = custom
    assert error_of(archive(document)).code == "PLN143"
    document = model()
    document["graph_module"]["graph"]["tensor_values"]["act"]["dtype"] = 99
    assert error_of(archive(document)).code == "PLN141"
    document["graph_module"]["graph"]["tensor_values"]["act"]["dtype"] = 9  # complex32
    assert error_of(archive(document)).code == "PLN210"


@pytest.mark.parametrize(
    "options",
    [LoadOptions(tied=("*",)), LoadOptions(untied=("*",)), LoadOptions(shapes="onnxruntime")],
)
def test_options_of_onnx_are_refused(options: LoadOptions) -> None:
    assert error_of(archive(model()), options).code == "PLN116"


def test_views_of_one_memory_are_told_apart_by_offset() -> None:
    config = weights()
    config["config"]["other"] = json.loads(json.dumps(config["config"]["fc.weight"]))
    config["config"]["other"]["tensor_meta"]["storage_offset"] = {"as_int": 15}
    document = model()
    module = document["graph_module"]
    module["graph"]["tensor_values"]["p_o"] = tensor(5, 3)
    spec = {"parameter": {"arg": {"name": "p_o"}, "parameter_name": "other"}}
    module["signature"]["input_specs"].insert(0, spec)
    assert [w.storage for w in program_of(archive(document, config=config)).weights] == [
        "other",
        "fc.weight",
    ]
    config["config"]["other"]["tensor_meta"]["storage_offset"] = {"as_int": 0}
    assert {w.storage for w in program_of(archive(document, config=config)).weights} == {"other"}
