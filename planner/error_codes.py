"""What every error code means. `python -m planner.error_codes docs/errors.md` writes the page."""

from __future__ import annotations

import sys
from pathlib import Path

FAMILIES = {
    "PLN1": ("Input", "a file, its JSON or protobuf, a quantity, a flag"),
    "PLN2": ("Graph", "cycles, duplicates, dangling names, dimensions, shapes"),
    "PLN3": ("Plug-ins and costs", "unknown, clashing or broken plug-ins; costs that are missing"),
    "PLN4": ("Plan", "no placement, contradictory rules, a request that does not fit"),
    "PLN5": ("Solver", "a solver that stopped without a proof"),
    "PLN6": ("Measuring", "a profile that cannot be taken, imported or merged"),
}

CATALOGUE: dict[str, str] = {
    "PLN101": "there is no such file",
    "PLN102": "a directory, pipe or device where a regular file was expected",
    "PLN103": "the operating system does not let the file be read",
    "PLN104": "the content is empty, or no JSON text",
    "PLN105": "a key or a name occurs twice",
    "PLN106": "a number is not finite or beyond 64 bits",
    "PLN107": "an unknown key",
    "PLN108": "a key is missing",
    "PLN109": "a value of the wrong type or out of range",
    "PLN110": "a document of another kind than expected",
    "PLN111": "an unknown host",
    "PLN112": "not an ONNX model, or one that cannot be parsed",
    "PLN113": "an IR version or operator set that is not supported",
    "PLN114": "an external data path that leaves the model's folder",
    "PLN115": "an input specification that is malformed or contradicts the model",
    "PLN116": "an option that does not apply to this kind of model file",
    "PLN117": "an argument of `planner.load` out of range",
    "PLN118": "no frontend reads this kind of file",
    "PLN119": "a quantity or flag on the command line that cannot be understood",
    "PLN120": "the output exists already; `--force` replaces it",
    "PLN121": "the output cannot be written",
    "PLN122": "neither a costs file nor all of the flags that replace one",
    "PLN123": "no such file format",
    "PLN124": "a command, option or argument that is unknown or missing",
    "PLN125": "a table whose plans and proof contradict each other",
    "PLN126": "`--explain` where there is no explanation",
    "PLN130": "no such architecture in the zoo",
    "PLN131": "an argument of the zoo out of range",
    "PLN201": "a name is defined twice",
    "PLN202": "a name is read or returned that nothing defines",
    "PLN203": "the operators form a cycle",
    "PLN204": "a size is negative or above 2^53 bytes",
    "PLN205": "symbolic dimensions are not bound",
    "PLN206": "the model has no outputs, or nothing that could be placed",
    "PLN207": "shapes are unknown",
    "PLN208": "a dimension or glob names nothing in the model",
    "PLN209": "the batch is unknown or contradicts the model",
    "PLN210": "a type that cannot cross a link",
    "PLN211": "shape inference failed on the model",
    "PLN212": "onnxruntime cannot load the model",
    "PLN301": "no such solver",
    "PLN302": "a plug-in needs a module that is not installed",
    "PLN303": "a rule names what the graph does not have",
    "PLN304": "a rule names an operator that was folded away",
    "PLN305": "no such hardware preset",
    "PLN306": "operators without a cost",
    "PLN307": "operators without a backward cost",
    "PLN308": "a cost for what the graph does not have",
    "PLN309": "a cost model gave numbers that are no costs",
    "PLN310": "the graph and the costs are for different batches",
    "PLN311": "two plug-ins of one name",
    "PLN312": "a plug-in that does not load",
    "PLN313": "no such frontend",
    "PLN314": "no such cost model",
    "PLN315": "hardware without a peak for the requested precision",
    "PLN316": "a computed time that is not finite or absurdly long",
    "PLN317": "a profile of another model",
    "PLN318": "a profile at another batch",
    "PLN319": "a profile whose measurement was not finished",
    "PLN320": "a profile of another mode",
    "PLN321": "a profile by several engines",
    "PLN401": "no placement satisfies the rules",
    "PLN402": "a placement that is incomplete or names what is not there",
    "PLN403": "a placement that breaks a rule",
    "PLN404": "a policy without a feasible answer",
    "PLN405": "a problem that the solver cannot honour",
    "PLN406": "no placement fits the memory limits",
    "PLN410": "a link state or host speed out of range",
    "PLN411": "costs that add up to more than can be represented",
    "PLN412": "no range to make a table over, or one that is none",
    "PLN413": "a state that is outside of the table",
    "PLN414": "a parameter that the table does not have, or one that is missing",
    "PLN415": "a map that cannot be drawn",
    "PLN420": "a plan that was made from other inputs",
    "PLN501": "the solver stopped before it had an answer",
    "PLN502": "the solver's answer contradicts itself: a defect",
    "PLN503": "more placements than an exhaustive search looks at",
    "PLN601": "no such execution provider, or not in this onnxruntime",
    "PLN602": "an execution provider that is listed but does not initialise",
    "PLN603": "onnxruntime cannot run the model",
    "PLN604": "memory does not suffice for measuring",
    "PLN605": "a model or bundle that cannot be run",
    "PLN606": "nothing to go on with, or an unfinished profile of something else",
    "PLN607": "the measuring process ended without a word",
    "PLN608": "a batch that the model's file cannot be run at",
    "PLN610": "measurements in a format that is not read",
    "PLN611": "measurements that are malformed or cut off",
    "PLN612": "measurements of another model, or at another batch",
    "PLN613": "operators that the measurements say nothing about",
    "PLN614": "measurements without times that could be used",
    "PLN615": "a PipeDream profile that is no graph",
    "PLN616": "a flag that this format of measurements lacks, or that does not apply to it",
    "PLN617": "profiles of different machines or settings",
    "PLN618": "the same measurement twice",
    "PLN619": "a profile to merge whose measurement was not finished",
}


def page() -> str:
    """The page of all codes, in Markdown."""
    lines = [
        "# Errors",
        "",
        "Every error has a code, says where the problem is and, where one is likely to help, gives",
        "a hint. Generated from `planner/error_codes.py` by `make schemas`.",
    ]
    for prefix, (title, about) in FAMILIES.items():
        lines += ["", f"## {title}: {about}", "", "| code | meaning |", "|---|---|"]
        lines += [f"| {code} | {text} |" for code, text in CATALOGUE.items() if code[:4] == prefix]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
