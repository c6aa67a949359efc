"""Stand-ins for what surrounds an agent: records, batches, and whoever delivers them."""

from pipeline.engine.batch import Batch
from pipeline.engine.values import Claim

CLAIM = Claim(group="a", partition=0, epoch=1)


class Record:
    def __init__(self, offset=0, value=b"v", key=b"k", headers=None):
        self._all = offset, value, key, headers

    def offset(self):
        return self._all[0]

    def value(self):
        return self._all[1]

    def key(self):
        return self._all[2]

    def headers(self):
        return self._all[3]


def batch(*records):
    return Batch(topic="a", partition=0, records=records or (Record(),), claim=CLAIM, topics={"out"})


class Rounds:
    """Delivers some batches, then waits; remembers how they ended."""

    def __init__(self, *batches):
        self.batches = list(batches)
        self.endings = []
        self.refused = None
        self.closed = False

    def ended(self, one):
        self.endings.append((one, one.failed))

    async def refuse(self, error):
        self.refused = error

    async def stream(self):
        for one in self.batches:
            yield one
        self.closed = True
