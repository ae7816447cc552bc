"""What prices operators on a host: by rows, by hardware, by measurements.

Installed as `planner.costmodels`; see `[tool.setuptools.package-dir]` in pyproject.toml.
"""

# In a checkout's root `import costmodels` works too, and would make a second copy of every class.
if __name__ != "planner.costmodels":
    raise ImportError(
        f"import 'planner.costmodels', not {__name__!r}: run 'pip install -e .' first"
    )
