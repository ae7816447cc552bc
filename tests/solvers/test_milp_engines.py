"""Programs that solve MILPs: absent, killed, out of time, lying, interrupted."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from planner.errors import PlanError, PluginError, SolverError
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Status
from planner.solvers.milp import cbc
from planner.solvers.milp import engines as milp_engines
from planner.solvers.milp.engines import cbc_bound
from planner.solvers.pyomo_milp import engines as pyomo_engines
from tests.support.milp_problems import limited_case, random_case

SOLVERS = ["pulp", "pyomo"]
REAL_CBC = cbc.bundled_cbc()
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="engines are shell scripts here")


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Some forty operators, and a real cut."""
    return build_problem(*random_case(5))


@pytest.fixture(scope="module")
def best(problem: Problem) -> int:
    return solve(problem, "maxflow").value


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go: nothing may be left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


Script = "str"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that puts a shell script in the place of CBC; `$solution` is its answer file."""

    def replace(script: str) -> None:
        path = tmp_path / "cbc"
        lines = [
            "#!/bin/sh",
            'for word in "$@"; do solution="$word"; done',
            f'real() {{ "{REAL_CBC}" "$@"; }}',
            script,
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setattr(cbc, "bundled_cbc", lambda: path)

    return replace


def test_the_bundled_cbc_is_there_and_says_its_version(problem: Problem) -> None:
    assert pyomo_engines.default_cbc() == REAL_CBC
    for name in SOLVERS:
        version = solve(problem, name).solver_version
        assert version.startswith(("PuLP 3.", "Pyomo 6."))
        assert ", CBC 2." in version


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_is_printed_logged_or_left(
    name: str, problem: Problem, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("pyomo").handlers.clear()
    assert solve(problem, name).is_proved
    assert capfd.readouterr() == ("", "")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("engine_name", ["gurobi_cl", "glpk-of-old"])
def test_an_absent_engine_is_said_with_what_helps(
    name: str, engine_name: str, problem: Problem
) -> None:
    with pytest.raises(PluginError) as caught:
        solve(problem, name, limits=Limits(engine=engine_name))
    assert (caught.value.code, caught.value.exit_code) == ("PLN302", 4)
    assert f"`{engine_name}` is not installed" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", SOLVERS)
def test_no_cbc_at_all(name: str, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbc, "bundled_cbc", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PluginError, match="`cbc` is not installed") as caught:
        solve(problem, name)
    assert caught.value.exit_code == 4
    assert "pip install" in (caught.value.hint or "")


@pytest.mark.parametrize("name", SOLVERS)
def test_a_cbc_that_does_not_start(name: str, problem: Problem, engine, tmp_path: Path) -> None:
    engine("exit 0")
    (tmp_path / "cbc").chmod(0o600)
    with pytest.raises(PluginError, match="does not start") as caught:
        solve(problem, name)
    assert caught.value.exit_code == 4


@pytest.mark.skipif(find_spec("highspy") is not None, reason="highspy is installed")
@pytest.mark.parametrize("name", SOLVERS)
def test_absent_highs_is_said(name: str, problem: Problem) -> None:
    with pytest.raises(PluginError) as caught:
        solve(problem, name, limits=Limits(engine="highs"))
    assert (caught.value.exit_code, caught.value.hint) == (4, "pip install highspy")


@pytest.mark.skipif(find_spec("highspy") is None, reason="highspy is not installed")
@pytest.mark.parametrize("name", SOLVERS)
def test_highs_beside_or_tools(name: str, problem: Problem, best: int) -> None:
    solution = solve(problem, name, limits=Limits(engine="highs"))
    assert best <= solution.value <= best * (1 + 1e-12)
    assert "HiGHS" in solution.solver_version
    assert solve(problem, "maxflow").value == best
    assert "highspy" not in sys.modules


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "killed by signal 9"),
        ("kill -SEGV $$", "killed by signal 11"),
        ("echo out of memory; exit 3", "exit status 3; its last words: `out of memory`"),
        ("exit 0", "wrote no solution; it said nothing"),
        ("echo Unbounded > $solution", "says `Unbounded`"),
        (": > $solution", "says ``"),
    ],
)
def test_a_failing_engine(
    name: str,
    script: str,
    words: str,
    problem: Problem,
    engine,
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    engine(script)
    with pytest.raises(SolverError) as caught:
        solve(problem, name)
    assert (caught.value.code, caught.value.exit_code) == ("PLN501", 5)
    assert words in caught.value.message
    assert not list(temporary.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", SOLVERS)
def test_a_killed_engine_leaves_its_best_bound(name: str, problem: Problem, engine) -> None:
    words = "After 9 nodes, 3 on tree, 9e+07 best solution, best possible {} (0.1 seconds)"
    bounds = []
    for possible in ("-1e+50", "4e+08"):
        engine(f"echo 'Cbc0010I {words.format(possible)}'; kill -9 $$")
        with pytest.raises(SolverError, match="killed by signal 9") as caught:
            solve(problem, name)
        bounds.append(float(caught.value.message.split()[-2]))
    assert 0 < bounds[0] < bounds[1] < best_s(problem)


@pytest.mark.parametrize("name", SOLVERS)
def test_out_of_time_with_a_placement(name: str, problem: Problem, best: int, engine) -> None:
    """The real answer, with the words of a search that was stopped and what it knew of bounds."""
    engine(
        'real "$@" | grep -v -e Result -e "objective value" -e bound\n'
        "echo Result - Stopped on time limit\n"
        "sed -i '1s/.*/Stopped on time - objective value 1.0/' $solution"
    )
    solution = solve(problem, name, limits=Limits(seconds=60))
    assert solution.status is Status.LIMIT
    assert not solution.is_proved
    assert solution.value == best
    assert 0 <= solution.lower_bound < best
    assert solution.message == "Stopped on time"


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    "script",
    [
        "echo 'Stopped on time (no integer solution - continuous used) - objective value 1' "
        "> $solution; echo '0 C0 0.5 0' >> $solution; echo Result - Stopped on time limit",
        "exec sleep 100",
    ],
    ids=["says so", "does not stop"],
)
def test_out_of_time_without_a_placement(
    name: str,
    script: str,
    problem: Problem,
    engine,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(milp_engines, "GRACE_S", 0.1)
    engine("echo 'Continuous objective value is 2e+06 - 0.00 seconds'\n" + script)
    with pytest.raises(SolverError) as caught:
        solve(problem, name, limits=Limits(seconds=0.1))
    assert (caught.value.code, caught.value.exit_code) == ("PLN501", 5)
    assert "no placement takes less than" in caught.value.message
    assert not list(temporary.iterdir())


def test_an_incumbent_outlives_an_engine_without_one(problem: Problem, best: int, engine) -> None:
    known = solve(problem, "maxflow").placement
    engine(
        "echo 'Stopped on time (no integer solution - continuous used) - objective value 1' "
        "> $solution; echo Result - Stopped on time limit"
    )
    answer = pyomo_engines.solve_model(problem, limits=Limits(seconds=9), incumbent=known)
    assert answer.placement is not None
    assert problem.goal.value(answer.placement) == best
    assert 0 < answer.lower_bound <= best


@pytest.mark.parametrize("name", SOLVERS)
def test_a_real_time_limit(name: str, problem: Problem, best: int) -> None:
    """Whether it is reached or not, what is said is true."""
    try:
        solution = solve(problem, name, limits=Limits(seconds=0.001))
    except SolverError as error:
        bound_s = float(error.message.split()[-2])
        is_true = error.code == "PLN501" and bound_s <= best_s(problem)
    else:
        is_true = solution.lower_bound <= best <= solution.value
    assert is_true


def best_s(problem: Problem) -> float:
    solution = solve(problem, "maxflow")
    return solution.value * solution.quantum_s


def lie(values: str) -> str:
    """A script that changes the values of CBC's true solution by a sed command."""
    return f'real "$@" > /dev/null; sed -i -E "{values}" $solution'


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    "script",
    [
        lie("2,\\$s/^( *[0-9]+ +[xX][0-9]+ +)1 /\\10.5 /"),
        lie("2,\\$s/^( *[0-9]+ +[xX][0-9]+ +)1 /\\1nan /"),
    ],
    ids=["fraction", "nan"],
)
def test_a_placement_that_is_none(name: str, script: str, problem: Problem, engine) -> None:
    engine(script)
    with pytest.raises(SolverError) as caught:
        solve(problem, name)
    assert caught.value.code == "PLN502"


def test_no_host_at_all(problem: Problem, engine) -> None:
    engine("echo 'Optimal - objective value 0' > $solution")
    with pytest.raises(SolverError, match="no host, or two"):
        solve(problem, "pulp")


@pytest.mark.parametrize("name", SOLVERS)
def test_false_infeasibility_is_a_defect_of_the_solver(name: str, problem: Problem, engine) -> None:
    engine("echo 'Infeasible - objective value 0' > $solution")
    with pytest.raises(SolverError, match="finds no placement, but there is one"):
        solve(problem, name)


def test_a_placement_over_a_limit_is_never_returned(engine) -> None:
    """An engine that puts everything on the device, whatever is excluded."""
    found = None
    for seed in range(200):
        candidate = build_problem(*limited_case(seed))
        memory, rules = candidate.memory, candidate.constraints
        is_free = candidate.n_hosts == 2 and not rules.is_bound
        if memory is not None and is_free and memory.use(rules.low)[0] > memory.limits[0]:
            found = candidate
            break
    assert found is not None
    engine(
        'for word in "$@"; do case "$word" in *.lp) model=$word;; esac; done\n'
        "echo 'Optimal - objective value 0' > $solution\n"
        'for i in $(seq 200); do echo "$i x$i 1 0" >> $solution; done'
    )
    with pytest.raises((SolverError, PlanError)) as caught:
        solve(found, "pyomo")
    assert caught.value.code in ("PLN502", "PLN406")


@pytest.mark.parametrize("name", SOLVERS)
def test_an_interrupt_leaves_no_process_and_no_file(
    name: str,
    problem: Problem,
    engine,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine("exec sleep 100")
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def wait(self, timeout: float | None = None) -> int:
            if self not in started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        solve(problem, name)
    assert [process.returncode for process in started] == [-9]
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("log", "bound"),
    [
        ("", None),
        ("Cbc0001I Search completed - best objective 5, took 0 iterations", None),
        ("Continuous objective value is 8.58993e+07 - 0.00 seconds", 8.58992e7),
        ("Cbc0010I x, best possible 11.5 (0.1 s)\nCbc0010I y, best possible 12.25 (0.2 s)", 12.24),
        ("Cbc0005I Partial search - best objective 10 (best possible -23), took", -24),
        ("Cbc0010I After 0 nodes, best possible -1e+50 (0 s)", None),
        ("Result - Stopped on time limit\n\nObjective value:  9.5\nLower bound:  3.125\n", 3.124),
        ("Result - Optimal solution found\n\nObjective value:      85730698.61486003", 85730698.61),
    ],
)
def test_bounds_are_read_from_a_log_and_rounded_down(log: str, bound: float | None) -> None:
    found = cbc_bound(log)
    assert found == (bound if bound is None else pytest.approx(bound, rel=1e-9))


def test_pulp_does_not_bring_highspy_in(tmp_path: Path) -> None:
    """PuLP imports it, if it is there; OR-tools would then fail to load."""
    (tmp_path / "highspy.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    code = (
        "import planner.solvers.pulp_milp, planner.solvers.pyomo_milp.engines, sys; "
        "assert 'highspy' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_importing_the_solvers_loads_no_library() -> None:
    code = (
        "import sys, planner.cli, planner.plans.solving; "
        "import planner.solvers.milp.engines, planner.solvers.milp.answers; "
        "assert not {'pulp', 'pyomo', 'highspy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
