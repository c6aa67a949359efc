"""Room 3, outermost: Faust lives here. One stage per module, bound together in `agents.app`."""
