"""The fault server: a real TLS server with one URL, or one port, for every way a webhook endpoint can go wrong.

`dip simulate faults` runs it; docs/SIMULATOR.md lists it, docs/DELIVERY-TESTS.md says which test uses what.
"""
