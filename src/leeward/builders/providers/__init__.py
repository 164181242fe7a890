"""One module for each language that the planner knows."""
