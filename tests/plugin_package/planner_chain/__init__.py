"""Plug-ins for dnn-partition-planner: a frontend, a cost model and a policy."""
