"""Readers of model files and of models in memory: each makes a graph.

Installed as `planner.frontends`; see `[tool.setuptools.package-dir]` in pyproject.toml.
"""

# In a checkout's root `import frontends` works too, and would make a second copy of every class.
if __name__ != "planner.frontends":
    raise ImportError(f"import 'planner.frontends', not {__name__!r}: run 'pip install -e .' first")
