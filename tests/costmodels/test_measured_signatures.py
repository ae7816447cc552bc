"""Profiles by signature: what was measured of some models prices the operators of another."""

from __future__ import annotations

from typing import Any

import pytest

from planner.costmodels.measured import COST_MODEL
from planner.costs.cost_file import MeasuredHost
from planner.costs.cost_table import HostCosts
from planner.costs.profile_file import check_profile
from planner.drafts.loading import load
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.graphs.signatures import operator_signature
from planner.zoo import build
from tests.support.nets import Net, context_of
from tests.support.profiles import measurement_of, profile_document


def price(graph: Graph, *measurements: dict[str, Any], training: bool = False) -> HostCosts:
    profile = check_profile(profile_document(*measurements), "bench.json")
    options = MeasuredHost(name="device", model="measured", profile=profile, by_signature=True)
    return COST_MODEL.cost(graph, options, context_of(graph, training=training))


def problems_of(graph: Graph, *measurements: dict[str, Any], **how: bool) -> list[PlannerError]:
    with pytest.raises(PlannerError) as caught:
        price(graph, *measurements, **how)
    return list(caught.value.problems)


def zoo_model(name: str) -> Graph:
    return load(build(name).SerializeToString())


def by_size(graph: Graph) -> list[float]:
    """Seconds that depend on what an operator writes and reads: equal for equal signatures."""
    sizes = [
        sum(graph.tensors[t].size_bytes for t in (*operator.inputs, *operator.outputs))
        + sum(graph.parameters[p].size_bytes for p in operator.parameters)
        for operator in graph.operators
    ]
    return [size * 1e-9 for size in sizes]


def fused_layers(graph: Graph) -> list[list[str]]:
    """Every Conv, with the normalisation and the Relu that alone read what is before them."""
    found = []
    for index, operator in enumerate(graph.operators):
        chain = [index]
        for follower in ("BatchNormalization", "Relu"):
            readers = graph.tensors[graph.operators[chain[-1]].outputs[0]].consumers
            if len(readers) == 1 and graph.operators[readers[0]].op == follower:
                chain.append(readers[0])
        if operator.op == "Conv" and len(chain) == 3:
            found.append([graph.operators[v].name for v in chain])
    return found


def test_models_of_the_same_layers_price_a_new_one() -> None:
    new = zoo_model("resnet34")
    known = [zoo_model(name) for name in ("resnet18", "vgg16")]
    costs = price(new, *[measurement_of(graph, by_size(graph)) for graph in known])
    assert costs.forward_s == pytest.approx(by_size(new))
    assert costs.notes == ("priced operator by operator from measurements of `resnet18`, `vgg16`",)
    (problem,) = problems_of(zoo_model("resnet50"), *[measurement_of(g) for g in known])
    assert (problem.code, problem.where) == ("PLN306", "bench.json: $.measurements")
    assert "merge-profiles" in str(problem.hint)


def test_kernels_of_one_model_are_found_in_another() -> None:
    new, known = zoo_model("resnet34"), zoo_model("resnet18")
    expected = fused_layers(new)
    assert len(expected) > 15
    measured = measurement_of(known, by_size(known), groups=fused_layers(known))
    costs = price(new, measured)
    found = {tuple(new.operators[v].name for v in group) for group in costs.together}
    assert found == {tuple(group) for group in expected}
    seconds = by_size(new)
    for group in costs.together:
        assert costs.forward_s[list(group)].sum() == pytest.approx(sum(seconds[v] for v in group))
    assert costs.forward_s.sum() == pytest.approx(sum(seconds))
    # Where the file does not say who reads whom, each has to read one of the others.
    for group in measured["groups"]:
        group["edges"] = []
    again = price(new, measured)
    assert again.together == costs.together
    assert again.forward_s.tolist() == costs.forward_s.tolist()


def net(*ops: str, batch: int = 2) -> Graph:
    """Operators in a row, `n0`, `n1`, …"""
    made = Net(x=(batch, 4))
    for number, op in enumerate(ops):
        made.add(op, f"n{number - 1}" if number else "x", (batch, 4))
    return made.graph()


def grouped(graph: Graph, *groups: str, seconds: float = 1.0) -> dict[str, Any]:
    """Each operator takes `seconds`; groups are such as `n0 n1`, with their edges."""
    return measurement_of(graph, lambda _: seconds, groups=[names.split() for names in groups])


def test_larger_kernels_come_first_and_none_overlap() -> None:
    measured = net("A", "B", "C", "A", "B", "A", "C")
    profile = grouped(measured, "n0 n1 n2", "n3 n4")
    costs = price(net("A", "B", "A", "B", "C", "A", "C"), profile)
    assert sorted(costs.together) == [(0, 1), (2, 3, 4)]
    assert costs.forward_s.tolist() == [2.0, 0.0, 3.0, 0.0, 0.0, 1.0, 1.0]
    assert costs.notes[-1] == "2 groups of operators that it runs as one kernel are kept together"


def test_operators_seen_within_kernels_only_have_no_price() -> None:
    (problem,) = problems_of(net("B", "A"), grouped(net("A", "B"), "n0 n1"))
    assert problem.code == "PLN306"
    assert problem.message == "host `device` has no measurement of `n0`, `n1`"
    assert problem.hint == (
        "they were measured only within kernels: measure them apart with `--no-fusion`"
    )
    apart = grouped(net("A", "B"), seconds=5.0)
    costs = price(net("B", "A"), grouped(net("A", "B"), "n0 n1"), apart)
    assert costs.forward_s.tolist() == [5.0, 5.0]
    assert costs.together == ()


def test_wiring_must_be_the_same() -> None:
    """A reader of both operands is another kernel than a reader of one."""

    def two_readers(reads: str) -> Graph:
        made = Net(x=(2, 4))
        made.add("A", "x", (2, 4))
        made.add("B", "n0", (2, 4))
        made.add("Add", reads, (2, 4))
        return made.graph()

    joined, chained = two_readers("n1 n0"), two_readers("n1 x")
    assert [operator_signature(joined, v) for v in range(3)] == [
        operator_signature(chained, v) for v in range(3)
    ]
    profile = grouped(joined, "n0 n1 n2")
    assert price(joined, profile).together == ((0, 1, 2),)
    (problem,) = problems_of(chained, profile)
    assert problem.code == "PLN306"


def test_search_goes_back_where_the_first_choice_does_not_fit() -> None:
    """Of two readers that look alike only the second is read by what the kernel ends with."""
    made = Net(x=(2, 4))
    for op, reads in (("A", "x"), ("B", "n0"), ("B", "n0"), ("C", "n2"), ("D", "n1 n3")):
        made.add(op, reads, (2, 4))
    graph = made.graph()
    kernel = Net(x=(2, 4))
    for op, reads in (("A", "x"), ("B", "n0"), ("C", "n1"), ("E", "n0")):
        kernel.add(op, reads, (2, 4))
    profile = grouped(kernel.graph("n2", "n3"), "n0 n1 n2")
    # The kernel is larger than what is priced alone, so it is looked for first.
    assert price(graph, profile, grouped(graph)).together == ((0, 2, 3),)


def test_kernels_of_a_thousand_operators_are_found() -> None:
    long = net(*"AB" * 600)
    profile = grouped(long, " ".join(op.name for op in long.operators))
    assert price(long, profile).together == (tuple(range(1200)),)
    profile["groups"][0]["edges"] = []
    assert price(long, profile).together == (tuple(range(1200)),)


def test_a_search_that_would_not_end_is_given_up() -> None:
    """A star of like operators has more orders than anybody can try."""
    made = Net(x=(2, 4))
    made.add("Hub", "x", (2, 4))
    for _ in range(14):
        made.add("Leaf", "n0", (2, 4))
    made.add("Sum", " ".join(f"n{i}" for i in range(1, 15)), (2, 4))
    star = made.graph()
    profile = grouped(star, "n0 " + " ".join(f"n{i}" for i in range(1, 15)))
    profile["groups"][0]["edges"] = []
    odd = net("Odd")
    row = measurement_of(odd)["nodes"][0] | {"name": "odd"}
    profile["nodes"].append(row)
    profile["groups"][0]["nodes"].append("odd")
    (problem,) = problems_of(star, profile)
    assert problem.code == "PLN306"


def test_median_over_all_that_were_measured_alone() -> None:
    graph = net("A")
    seconds = [3.0, 1.0, 9.0]
    costs = price(graph, *[grouped(graph, seconds=s) for s in seconds])
    assert costs.forward_s.tolist() == [3.0]


def test_backward_by_signature() -> None:
    made = Net(x=(2, 4))
    made.add("Relu", "x", (2, 4))
    made.add("Linear", "n0", (2, 4), weights=((4, 4),))
    graph = made.graph()
    measured = measurement_of(graph, [1.0, 2.0], [4.0, 8.0], backward_origin="estimated")
    costs = price(graph, measured, training=True)
    assert costs.backward_s.tolist() == [0.0, 8.0]
    assert costs.notes[-1] == "backward seconds of all operators are estimated, by toy ratio"
    measured["nodes"][1]["backward"] = None
    (problem,) = problems_of(graph, measured, training=True)
    assert (problem.code, problem.where) == ("PLN307", "bench.json: $.measurements")
    assert "`n1`" in problem.message


def test_what_is_not_finished_or_of_another_mode_does_not_count() -> None:
    graph = net("A")
    (problem,) = problems_of(graph, measurement_of(graph), training=True)
    assert problem.code == "PLN320"
    (problem,) = problems_of(graph, measurement_of(graph, is_complete=False))
    assert problem.code == "PLN319"


def test_graphs_that_were_scaled_have_other_shapes_than_their_signatures() -> None:
    graph = net("A")
    (problem,) = problems_of(graph.rebatched(4), measurement_of(graph))
    assert problem.code == "PLN306"
    assert "export it at that batch" in str(problem.hint)


def read_by_another(is_read: bool) -> Graph:
    """A layer and its Relu; what is between them may have another reader."""
    net = Net(x=(2, 4))
    net.add("Linear", "x", (2, 4), weights=((4, 4),))
    net.add("Relu", "n0", (2, 4))
    if is_read:
        net.add("Neg", "n0", (2, 4))
        net.add("Sum", "n1 n2", (2, 4))
    return net.graph()


@pytest.mark.parametrize("has_edges", [True, False])
def test_kernel_that_kept_a_result_to_itself_is_none_that_hands_it_on(has_edges: bool) -> None:
    plain, read = read_by_another(False), read_by_another(True)
    fused = measurement_of(plain, [1.0, 0.5], groups=[("n0", "n1")])
    handing_on = measurement_of(read, [2.0, 0.5, 0.25, 0.25], groups=[("n0", "n1")])
    if not has_edges:
        for measurement in (fused, handing_on):
            for key in ("edges", "read_outside"):
                del measurement["groups"][0][key]
    assert price(plain, fused).forward_s.sum() == 1.5
    (problem,) = problems_of(read, fused)
    assert problem.code == "PLN306"
    assert "`n0`" in problem.message
    assert "`n1`" in problem.message
    if has_edges:
        assert price(read, fused, handing_on).forward_s.sum() == 3.0
        assert price(plain, fused, handing_on).forward_s.sum() == 1.5
        assert problems_of(plain, handing_on)
