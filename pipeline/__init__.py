"""Room 1: all thinking and all plain IO of the router."""
