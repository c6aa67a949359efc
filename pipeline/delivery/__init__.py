"""Delivery: copies wait in a lane per recipient and channel, and leave it settled.

`dispatch.Dispatcher` is the moving part; everything it decides with is plain state (`lane`, `window`), pure
functions (`batching`, `settling`) and the policy of `pipeline.domain.delivery`. It knows neither Faust nor
Kafka: the composition root gives it an engine, a table, payloads and webhooks by the protocols in `ports`.
"""
