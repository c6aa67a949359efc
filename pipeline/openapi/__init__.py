"""The OpenAPI 3.1 document of the router, written from the interface facts and from the calls it answers."""
