"""HiGHS as a program: `python highs_process.py REQUEST` solves one file.

It runs in a process of its own, because highspy and OR-tools export the same symbols and fail
when both are loaded; so nothing of the planner is imported here. `planner.solvers.milp.engines`
writes the request and reads the answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-9
"""Of feasibility, primal, dual and integer: HiGHS' own 1e-7 and 1e-6 are for rougher numbers."""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """What HiGHS makes of the file `request["model"]`."""
    import highspy  # noqa: TID251 (no OR-tools in this process)

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("mip_rel_gap", float(request["gap"]))
    highs.setOptionValue("mip_abs_gap", 0.0)
    for kind in ("mip", "primal", "dual"):
        highs.setOptionValue(f"{kind}_feasibility_tolerance", TOLERANCE)
    if request["seconds"] is not None:
        highs.setOptionValue("time_limit", float(request["seconds"]))
    highs.setOptionValue("solve_relaxation", bool(request["relax"]))
    highs.readModel(request["model"])
    highs.run()
    model_status = highs.getModelStatus()
    statuses = {
        highspy.HighsModelStatus.kOptimal: "optimal",
        highspy.HighsModelStatus.kInfeasible: "infeasible",
        highspy.HighsModelStatus.kUnboundedOrInfeasible: "infeasible",  # all columns are bounded
        highspy.HighsModelStatus.kTimeLimit: "stopped",
    }
    words = highs.modelStatusToString(model_status)
    info = highs.getInfo()
    is_mip = not request["relax"] and info.mip_node_count >= 0
    bound = float(info.mip_dual_bound if is_mip else info.objective_function_value)
    has_values = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    names = highs.getLp().col_names_
    solution = zip(names, highs.getSolution().col_value, strict=True) if has_values else ()
    return {
        "status": statuses.get(model_status, words),
        "values": {n: v for n, v in solution if v} if has_values else None,
        "bound": bound if abs(bound) < 1e50 else None,
        "message": words,
        "version": highs.version(),
    }


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    Path(wanted["answer"]).write_text(json.dumps(main(wanted)), encoding="utf-8")
