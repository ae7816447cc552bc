"""From torch programs to graphs: names, views, in-place writes, ties, modes."""

from __future__ import annotations

import pytest

from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.torch_programs import aten_table
from planner.frontends.torch_programs.aliasing import view_strides
from planner.frontends.torch_programs.program import Ref, WeightKind
from planner.graphs.flop_rules import RULES
from planner.graphs.gradients import needs_gradient
from tests.support.torch_nets.programs import Script, edges

SQUARE = (4, 4)


def test_every_type_of_the_table_has_a_rule() -> None:
    assert {op for op in aten_table.OPS.values() if op not in RULES} == set()
    assert set(RULES) >= aten_table.FULL_VIEWS | aten_table.PART_VIEWS


def test_no_aten_name_is_in_two_rows() -> None:
    names = [name for _, row in aten_table._ROWS for name in row.split()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("relu_", True), ("relu", False), ("__and__", False), ("__iadd__", True), ("__or__", False)],
)
def test_in_place_operators_are_known_by_their_names(operator: str, expected: bool) -> None:
    assert aten_table.is_in_place(operator) == expected


def test_a_module_with_one_operator_names_it() -> None:
    script = Script(x=(1, 4))
    weight = script.weight("block.fc.weight", SQUARE)
    turned = script.call("t", SQUARE, weight, path="block.fc")
    y = script.call("mm", (1, 4), "x", turned, path="block.fc", name="mm")
    y = script.call("relu", (1, 4), y, path="block.act")
    y = script.call("relu", (1, 4), y, path="block.act@1")
    y = script.call("add", (1, 4), y, "x", path="block")
    y = script.call("add", (1, 4), y, y, path="block")
    graph = script.graph(script.call("relu", (1, 4), y))
    assert [operator.name for operator in graph.operators] == [
        "block.fc",
        "block.act",
        "block.act@1",
        "block.add",
        "block.add_1",
        "relu",
    ]
    assert edges(graph)["block.fc"] == ["x", "block.fc.weight"]


def test_names_stay_unique_where_a_module_is_called_like_an_operator_or_an_input() -> None:
    script = Script(x=(1, 4), relu=(1, 4))
    y = script.call("relu", (1, 4), "x")
    y = script.call("add", (1, 4), y, "relu", path="x")
    y = script.call("tanh", (1, 4), y, path="relu_1")
    graph = script.graph(script.call("relu", (1, 4), y))
    names = [t.name for t in graph.tensors]
    assert len(names) == len(set(names))
    assert len(graph.operators) == 4


def test_after_an_in_place_write_everybody_reads_what_was_written() -> None:
    script = Script(x=SQUARE)
    y = script.call("mul", SQUARE, "x", "x", name="y")
    view = script.call("view", (16,), y, name="view")
    script.call("relu_", SQUARE, y, name="changed")
    late = script.call("tanh", (16,), view, name="late")
    base = script.call("exp", SQUARE, y, name="base")
    graph = script.graph(late, base)
    assert edges(graph) == {"mul": ["x"], "relu": ["mul"], "tanh": ["relu"], "exp": ["relu"]}
    assert graph.operators[graph.operator_index["tanh"]].operand_shapes == ((16,),)


def test_what_read_before_the_write_keeps_reading_the_old_tensor() -> None:
    script = Script(x=SQUARE)
    y = script.call("mul", SQUARE, "x", "x")
    early = script.call("tanh", SQUARE, y)
    changed = script.call("add_", SQUARE, y, "x")
    graph = script.graph(early, changed)
    assert edges(graph) == {"mul": ["x"], "tanh": ["mul"], "add": ["mul", "x"]}


def test_a_write_to_a_part_changes_the_whole() -> None:
    script = Script(x=SQUARE)
    y = script.call("mul", SQUARE, "x", "x")
    row = script.call("select", (4,), y, dim=0, index=0)
    script.call("relu_", (4,), row)
    other = script.call("select", (4,), y, dim=0, index=1, name="select_late")
    graph = script.graph(script.call("tanh", SQUARE, y), script.call("exp", (4,), other))
    read = edges(graph)
    assert read["relu"] == ["select"]
    assert read["overwrite"] == ["mul", "relu"]
    assert read["tanh"] == ["overwrite"]
    assert read["select_1"] == ["overwrite"]
    assert all(graph.macs(operator) == 0 for operator in graph.operators)


def test_a_part_that_is_read_after_the_whole_was_written_is_cut_out_again() -> None:
    script = Script(x=SQUARE)
    y = script.call("mul", SQUARE, "x", "x")
    row = script.call("select", (4,), y, dim=0, index=0)
    script.call("relu_", SQUARE, y)
    graph = script.graph(script.call("tanh", (4,), row))
    read = edges(graph)
    assert read["tanh"] == ["slice"]
    assert read["slice"] == ["relu"]
    (part,) = [t for t in graph.tensors if t.name == "slice"]
    assert part.size_bytes == 16


def test_copying_over_a_tensor_does_not_read_it() -> None:
    script = Script(x=SQUARE, y=SQUARE)
    old = script.call("mul", SQUARE, "x", "x")
    script.call("copy_", SQUARE, old, src=Ref("y"))
    graph = script.graph(script.call("tanh", SQUARE, old))
    assert edges(graph) == {"copy": ["y"], "tanh": ["copy"]}


@pytest.mark.parametrize(
    ("target", "told"),
    [("dropout", {"p": 0.5, "train": False}), ("alias", {}), ("to", {})],
)
def test_what_changes_nothing_is_left_out(target: str, told: dict[str, float]) -> None:
    script = Script(x=SQUARE)
    y = script.call(target, SQUARE, "x", name="same", **told)
    graph = script.graph(script.call("tanh", SQUARE, y))
    assert edges(graph) == {"tanh": ["x"]}
    assert graph.folded["same"].startswith("no operation")


def test_a_write_through_what_changes_nothing_is_a_write() -> None:
    script = Script(x=SQUARE)
    y = script.call("mul", SQUARE, "x", "x")
    same = script.call("dropout", SQUARE, y, train=False)
    script.call("relu_", SQUARE, same)
    graph = script.graph(script.call("tanh", SQUARE, y))
    assert edges(graph)["tanh"] == ["relu"]


@pytest.mark.parametrize(
    ("strides", "op"), [((12, 4, 1), "Reshape"), ((4, 8, 1), "aten.copy"), (None, "Reshape")]
)
def test_a_reshape_copies_only_where_the_layout_makes_it(
    strides: tuple[int, ...] | None, op: str
) -> None:
    script = Script(x=(2, 3, 4))
    y = script.call("relu", (2, 3, 4), "x", strides=strides)
    graph = script.graph(script.call("reshape", (6, 4), y), script.call("tanh", (2, 3, 4), y))
    assert op in [operator.op for operator in graph.operators]


def test_view_rule_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    base = torch.zeros(2, 3, 4, 5)
    looks = [base, base.transpose(1, 2), base[:, :2], base.expand(2, 3, 4, 5), base[..., ::2]]
    looks += [base[:1].expand(7, 3, 4, 5), base.permute(3, 0, 1, 2), base[:, :1]]
    for look in looks:
        n = look.numel()
        for wanted in [(n,), (n // 3, 3), (2, n // 2), (1, n), look.shape, (n // 12, 3, 4)]:
            if torch.Size(wanted).numel() != n:
                continue
            try:
                look.view(wanted)
                is_view = True
            except RuntimeError:
                is_view = False
            assert view_strides(tuple(look.shape), look.stride(), tuple(wanted)) == is_view


def test_a_tie_is_one_parameter_and_slices_of_one_storage_are_not() -> None:
    script = Script(x=SQUARE)
    one = script.weight("a.weight", SQUARE, storage="s")
    two = script.weight("b.weight", SQUARE, storage="s")
    other = script.weight("c.weight", SQUARE, storage="s+64")
    y = script.call("mm", SQUARE, "x", one)
    y = script.call("mm", SQUARE, y, two)
    graph = script.graph(script.call("mm", SQUARE, y, other))
    assert [(p.name, len(p.readers)) for p in graph.parameters] == [
        ("a.weight", 2),
        ("c.weight", 1),
    ]
    assert graph.summary()["trainable_parameters"] == 32


def test_buffers_are_frozen_and_integer_buffers_are_constants() -> None:
    script = Script(x=SQUARE)
    mean = script.weight("mean", (4,), kind=WeightKind.BUFFER)
    count = script.weight("count", (), kind=WeightKind.BUFFER, dtype="int64")
    script.call("add_", (), count, dtype="int64", alpha=1)
    y = script.call("sub", SQUARE, "x", mean)
    graph = script.graph(y)
    assert [(p.name, p.trainable) for p in graph.parameters] == [("mean", False)]
    assert [operator.name for operator in graph.operators] == ["sub"]


def test_frozen_globs_name_state_dict_paths() -> None:
    script = Script(x=SQUARE)
    weight = script.weight("layer.weight", SQUARE)
    graph = script.graph(
        script.call("mm", SQUARE, "x", weight), options=LoadOptions(frozen=("l*",))
    )
    assert not graph.parameters[0].trainable
    with pytest.raises(PlannerError) as caught:
        script.graph("mm_0", options=LoadOptions(frozen=("nothing*",)))
    assert caught.value.code == "PLN208"


def test_no_gradient_flows_through_detach_or_what_ran_without_gradients() -> None:
    script = Script(x=SQUARE)
    weight = script.weight("w", SQUARE)
    y = script.call("mm", SQUARE, "x", weight, name="y")
    cut = script.call("detach", SQUARE, y, name="cut")
    still = script.call("tanh", SQUARE, y, name="still", has_grad=False)
    z = script.call("add", SQUARE, cut, still)
    graph = script.graph(script.call("mm", SQUARE, z, script.weight("v", SQUARE)))
    needs = dict(zip([t.name for t in graph.tensors], needs_gradient(graph), strict=True))
    assert not needs["mm"]
    assert not needs["detach"]
    assert not needs["tanh"]
    assert needs["mm_1"]


def test_second_copies_are_merged_and_random_ones_are_not() -> None:
    script = Script(x=SQUARE)
    twins = [script.call("tanh", SQUARE, "x") for _ in range(2)]
    noise = [script.call("dropout", SQUARE, "x", p=0.1, train=True) for _ in range(2)]
    graph = script.graph(script.call("add", SQUARE, *twins), script.call("add", SQUARE, *noise))
    assert sorted(o.op for o in graph.operators) == ["Add", "Add", "Dropout", "Dropout", "Tanh"]
    assert any(reason.startswith("duplicate") for reason in graph.folded.values())


def test_the_mode_is_told_by_normalisation_and_dropout() -> None:
    for is_training in (True, False):
        script = Script(x=SQUARE)
        y = script.call("dropout", SQUARE, "x", p=0.1, train=is_training)
        graph = script.graph(script.call("tanh", SQUARE, y))
        assert graph.is_inference_export != is_training


def test_shapes_lent_to_a_factory_are_not_read() -> None:
    script = Script(x=SQUARE)
    weight = script.weight("w", SQUARE)
    y = script.call("mm", SQUARE, "x", weight)
    zeros = script.call("zeros_like", SQUARE, y)
    graph = script.graph(script.call("add", SQUARE, "x", zeros), y)
    assert edges(graph)["add"] == ["x"]


def test_outputs_may_be_inputs_weights_and_the_same_tensor_twice() -> None:
    script = Script(x=SQUARE)
    weight = script.weight("w", SQUARE)
    y = script.call("mm", SQUARE, "x", weight)
    graph = script.graph(y, "x", y, weight)
    assert [graph.tensors[t].name for t in graph.outputs] == ["mm", "x", "w#output"]


def test_types_without_a_size_are_refused() -> None:
    script = Script(x=SQUARE)
    y = script.call("quantize", SQUARE, "x", dtype="quint8x")
    with pytest.raises(PlannerError) as caught:
        script.graph(y)
    assert caught.value.code == "PLN210"


def test_another_batch_scales_what_was_read() -> None:
    script = Script(x=(2, 4))
    graph = script.graph(script.call("tanh", (2, 4), "x"), options=LoadOptions(batch=6))
    assert graph.batch == 6
    assert graph.tensor_bytes.tolist() == [96, 96]


def test_fused_layers_count_their_products() -> None:
    script = Script(query=(2, 8, 16))
    qkv, out = script.weight("qkv", (48, 16)), script.weight("out", (16, 16))
    y = script.call(
        "aten._native_multi_head_attention.default",
        (2, 8, 16),
        "query",
        num_head=4,
        qkv_weight=qkv,
        proj_weight=out,
    )
    graph = script.graph(y)
    tokens, width = 16, 16
    expected = tokens * width * 64 + 2 * 2 * 8 * 8 * width
    assert graph.macs(graph.operators[0]) == expected
