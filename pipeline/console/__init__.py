"""The operators' console: pages over what the commands know and do. It reaches the outside through `ports` only."""
