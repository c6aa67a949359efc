"""The archive: what the topics held, in Avro files, with proof. No Kafka and no storage in here: both are ports.

`buffer` gathers records, `files` makes containers of them, `book` writes segments, log and checkpoints, `archiver` binds
these to a source; `reading` finds records again, `verifying` judges the whole, `pruning` deletes by rule.
"""
