"""What is no JSON of ours, wherever it is read: the codes and places are the same for all kinds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planner.costs.cost_file import parse_costs, read_costs
from planner.drafts.loading import load
from planner.drafts.spec_file import GraphFile
from planner.errors import InputError, PlannerError, ProblemReport, shorten
from planner.files.documents import MAX_DEPTH, check_kind, parse_json, validate
from planner.plans.plan_file import read_plan
from tests.support.cli import error_of


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        (b"", "PLN104", "f"),
        (b" \n\t ", "PLN104", "f"),
        (b"{} x", "PLN104", "f:1:4"),
        (b'{"a":\n 1,}', "PLN104", "f:2:4"),
        (b"{'a': 1}", "PLN104", "f:1:2"),
        (b'{"a": 1', "PLN104", "f:1:8"),
        ('{"a": 1}'.encode("utf-16"), "PLN104", "f"),
        (b'{"a": "\xff"}', "PLN104", "f"),
        (b'{"a": "\x00"}', "PLN104", "f:1:8"),
        (b"[" * 100_000 + b"]" * 100_000, "PLN104", "f"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "PLN104", "f"),
        (b"[" * 500 + b"]" * 500, "PLN104", "f"),
        (b'{"a": NaN}', "PLN106", "f: $.a"),
        (b'{"a": -Infinity}', "PLN106", "f: $.a"),
        (b'{"a": [0, 1E400]}', "PLN106", "f: $.a[1]"),
        (b'{"a": {"b c": 1' + b"0" * 400 + b"}}", "PLN106", 'f: $.a["b c"]'),
        (b'{"a": -1' + b"0" * 5000 + b"}", "PLN106", "f: $.a"),
        (b'{"a": 9223372036854775808}', "PLN106", "f: $.a"),
        (b'{"a": "x\\ud800"}', "PLN104", "f: $.a"),
        (b'{"a": ["ok", "\\udfff"]}', "PLN104", "f: $.a[1]"),
        (b'{"a": {"\\uDBFFk": 1}}', "PLN104", "f: $.a"),
        (b'{"a": {"b": 1, "b": 2}}', "PLN105", "f: $.a"),
        (b'[{"x": {"\\u001b": 1, "\\u001b": 2}}]', "PLN105", "f: $[0].x"),
    ],
)
def test_text_that_is_refused(data: bytes, code: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(data, "f")
    assert error_of(caught.value) == [(code, where)]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xef\xbb\xbf[1]", [1]),
        (b'["\\ud83d\\ude00", "\xf0\x9f\x98\x80"]', ["😀", "😀"]),
        (b"[9223372036854775807, -9223372036854775807, -0.0]", [2**63 - 1, 1 - 2**63, 0]),
        (b"1e-400", 0.0),
    ],
)
def test_text_that_is_read(data: bytes, value: object) -> None:
    assert parse_json(data, "f") == value


def test_depth_up_to_the_limit_is_read() -> None:
    text = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert parse_json(text, "f")
    with pytest.raises(InputError):
        parse_json(b"[" + text + b"]", "f")


def test_all_problems_of_a_text_are_reported_in_its_order() -> None:
    text = b'{"a": NaN, "b": [1e999, {"c": 1, "c": "\\ud800"}], "d": 99999999999999999999}'
    with pytest.raises(ProblemReport) as caught:
        parse_json(text, "f")
    assert error_of(caught.value) == [
        ("PLN106", "f: $.a"),
        ("PLN106", "f: $.b[0]"),
        ("PLN105", "f: $.b[1]"),
        ("PLN104", "f: $.b[1].c"),
        ("PLN106", "f: $.d"),
    ]


def test_utf_16_is_recognised() -> None:
    with pytest.raises(InputError, match="is UTF-16") as caught:
        parse_json("{}".encode("utf-16"), "f")
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize("document", [None, 3, "graph", [], [1, 2], True])
def test_document_that_is_no_object(document: object) -> None:
    with pytest.raises(InputError, match="expected an object") as caught:
        validate(GraphFile, document, "f")  # type: ignore[arg-type]  # that is the point
    assert error_of(caught.value) == [("PLN109", "f: $")]


def test_every_problem_of_a_document_is_reported_with_its_place() -> None:
    document = {
        "kind": "graph",
        "version": 2,
        "outputs": "y",
        "nodes": [
            {"name": "", "op": 3, "inputs": ["x", None], "outputs": [{"nam": "y", "bytes": -1}]},
            "no node",
        ],
        "inputs": [{"name": "x"}, {"name": "z", "dtype": "float23", "shape": [1.5]}],
        "versoin": 1,
    }
    with pytest.raises(ProblemReport) as caught:
        validate(GraphFile, document, "f")  # type: ignore[arg-type]  # invariance of dict
    assert set(error_of(caught.value)) == {
        ("PLN109", "f: $.version"),
        ("PLN109", "f: $.outputs"),
        ("PLN109", "f: $.nodes[0].name"),
        ("PLN109", "f: $.nodes[0].op"),
        ("PLN109", "f: $.nodes[0].inputs[1]"),
        ("PLN108", "f: $.nodes[0].outputs[0].name"),
        ("PLN107", "f: $.nodes[0].outputs[0].nam"),
        ("PLN109", "f: $.nodes[0].outputs[0].bytes"),
        ("PLN109", "f: $.nodes[1]"),
        ("PLN109", "f: $.inputs[0]"),
        ("PLN109", "f: $.inputs[1].dtype"),
        ("PLN109", "f: $.inputs[1].shape[0]"),
        ("PLN107", "f: $.versoin"),
    }
    hints = {problem.where: problem.hint for problem in caught.value.problems}
    assert hints["f: $.nodes[0].outputs[0].name"] == "is `nam` meant to be `name`?"
    assert str(hints["f: $.versoin"]).startswith("did you mean `version`? keys here: `inputs`")
    assert str(hints["f: $.nodes[0].outputs[0].nam"]).startswith("did you mean `name`? keys here: ")
    assert hints["f: $.inputs[1].dtype"] == "did you mean `float32`?"


def test_a_list_with_a_wrong_item_is_not_called_too_short() -> None:
    node = {"name": "n", "op": "F", "outputs": [{"name": "y"}]}
    document = {"kind": "graph", "version": 1, "outputs": ["y"], "nodes": [node]}
    with pytest.raises(InputError) as caught:
        validate(GraphFile, document, "f")  # type: ignore[arg-type]  # invariance of dict
    assert error_of(caught.value) == [("PLN109", "f: $.nodes[0].outputs[0]")]


@pytest.mark.parametrize("kind", ["costs", "plan", "profile", "table", "grahp", "x" * 1000])
def test_document_of_another_kind(kind: str) -> None:
    with pytest.raises(InputError, match="expected `graph`") as caught:
        check_kind({"kind": kind}, "graph", "f")
    assert error_of(caught.value) == [("PLN110", "f: $.kind")]
    assert caught.value.hint
    assert ("`table`" in caught.value.hint) is (kind in ("grahp", "x" * 1000))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("document", [{}, {"kind": None}, {"kind": {}}, {"kind": "graph"}, [], 3])
def test_what_has_no_kind_is_left_to_the_model(document: object) -> None:
    check_kind(document, "graph", "f")  # type: ignore[arg-type]  # that is the point


READERS = [read_costs, read_plan, load]


@pytest.mark.parametrize("read", READERS)
def test_files_that_cannot_be_opened(read: object, tmp_path: Path) -> None:
    assert callable(read)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "costs.json").touch()
    os.mkfifo(tmp_path / "fifo")
    cases = {
        tmp_path / "cost.json": "PLN101",
        tmp_path / "costs.json" / "x": "PLN103",
        tmp_path / "broken": "PLN101",
        tmp_path / "loop": "PLN103",
        tmp_path / ("x" * 300): "PLN103",
        tmp_path / "a\0b": "PLN103",
        tmp_path / "fifo": "PLN102",
        tmp_path: "PLN102",
        Path("/dev/zero"): "PLN102",
        Path("/dev/null"): "PLN102",
        tmp_path / "costs.json": "PLN104",
    }
    for path, code in cases.items():
        with pytest.raises(PlannerError) as caught:
            read(path)
        assert error_of(caught.value) == [(code, str(path))]
        if path.name == "cost.json":
            assert caught.value.hint == f"did you mean `{tmp_path / 'costs.json'}`?"
        if path.name == "broken":
            assert "`nowhere`" in caught.value.message


@pytest.mark.parametrize("read", READERS)
def test_file_that_may_not_be_read(
    read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(read)
    path = tmp_path / "file.json"
    path.write_text("{}")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # The tests may run as root, whom no mode of a file keeps out.
    monkeypatch.setattr(Path, "open", deny)
    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(PlannerError, match="Permission denied") as caught:
        read(path)
    assert error_of(caught.value) == [("PLN103", str(path))]


def test_places_and_values_are_shortened() -> None:
    with pytest.raises(InputError) as caught:
        parse_costs(b'{"kind": "costs", "' + b"k" * 100_000 + b'": 1e999}', "f")
    assert len(str(caught.value)) < 400
    with pytest.raises(PlannerError) as found:
        parse_costs(b'{"kind": "costs", "version": "' + b"v" * 100_000 + b'"}', "f")
    assert len(str(found.value)) < 1000
    assert shorten("abc") == "abc"
