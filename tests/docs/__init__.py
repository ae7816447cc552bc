"""Documents, docstrings and the pages of errors are true."""
