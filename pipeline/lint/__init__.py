"""Reads message files as people write them, says what is wrong and where, and mends what can be mended surely."""
