"""The `dip` command line, one file per command."""
