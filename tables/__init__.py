"""Room 2: what is remembered. One table per module: its name, its codec, and how an app declares it."""
