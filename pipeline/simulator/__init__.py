"""A simulated market: participants, a day's traffic, webhook servers, and a ledger that must close.

It stands outside the router: it speaks the wire protocol and reads topics as any observer could. What the
router must do it knows from its own, simpler model; it shares no routing rule with the product.
"""
