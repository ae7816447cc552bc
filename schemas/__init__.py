"""JSON Schemas of the file formats, written from the types that read the files.

Installed as `planner.schemas`; see `[tool.setuptools.package-dir]` in pyproject.toml.
"""

# In a checkout's root `import schemas` works too, and would make a second copy of every class.
if __name__ != "planner.schemas":
    raise ImportError(f"import 'planner.schemas', not {__name__!r}: run 'pip install -e .' first")
