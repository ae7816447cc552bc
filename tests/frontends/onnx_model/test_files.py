"""Files: what is no model, what is left unread, symbolic dimensions, onnxruntime's shapes."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import planner.frontends.onnx_model.evaluation
import planner.frontends.onnx_model.reading
from planner.drafts.frontend import LoadOptions, parse_input_spec
from planner.errors import PlannerError
from planner.frontends.onnx_model import FRONTEND
from planner.frontends.onnx_model.wire import strip_payloads
from tests.support.onnx_models import (
    INT64,
    all_models,
    convnet,
    load,
    model,
    names,
    shape_chain,
    tensor,
    values,
    weight,
)

node = helper.make_node


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b'{"kind": "graph"}', "JSON"),
        (zipped(), "TorchScript / torch.export archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"# a text\n", "text"),
        (b"\x80\x02}q\x00.", "pickle"),
        (convnet()[:-20], "PLN112"),
        (b"\xff" * 100, "PLN112"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "no graph"),
        (model([], [tensor("x", [1])], []), "no graph"),
    ],
)
def test_what_is_no_model_is_said_to_look_like_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(PlannerError, match=f"PLN112.*not an ONNX model.*|{reason}") as caught:
        load(data)
    assert reason in str(caught.value)


def test_head_is_recognised() -> None:
    assert all(FRONTEND.recognizes(data[:64]) for data in all_models().values())
    assert not any(
        FRONTEND.recognizes(head) for head in (b"", zipped()[:64], b'{"kind": 1}', b"\x08")
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"opset": 1000}, "opset 1000"),
        ({"opset": 0}, "opset 0"),
        ({"ir_version": 1000}, "IR version 1000"),
    ],
)
def test_versions_that_are_too_new_are_refused(change: dict[str, int], reason: str) -> None:
    data = model([node("Relu", ["x"], ["y"])], [tensor("x", [1])], ["y"], **change)  # type: ignore[arg-type]
    with pytest.raises(PlannerError, match=rf"PLN113.*{reason}"):
        load(data)


def test_missing_opset_is_refused() -> None:
    made = onnx.ModelProto.FromString(convnet())
    del made.opset_import[:]
    with pytest.raises(PlannerError, match=r"PLN113.*opset_import"):
        load(made.SerializeToString())


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../w", "a/../../w", "\\\\host\\w", "C:\\w", "..\\w"]
)
def test_external_data_outside_the_folder_is_refused(location: str) -> None:
    made = onnx.ModelProto.FromString(convnet())
    made.graph.initializer[0].external_data[0].value = location
    with pytest.raises(PlannerError, match=r"PLN114.*`w`") as caught:
        load(made.SerializeToString())
    assert location in str(caught.value)
    assert caught.value.exit_code == 2


def test_external_data_below_the_folder_is_not_opened() -> None:
    made = onnx.ModelProto.FromString(convnet())
    made.graph.initializer[0].external_data[0].value = "sub/../other/./w.bin"
    assert "conv" in names(load(made.SerializeToString()))


def test_values_that_do_not_fit_their_shape_are_refused() -> None:
    bad = values("k", [1, 2, 3])
    bad.dims[0] = 2**62
    data = model([node("Add", ["x", "k"], ["y"])], [tensor("x", [3], INT64)], ["y"], [bad])
    with pytest.raises(PlannerError, match=r"PLN204.*24 bytes"):
        load(data)


def test_all_problems_are_reported_together() -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])]
    outside = weight("w", 2)
    outside.external_data[0].value = "/w"
    data = model(nodes, [tensor("x", [2])], ["y"], [outside, weight("v", -1)])
    with pytest.raises(PlannerError) as caught:
        load(data)
    assert [p.code for p in caught.value.problems] == ["PLN114", "PLN204", "PLN201"]


def test_walk_changes_nothing_but_large_payloads() -> None:
    for data in all_models().values():
        assert strip_payloads(data) == data
    large = values("w", np.zeros((100, 100)), np.float32)
    made = onnx.ModelProto.FromString(
        strip_payloads(model([node("MatMul", ["x", "w"], ["y"])], [], ["y"], [large]))
    )
    (left,) = made.graph.initializer
    assert (list(left.dims), left.name, left.raw_data) == ([100, 100], "w", b"")
    assert left.data_location == TensorProto.EXTERNAL


@pytest.mark.parametrize("form", ["raw", "float_data", "constant"])
def test_large_values_are_left_out_wherever_they_are(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner.frontends.onnx_model.reading, "DIRECT_BYTES", 0)
    array = np.zeros((128, 128), np.float32)
    large = helper.make_tensor("w", TensorProto.FLOAT, array.shape, array.ravel().tolist())
    large = large if form == "float_data" else values("w", array, np.float32)
    weights = [] if form == "constant" else [large]
    nodes = [node("Constant", [], ["w"], value=large)] if form == "constant" else []
    data = model(
        [*nodes, node("MatMul", ["x", "w"], ["y"])], [tensor("x", [2, 128])], ["y"], weights
    )
    graph = load(data)
    assert graph.tensors[-1].shape == (2, 128)
    assert [p.elements for p in graph.parameters] == ([] if form == "constant" else [2**14])


def test_file_of_three_gigabytes_is_read_in_little_memory(tmp_path: Path) -> None:
    small = weight("w", 512, 512)
    data = model([node("MatMul", ["x", "w"], ["y"])], [tensor("x", [2, 512])], ["y"])
    size = 3 * 2**30
    big = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=small.dims).SerializeToString()
    payload = len(big) + 1 + 5 + size  # then: tag and length of raw_data, and its bytes, all zero
    made = onnx.ModelProto.FromString(data)
    graph = made.graph.SerializeToString()
    made.ClearField("graph")
    outer = len(graph) + 1 + 5 + payload
    path = tmp_path / "big.onnx"
    with path.open("wb") as file:
        file.write(made.SerializeToString() + b"\x3a" + varint(outer) + graph)
        file.write(b"\x2a" + varint(payload) + big + b"\x4a" + varint(size))
        file.truncate(file.tell() + size)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))\n"
        "from pathlib import Path\n"
        "from planner.drafts.frontend import LoadOptions\n"
        "from planner.frontends.onnx_model import FRONTEND\n"
        "graph = FRONTEND.load(Path(sys.argv[1]), where='big', options=LoadOptions())\n"
        "print([p.elements for p in graph.parameters], graph.tensors[-1].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[262144] (2, 512)\n", done.stderr


def varint(value: int) -> bytes:
    """Five bytes whatever the value, so that lengths are known beforehand."""
    return bytes((value >> shift) & 127 | (128 if shift < 28 else 0) for shift in range(0, 35, 7))


def test_symbolic_dimensions_are_listed_with_the_flags_that_bind_them() -> None:
    data = model(
        [node("Add", ["a", "b"], ["y"])],
        [tensor("a", ["N", "seq"]), tensor("b", [None, None])],
        ["y"],
    )
    with pytest.raises(PlannerError) as caught:
        load(data)
    text = str(caught.value)
    assert caught.value.code == "PLN205"
    for part in ("input `a` dim 0 (`N`)", "dim 1 (`seq`)", "input `b` dim 0", "input `b` dim 1"):
        assert part in text
    for part in ("--batch N", "--dim seq=128", "--input 'b:float32[N,N]'", 'dims={"seq": 128}'):
        assert part in text


def test_symbolic_dimensions_are_bound_by_batch_name_or_specification() -> None:
    data = model(
        [node("Add", ["a", "b"], ["y"])],
        [tensor("a", ["N", "seq"]), tensor("b", [None, "seq"])],
        [tensor("y", ["N", "seq"])],
    )
    bound = [
        load(data, batch=4, dims={"seq": 7}),
        load(data, dims={"seq": 7, "N": 4}, batch=4),
        load(data, inputs=("a:float32[4,7]", "b:float32[4,7]")),
        load(data, inputs=("float32[4,7]", "float32[4,7]")),
        load(data, inputs=("a:float32[4,7]",), batch=4),
    ]
    for graph in bound:
        assert graph.batch == 4
        assert [t.shape for t in graph.tensors] == [(4, 7)] * 3
        assert graph.batch_scale == 1


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"dims": {"sec": 3}}, "PLN208", "did you mean `seq`"),
        ({"inputs": ("c:float32[1]",)}, "PLN208", "no input `c`"),
        ({"inputs": ("a:int64[4,7]",)}, "PLN115", "its type is float32"),
        ({"inputs": ("a:float32[4,7,1]",)}, "PLN115", "2 dimensions"),
        ({"inputs": ("a:float32[4,9]",)}, "PLN115", "fixed at 8"),
        ({"inputs": ("a:float32[4,8]", "a:float32[4,8]")}, "PLN115", "twice"),
        ({"inputs": ("float32[4,8]", "float32[4,8]", "float32[1]")}, "PLN208", "too many"),
        ({"inputs": ("a:float32[4,8]", "b:float32[4,6]"), "dims": {"seq": 5}}, "PLN115", "`seq`"),
    ],
)
def test_wrong_specifications(options: dict[str, object], code: str, text: str) -> None:
    data = model(
        [node("MatMul", ["a", "b"], ["y"])], [tensor("a", ["N", 8]), tensor("b", [8, "seq"])], ["y"]
    )
    if "inputs" in options and "b:float32[4,6]" in options["inputs"]:  # type: ignore[operator]
        options = {**options, "inputs": ("b:float32[8,6]",)}
    with pytest.raises(PlannerError) as caught:
        load(data, **options)
    assert code in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "x", "x:float32", "float32[1,]", "float32[-1]", "flaot32[1]", "x:float32[a]", "[1]"],
)
def test_nonsense_specifications_are_refused(text: str) -> None:
    with pytest.raises(PlannerError, match="PLN115"):
        parse_input_spec(text)


def test_input_names_may_hold_colons() -> None:
    assert parse_input_spec("in:0:float32[]") == parse_input_spec(" in:0:float32[ ] ")
    assert parse_input_spec("in:0:float32[2]").name == "in:0"


def test_a_batch_that_is_baked_into_a_reshape_is_an_error() -> None:
    nodes = [node("Reshape", ["x", "s"], ["y"])]
    data = model(nodes, [tensor("x", ["N", 4])], [tensor("y", ["N", 4])], [values("s", [1, 4])])
    assert load(data, batch=1).batch == 1
    with pytest.raises(PlannerError, match=r"PLN209.*has another size") as caught:
        load(data, batch=8)
    assert any("expected dim 0 to be `N` = 8" in str(p) for p in caught.value.problems)


def test_static_batch_is_scaled() -> None:
    one, four = load(convnet((2,))), load(convnet((2,)), batch=8)
    assert four.tensor_bytes.tolist() == [4 * size for size in one.tensor_bytes.tolist()]
    assert four.batch == 8
    assert four.batch_scale == Fraction(4)
    data = model(
        [node("Add", ["a", "b"], ["y"])], [tensor("a", [1, 4]), tensor("b", [2, 4])], ["y"]
    )
    with pytest.raises(PlannerError, match=r"PLN209.*batch 4"):
        load(data, batch=4)


def test_recorded_shapes_of_a_symbolic_model_are_inferred_again() -> None:
    made = onnx.ModelProto.FromString(convnet(("N",)))
    made = onnx.shape_inference.infer_shapes(made)
    for value in made.graph.value_info:
        if value.name == "p":
            value.type.tensor_type.shape.dim[0].dim_value = 1  # stale
    graph = load(made.SerializeToString(), batch=3)
    assert graph.tensors[graph.tensor_index["p"]].shape == (3, 4, 1, 1)


def test_onnxruntime_finds_shapes_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(planner.frontends.onnx_model.evaluation, "_LIMITS", {})
    data = model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Shape", ["h"], ["s"]),
            node("ReduceProd", ["s"], ["n"], keepdims=1),
            node("Reshape", ["h", "n"], ["r"]),
            node("Relu", ["r"], ["y"]),
        ],
        [tensor("x", [2, 8])],
        ["y"],
        [weight("w", 8, 3)],
    )
    with pytest.raises(PlannerError, match="PLN207"):
        load(data)
    graph = load(data, shapes="onnxruntime")
    assert graph.tensors[-1].shape == (6,)
    assert [p.name for p in graph.parameters] == ["w"]


def test_onnxruntime_refusing_a_model_is_an_error_of_the_file() -> None:
    pytest.importorskip("onnxruntime")
    data = model(
        [node("Magic", ["x"], ["y"], domain="a")], [tensor("x", [1])], ["y"], domains=["a"]
    )
    with pytest.raises(PlannerError, match=r"PLN212.*onnxruntime"):
        load(data, shapes="onnxruntime")


def test_missing_onnxruntime_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PlannerError, match=r"PLN302.*pip install") as caught:
        load(shape_chain(), shapes="onnxruntime")
    assert caught.value.exit_code == 4


def test_evaluation_never_makes_a_large_value() -> None:
    nodes = [
        node("ConstantOfShape", ["huge"], ["m"]),
        node("Expand", ["m", "huge"], ["e"]),
        node("Tile", ["e", "times"], ["t"]),
        node("Range", ["zero", "many", "one"], ["r"]),
        node("ReduceSum", ["t"], ["s"], keepdims=0),
        node("ReduceMax", ["r"], ["q"], keepdims=0),
        node("Cast", ["q"], ["f"], to=TensorProto.FLOAT),
        node("Add", ["x", "s"], ["a"]),
        node("Add", ["a", "f"], ["y"]),
    ]
    constants = [
        values("huge", [2**40, 2**10]),
        values("times", [3, 3]),
        values("zero", 0),
        values("many", 2**50),
        values("one", 1),
    ]
    assert names(load(model(nodes, [tensor("x", [2])], ["y"], constants))) == ["a", "y"]


def test_loading_does_not_import_what_it_does_not_need() -> None:
    script = (
        "import sys, planner.frontends.onnx_model as m\n"
        "assert 'onnx' not in sys.modules\n"
        "from planner.drafts.frontend import LoadOptions\n"
        "m.FRONTEND.load(sys.stdin.buffer.read(), where='x', options=LoadOptions())\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "assert 'onnx.reference' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], input=convnet(), check=True)


def test_options_change_the_digest() -> None:
    data = convnet()
    digests = {
        FRONTEND.load(data, where=where, options=options).digest
        for where in ("a", "b")
        for options in (LoadOptions(), LoadOptions(batch=4), LoadOptions(frozen=("w",)))
    }
    assert len(digests) == 3
