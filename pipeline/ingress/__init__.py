"""The HTTP entrance: authenticates, validates all or nothing, publishes, and says 201 only when it is durable."""
