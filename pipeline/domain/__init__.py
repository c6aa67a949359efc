"""Rules of the router as pure functions: no IO, clock, chance or waiting."""
