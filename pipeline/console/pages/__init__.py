"""The pages: each a few functions from a visit to an answer."""
