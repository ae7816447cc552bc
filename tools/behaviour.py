"""Record what the planner says and answers, as text, so that two commits can be compared.

    OLD/bin/python tools/behaviour.py -o before    # with an environment of one commit
    NEW/bin/python tools/behaviour.py -o after     # and with one of the other
    diff -r before after

A change that is to change no behaviour leaves no difference but those that it means to make. Only
the public API and the command line are used, which stay where they are when modules move. Run as a
script, so that nothing of this checkout hides the planner of the environment that is asked. Every
item is a file; printed are its SHA-256 and its name, and last the SHA-256 of these lines.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import re
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import behaviour_cases as cases
import onnx
from behaviour_record import Record, answer, changed, save

import planner

ROOT = Path(__file__).resolve().parent.parent
LANGUAGE = ("gpt2", "bert_base")
QUICK = ("lenet5", "squeezenet1_1", "resnet18")
SMALL = (cases.LENET, "squeezenet1_1.inference.onnx", "toy.json")
"""Models that integer programs are asked about, and tables are made of."""


def write_inputs(record: Record) -> None:
    """Write all files that are read to the current folder."""
    Path("bad").mkdir()
    documents = {
        "toy": cases.GRAPH,
        "wide": cases.WIDE,
        "costs": cases.COSTS,
        "layers": cases.LAYERS,
        **cases.SCENARIOS,
    }
    documents |= {
        f"bad/{name}.graph": changed(cases.GRAPH, c) for name, c in cases.BAD_GRAPHS.items()
    }
    documents |= {
        f"bad/{name}.costs": changed(cases.COSTS, c) for name, c in cases.BAD_COSTS.items()
    }
    for name, document in documents.items():
        save(f"{name}.json", document)
    Path("pipedream.txt").write_text(cases.PIPEDREAM, encoding="utf-8")
    for name, content in cases.BAD_FILES.items():
        Path("bad", name).write_bytes(content)
    for name, entries in cases.BAD_ARCHIVES.items():
        with zipfile.ZipFile(f"bad/{name}", "w") as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
    for line in record.run("zoo/list", "zoo").splitlines()[1:]:
        name = line.split()[0]
        flags = "--batch 2 --sequence 16" if name in LANGUAGE else "--batch 2"
        record.run(f"zoo/{name}", f"zoo {name} {flags} -o {name}.inference.onnx")
        record.run(f"zoo/{name}-t", f"zoo {name} {flags} --training -o {name}.training.onnx")
    for name, change in cases.BAD_MODELS.items():
        model = onnx.load(cases.LENET, load_external_data=False)
        model.graph.ClearField("value_info")
        model.opset_import.add(domain="my", version=1)
        change(model)
        Path(f"bad/{name}.onnx").write_bytes(model.SerializeToString())


def models(folder: Path, *, is_quick: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Paths of all models, and what must be said of their inputs."""
    kept = QUICK if is_quick else ("",)
    yield "toy.json", ()
    yield from ((str(p), ()) for p in sorted(Path().glob("*.onnx")) if p.name.startswith(kept))
    for name in sorted(path.name for path in folder.glob("*.*")):
        if name.startswith(kept) and name.endswith((".onnx", ".pt2")):
            yield f"models/{name}", ()
        elif name.startswith(kept) and name.endswith(".pt") and find_spec("torch"):
            is_text = name.startswith(LANGUAGE)
            yield f"models/{name}", ("int64[1,128]",) * 2 if is_text else ("float32[1,3,224,224]",)


def graph_text(graph: planner.Graph) -> str:
    """Everything that a graph says of its model."""
    head = (graph.name, graph.digest, graph.batch, graph.batch_scale, graph.is_inference_export)
    rows = (graph.operators, graph.tensors, graph.parameters, graph.folded.items())
    lines = [repr(head), json.dumps(graph.summary(), indent=1), *graph.notes, *graph.warnings]
    lines += [repr(row) for part in rows for row in part]
    ends = (graph.inputs, graph.outputs, graph.forward_flops.tolist())
    return "\n".join([*lines, *map(repr, ends)]) + "\n"


def record_models(record: Record, folder: Path, *, is_quick: bool) -> None:
    """Every model as it is read, shown, and planned by the solvers that are fast on all."""
    for path, inputs in models(folder, is_quick=is_quick):
        graph = planner.load(path, inputs)
        flags = "".join(f" --input {spec}" for spec in inputs)
        record.add(f"graph/{path}", graph_text(graph))
        record.run(f"inspect/{path}", f"inspect {path}{flags}")
        record.run(f"shown/{path}", f"plan {path} --costs training.json{flags}")
        for scenario in cases.SCENARIOS:
            task = planner.read_costs(f"{scenario}.json")
            for solver in ("auto", "maxflow", "blockwise"):
                made = answer(lambda: planner.plan(graph, task, solver))  # noqa: B023 (called here)
                record.add(f"plan/{path}/{scenario}.{solver}", made)


def record_small_models(record: Record) -> None:
    """What takes longer: all solvers, second opinions, memory limits, pipelines, tables."""
    plugins = json.loads(record.run("plugins-json", "plugins --format json"))["plugins"]
    solvers = [plugin["name"] for plugin in plugins if plugin["kind"] == "solver"]
    for path in SMALL:
        task = f"{path} --costs training.json"
        commands = {
            "limited": f"plan {task} --device-memory 500kB --optimizer-states 1",
            "limited-less": f"plan {task} --device-memory 40MB --optimizer-states 1",
            "pipeline": f"plan {task} --objective throughput -o pipeline.json --force",
            "explained": f"plan {task} --solver blockwise --explain --all -o plan.json --force",
            "another-batch": f"plan {task} --batch 6 --format json",
            "verified": f"verify plan.json --graph {task}",
            "verified-json": f"verify plan.json --graph {task} --format json",
            "verified-pipeline": f"verify pipeline.json --graph {task} --objective throughput",
            "inspected": f"inspect {path} --all",
            "inspected-json": f"inspect {path} --format json",
            "table": f"table {task} --uplink 1Mbit/s..1Gbit/s -o table.json --force",
            "table-json": f"table {task} --uplink 1Mbit/s..1Gbit/s --format json",
            "table-of-two": f"table {task} --uplink 1kbit/s..1Gbit/s --device-speed 0.01..1",
            **{f"by-{s}": f"plan {task} --solver {s} --format json" for s in solvers},
        }
        for name, command in commands.items():
            record.run(f"small/{path}/{name}", command)
        # Not for a width: seconds of another length would break lines at other places.
        record.run(f"small/{path}/compared", f"compare {task}", columns="")
    task = "googlenet.training.onnx --costs training.json --uplink 20Mbit/s --downlink 80Mbit/s"
    limited = f"plan {task} --optimizer-states 1 --device-memory"
    record.run("small/branching", *(f"{limited} {limit}" for limit in ("75MB", "80MB", "85MB")))


OPTION = r"(?m)^  (?:-\w, )?(--[a-z-]+)"


def record_mistakes(record: Record) -> None:
    """Bad input of all kinds, every option of `plan` with junk, and every option misspelt."""
    for begin, ends in cases.MISTAKES.items():
        commands = [f"{begin} {end.strip()}".strip() for end in ends.split("|")]
        record.run(f"mistakes/{begin.replace('/', '_') or 'planner'}", *commands)
    files = [*cases.BAD_FILES, *cases.BAD_ARCHIVES, *(f"{name}.onnx" for name in cases.BAD_MODELS)]
    for name in (*files, *(f"{name}.graph.json" for name in cases.BAD_GRAPHS)):
        record.run(f"mistakes/bad/{name}", f"inspect bad/{name}")
    for name in cases.BAD_COSTS:
        record.run(f"mistakes/bad/{name}.costs", f"plan toy.json --costs bad/{name}.costs.json")
    for option in re.findall(OPTION, record.run("help/plan", "plan --help")):
        typos = [f"{cases.TOY} {option[:-1]}", f"{cases.TOY} {option}s 1"]
        record.run(
            f"mistakes/{option}", *(f"{cases.TOY} {option} {junk}" for junk in cases.JUNK), *typos
        )


def record_programs(record: Record) -> None:
    """What the program says of itself, and what goes into the archive of a probe."""
    text = record.run("help/planner", "--help").partition("Commands:")[2]
    for name in {*re.findall(r"(?m)^  ([a-z-]+)", text), "probe export"} - {"plan"}:
        record.run(f"help/{name}", f"{name} --help")
    record.run("plugins", "plugins")
    installed = sorted(f"{found.name} {found.version}\n" for found in distributions())
    record.add("versions", "".join([f"Python {sys.version}\n", *installed]))
    for name in record.run("schema/list", "schema").split():
        record.run(f"schema/{name}", f"schema {name}")
    record.run("probe/export", f"probe export {cases.LENET} -o probe.zip")
    with zipfile.ZipFile("probe.zip") as archive:
        record.add("probe/files", "\n".join(sorted(archive.namelist())) + "\n")


def record_profiles(record: Record, folder: Path) -> None:
    """What others measured, as profiles and as graphs; merged, and planned with."""
    importing = "import-profile layers.json --graph toy.json --machine orin"
    record.run("profiles/import", f"{importing} -o one.json")
    record.run("profiles/import-batch", f"{importing} --batch 8 -o two.json")
    record.run("profiles/merge", "merge-profiles one.json two.json -o merged.json")
    merged = planner.read_profile("merged.json").model_dump(mode="json", by_alias=True)
    record.add("profiles/merged", json.dumps(merged, indent=1) + "\n")
    for name, changes in cases.BAD_PROFILES.items():
        save(f"bad/{name}.profile.json", changed(merged, changes))
    published = sorted(f"profiles/{path.name}" for path in folder.glob("*.graph.txt"))
    for path in ["pipedream.txt", *published]:
        name = Path(path).name.partition(".")[0]
        flags = f"--graph-out {name}.g.json -o {name}.c.json --server-speed 10 {cases.RATES}"
        planning = f"plan {name}.g.json --costs {name}.c.json --all"
        record.run(f"profiles/{name}", f"import-profile {path} {flags}", planning)


def record_library(record: Record) -> None:
    """What functions return that no command shows, and how they refuse."""
    toy, task = planner.load("toy.json"), planner.read_costs("costs.json")
    plan, free = planner.plan(toy, task), planner.read_costs("training.json")
    problem, table = planner.problem(toy, free), planner.table(toy, free, uplink_bps=(1e6, 1e9))
    save("toy.plan.json", plan.to_dict())
    save("worse.plan.json", changed(plan.to_dict(), {"total_s": 1.0, "placement.1.host": "server"}))
    save("bad/table.json", changed(table.to_dict(), {"plans.0.constant_s": 1e6}))
    calls: dict[str, Callable[[], object]] = {
        "load-number": lambda: planner.load(3),
        "load-frontend": lambda: planner.load("toy.json", frontend="jsn"),
        "load-inputs": lambda: planner.load("toy.json", "x:float32[1]"),
        "load-options": lambda: planner.load("toy.json", batch=0, shapes="numpy", dims={"n": -1}),
        "plan-batch": lambda: planner.plan(planner.load("toy.json", batch=8), task),
        "evaluate": lambda: planner.evaluate(toy, free, {"": "server", "conv": "device"}),
        "evaluate-part": lambda: planner.evaluate(toy, task, {"conv": "device", "fc": "cloud"}),
        "evaluate-rule": lambda: planner.evaluate(toy, task, {"": "server"}),
        "seconds": lambda: problem.seconds.flat().tolist(),
        "ticks": lambda: (problem.ticks.quantum_s, problem.ticks.terms.flat().tolist()),
        "links": lambda: problem.with_links(uplink_bps=-1.0),
        "speed": lambda: problem.with_speed(devise=2.0),
        "solve": lambda: planner.solve(problem.with_links(uplink_bps=1e9).with_speed(device=0.5)),
        "best": lambda: table.best(uplink_bps=2e7).placement,
        "best-outside": lambda: table.best(uplink_bps=2e9),
        "best-unknown": lambda: table.best(uplnk_bps=2e7),
        "best-many": lambda: table.best_many(uplink_bps=[1e6, 2e6, 2e7, 1e9]),
        "table-nothing": lambda: planner.table(toy, task),
        "table-backwards": lambda: planner.table(toy, task, device_speed=(2.0, 1.0)),
        "read-table": lambda: planner.read_table("bad/table.json"),
        "read-plan": lambda: planner.read_plan("toy.plan.json"),
        "read-other": lambda: planner.read_plan("costs.json"),
        "verify": lambda: planner.verify(plan, toy, task, "networkx").checks,
        "split": lambda: planner.split_module(plan, toy),
    }
    for name, call in calls.items():
        record.add(f"library/{name}", answer(call))


def record_torch(record: Record) -> None:
    """Modules in memory, planned and cut, and archives that torch writes of one."""
    import torch
    from torch import nn

    def parts(module: nn.Module) -> str:
        plan = planner.plan(planner.load(module, shapes), task)
        split = planner.split_module(plan, module)
        names = [(p.takes, p.gives, p.results, [n for n, _ in p.named_parameters()]) for p in split]
        return "\n".join(map(repr, [*plan.placement.items(), *names]))

    shapes = ["float32[2,4]"]
    pins = [{"node": "0", "host": "device"}, {"node": "2", "host": "server"}]
    save("pinned.json", {**cases.SCENARIOS["training"], "pins": pins})
    task = planner.read_costs("pinned.json")
    last = nn.Linear(4, 4)
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), last)
    tied = nn.Sequential(last, nn.Tanh(), nn.Linear(4, 4))
    tied[2].weight = last.weight
    graph = planner.load(net, shapes)
    plan = planner.plan(graph, task)
    record.add("torch/graph", graph_text(graph))
    record.add("torch/net", answer(lambda: parts(net)))
    record.add("torch/tied", answer(lambda: parts(tied)))
    record.add("torch/other", answer(lambda: planner.split_module(plan, last, shapes)))
    record.add("torch/ties", answer(lambda: planner.split_module(plan, net, ties=cast(Any, "no"))))
    record.add("torch/inputs", answer(lambda: planner.load(net)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what writes TorchScript is deprecated
        torch.jit.save(torch.jit.trace(last, torch.zeros(2, 4)), "traced.pt")
        endless = torch.jit.ScriptModule()
        endless.define("def forward(self, x):\n  while bool(x[0]):\n    x = x - 1\n  return x\n")
        torch.jit.save(endless, "endless.pt")
    torch.export.save(torch.export.export(last, (torch.zeros(2, 4),)), "exported.pt2")


def record_api(record: Record) -> None:
    """Kind, signature and documentation of every public name, and of members of classes."""

    def described(name: str, value: Any) -> str:
        signature = ""
        with suppress(TypeError, ValueError):
            signature = str(inspect.signature(value))
        text = f"{type(value).__name__} {name}{signature}\n{inspect.getdoc(value)}\n"
        # Without the modules that define them, and their places in memory.
        return re.sub(r"\bplanner(?:\.[a-z_]+)+\.(?=\w)| at 0x[0-9a-f]+", "", text)

    for name in planner.__all__:
        value = getattr(planner, name)
        owners = inspect.getmro(value) if inspect.isclass(value) else ()
        members = {
            member: described(f"{name}.{member}", inspect.getattr_static(value, member))
            for owner in owners
            if owner.__module__.startswith("planner.")
            for member in vars(owner)
            if not member.startswith(("_", "model_"))
        }
        text = "\n".join([described(name, value), *(members[m] for m in sorted(members))])
        record.add(f"api/{name}", text)


def main() -> None:
    """Record everything, and print the digests."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, help="a new folder")
    add("--models", type=Path, default=ROOT.parent / "shared" / "models",
        help="files that exporters wrote; profiles are in a folder beside it")  # fmt: skip
    add("--quick", action="store_true", help="few models")
    options = parser.parse_args()
    output, models = options.output.resolve(), options.models.resolve()
    if output.exists():
        parser.error(f"{output} exists already")
    if not models.is_dir():
        print(f"note: without the models of {models}, which does not exist", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        profiles = models.with_name("profiles")
        Path("models").symlink_to(models)
        Path("profiles").symlink_to(profiles)
        record = Record(output, {folder: "<tmp>", sys.prefix: "<environment>"})
        write_inputs(record)
        record_profiles(record, profiles)
        record_library(record)
        if find_spec("torch"):
            record_torch(record)
        record_api(record)
        record_programs(record)
        record_mistakes(record)
        record_small_models(record)
        record_models(record, models, is_quick=options.quick)
    lines = "".join(f"{record.digests[name]}  {name}\n" for name in sorted(record.digests))
    print(f"{lines}{hashlib.sha256(lines.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
