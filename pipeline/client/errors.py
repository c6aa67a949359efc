"""The one error of the client: everything that the DIP or the network does is an outcome instead."""


class SetupWrong(Exception):
    """A key, a certificate or an address cannot be used. The text says which and why; correct it and start again."""
