"""The command `planner table`."""
