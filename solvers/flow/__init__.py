"""The network whose minimum s-t cut is the best placement, and its cuts by OR-tools."""
