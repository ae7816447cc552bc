"""Damaged and hostile ONNX files: each ends in a Graph or a PlannerError, whatever was done to it.

The cases run in processes of their own with limited memory and a timer for every case, so that a
crash or a hang inside onnx's native code is seen and can be repeated: run this file with
`--seed S --first N --cases 1`.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from planner import zoo
from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.onnx_model import FRONTEND
from planner.frontends.onnx_model import reading as onnx_reading

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "models"
MEMORY_BYTES = 3 * 2**30
SECONDS_PER_CASE = 5
CASES = 15_000
REAL_SHARE = 0.75
"""Of two runs of `CASES`, more than 20,000 damage a real architecture."""
MAX_BYTES = 120_000
OPTIONS = (
    LoadOptions(),
    LoadOptions(batch=4),
    LoadOptions(batch=4, dims={"N": 4}),
    LoadOptions(inputs=("x:float32[2,3,8,8]",)),
    LoadOptions(frozen=("*",), untied=("*",)),
)
_ODD_INTEGERS = (-1, 0, 1, 2, 3, 2**16, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63), -(2**31))
_TYPES = onnx.AttributeProto.AttributeType.values()
_ODD_OPS = [
    "Add",
    "Concat",
    "Reshape",
    "Shape",
    "Gather",
    "Expand",
    "ConstantOfShape",
    "Tile",
    "Range",
    "Slice",
    "Split",
    "Loop",
    "If",
    "Scan",
    "Transpose",
    "Conv",
    "MatMul",
    "Unsqueeze",
    "Identity",
    "Constant",
    "Where",
    "Resize",
    "NonZero",
    "OneHot",
    "Pad",
    "BatchNorm",
    "Dropout",
    "DequantizeLinear",
    "Cast",
    "Squeeze",
    "Flatten",
    "Einsum",
    "LSTM",
    "SequenceConstruct",
    "Optional",
]


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_end_in_a_graph_or_a_planner_error(seed: int) -> None:
    command = [sys.executable, __file__, "--seed", str(seed), "--cases", str(CASES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-300:]}\n{done.stderr[-3000:]}"
    graphs, errors = (int(word) for word in done.stdout.split()[-2:])
    assert graphs + errors == CASES
    assert min(graphs, errors) > CASES // 100  # neither all damage nor none


@pytest.mark.parametrize("promised", [2, 2**29, 2**31, 2**40, -1])
@pytest.mark.parametrize("in_body", [False, True])
def test_a_split_that_promises_other_outputs_is_refused(promised: int, in_body: bool) -> None:
    """onnx's inference would make room for all of them: 8 bytes of a file ask for 16 GB."""
    make = onnx.helper.make_tensor_value_info
    x, y, z = (make(name, onnx.TensorProto.FLOAT, [6]) for name in ("x", "y", "z"))
    split = onnx.helper.make_node("Split", ["x"], ["y"], "split", num_outputs=promised)
    nodes = [split]
    if in_body:
        body = onnx.helper.make_graph(nodes, "body", [], [y])
        c = onnx.helper.make_node("ReduceMax", ["x"], ["m"], "max", keepdims=0)
        b = onnx.helper.make_node("Cast", ["m"], ["c"], "cast", to=onnx.TensorProto.BOOL)
        choice = onnx.helper.make_node("If", ["c"], ["z"], "if", then_branch=body, else_branch=body)
        nodes = [c, b, choice]
    graph = onnx.helper.make_graph(nodes, "g", [x], [z if in_body else y])
    opset = onnx.helper.make_opsetid("", 18)
    data = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    with pytest.raises(PlannerError, match=f"promises {promised} outputs, has 1"):
        FRONTEND.load(data, where="split", options=LoadOptions())


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """`data` with one to four things wrong."""
    if rng.random() < 0.7:
        data = mutate_message(data, rng)
        if rng.random() < 0.9:
            return data
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(damaged)) if damaged else 0
        match rng.randrange(6):
            case 0:
                damaged[place : place + 1] = bytes([rng.randrange(256)])
            case 1 if damaged:
                damaged[place] ^= 1 << rng.randrange(8)
            case 2 if rng.random() < 0.3:
                del damaged[place:]
            case 3:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                damaged[place:place] = other[start : start + rng.randrange(64)]
            case 4:
                damaged[place : place + 1] = b"\xff" * rng.randint(1, 10) + b"\x01"
            case _:
                del damaged[place : place + rng.randrange(16)]
    return bytes(damaged)


def mutate_message(data: bytes, rng: random.Random) -> bytes:
    """A well-formed file that says something odd."""
    model = onnx.ModelProto.FromString(data)
    nodes = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    nodes += [n for m in nodes for a in m.attribute for n in a.g.node]
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(nodes)
        names = [*node.input, *node.output, "", *(t.name for t in model.graph.initializer), "?"]
        match rng.randrange(9):
            case 0:
                node.op_type = rng.choice(_ODD_OPS)
            case 1 if node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice(names)
            case 2 if node.output:
                node.output[rng.randrange(len(node.output))] = rng.choice(names)
            case 3:
                _mutate_attribute(node, rng)
            case 4 if model.graph.initializer:
                tensor = rng.choice(model.graph.initializer)
                _mutate_dims(tensor.dims, rng)
                tensor.data_type = rng.choice([tensor.data_type, rng.randrange(30)])
                if rng.random() < 0.3:
                    tensor.data_location = onnx.TensorProto.DEFAULT
            case 5 if model.graph.input:
                value = rng.choice(model.graph.input)
                for dim in value.type.tensor_type.shape.dim:
                    if rng.random() < 0.3:
                        dim.dim_value = rng.choice(_ODD_INTEGERS)
            case 6:
                model.graph.node.append(node)
            case 7:
                tensors = [*model.graph.initializer, *(a.t for n in nodes for a in n.attribute)]
                _mutate_values(rng.choice([t for t in tensors if t.raw_data] or tensors), rng)
            case _:
                model.opset_import[0].version = rng.randrange(1, 30)
    return model.SerializeToString()


def _mutate_attribute(node: onnx.NodeProto, rng: random.Random) -> None:
    if not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    if attribute.type == onnx.AttributeProto.INTS:
        _mutate_dims(attribute.ints, rng)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(_ODD_INTEGERS)
    elif attribute.type == onnx.AttributeProto.TENSOR:
        _mutate_dims(attribute.t.dims, rng)
    if rng.random() < 0.2:
        attribute.MergeFromString(b"\xa0\x01" + bytes([rng.choice(_TYPES)]))  # field 20, `type`


def _mutate_values(tensor: onnx.TensorProto, rng: random.Random) -> None:
    size = len(tensor.raw_data)
    if size % 8 == 0:
        numbers = [rng.choice(_ODD_INTEGERS) for _ in range(size // 8)]
        tensor.raw_data = b"".join(n.to_bytes(8, "little", signed=True) for n in numbers)
    elif size:
        tensor.raw_data = rng.randbytes(rng.choice((size, size - 1, size + 1)))


def _mutate_dims(dims: object, rng: random.Random) -> None:
    numbers = [rng.choice(_ODD_INTEGERS) if rng.random() < 0.4 else d for d in list(dims)]  # type: ignore[call-overload]
    if rng.random() < 0.2:
        numbers.append(rng.choice(_ODD_INTEGERS))
    del dims[:]  # type: ignore[attr-defined]
    dims.extend(numbers)  # type: ignore[attr-defined]


def real_models() -> list[bytes]:
    """Real architectures: the zoo's, and the shared files where they are."""
    names = ["lenet5", "squeezenet1_1", "resnet18", "mobilenet_v2", "gpt2", "bert_base"]
    models = [zoo.build(name, training=True).SerializeToString() for name in names]
    small = (path for path in sorted(SHARED.glob("*.onnx")) if path.stat().st_size < MAX_BYTES)
    return models + [path.read_bytes() for path in small]


def run(seed: int, first: int, cases: int) -> None:
    """Load `cases` damaged files; prints how many gave a graph and how many an error."""
    sys.path.insert(0, str(ROOT))
    from tests.support.onnx_models import all_models

    corpus, real = list(all_models().values()), real_models()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    graphs = errors = 0
    for case in range(first, first + cases):
        rng = random.Random(f"{seed}/{case}")
        data = mutate(rng.choice(real if rng.random() < REAL_SHARE else corpus), corpus, rng)
        # Half of the files go through the walk that leaves weights out.
        onnx_reading.DIRECT_BYTES = rng.choice((0, 2**22))
        print("case", case, file=sys.stderr)
        signal.alarm(SECONDS_PER_CASE)  # kills the process: native code cannot be interrupted
        try:
            FRONTEND.load(data, where="fuzz", options=rng.choice(OPTIONS))
            graphs += 1
        except PlannerError as error:
            if not str(error) or error.exit_code != 2:
                raise AssertionError(f"{error!r} exits with {error.exit_code}") from error
            errors += 1
        signal.alarm(0)
    print(graphs, errors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=CASES)
    arguments = parser.parse_args()
    run(arguments.seed, arguments.first, arguments.cases)
