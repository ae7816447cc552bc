"""Who finds placements: exact solvers, integer programs, policies, and what several of them share.

Installed as `planner.solvers`; see `[tool.setuptools.package-dir]` in pyproject.toml.
"""

# In a checkout's root `import solvers` works too, and would make a second copy of every class.
if __name__ != "planner.solvers":
    raise ImportError(f"import 'planner.solvers', not {__name__!r}: run 'pip install -e .' first")
