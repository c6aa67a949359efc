"""Who takes part: participants of every role the channel facts name, and how some of them misbehave."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.simulator.channels import Channel

GSP_GROUPS: Final = ("_A", "_B", "_C", "_J")
"""One distributor each; more areas would add files, not behaviour."""

_SEVERAL: Final = {"SUP": 6, "LDSO": len(GSP_GROUPS), "MSS": 3, "SDS": 3, "MDR": 2}
_NUMBERS: Final = {"SUP": 23, "LDSO": 25, "SDS": 14, "ADS": 11, "MSS": 12, "MDS": 18, "REGS": 22}
_OTHER_NUMBERS_FROM = 40


class Conduct(StrEnum):
    """How a participant's webhook server behaves for the whole run."""

    HEALTHY = "healthy"
    DEAD = "dead"
    """Refuses connections: everything for it must end parked."""
    SLOW = "slow"
    """Answers late, and right."""
    PARTICULAR = "particular"
    """Answers 400 to marked messages: they must end dead-lettered, the others of the array delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One participant. `provider` is the connection provider that sends for it."""

    id: str
    name: str
    role: str | None
    conduct: Conduct = Conduct.HEALTHY
    gsp_group: str | None = None
    provider: str | None = None


class Cast:
    """All players, by id and by role."""

    def __init__(self, players: tuple[Player, ...]) -> None:
        self._players = {player.id: player for player in players}
        self._by_role: dict[str | None, tuple[Player, ...]] = {}
        for player in players:
            self._by_role[player.role] = (*self._by_role.get(player.role, ()), player)

    def __getitem__(self, player: str) -> Player:
        return self._players[player]

    def __iter__(self) -> Iterator[Player]:
        return iter(self._players.values())

    def __len__(self) -> int:
        return len(self._players)

    def playing(self, role: str) -> tuple[Player, ...]:
        """Return the players of a role."""
        return self._by_role[role]

    def one(self, role: str) -> Player:
        """Return the only, or first, player of a role."""
        return self._by_role[role][0]

    def roles(self) -> Mapping[str, str | None]:
        """Return the role of every player; a connection provider has none."""
        return {player.id: player.role for player in self}

    def conduct(self, conduct: Conduct) -> frozenset[str]:
        """Return the players that behave this way."""
        return frozenset(player.id for player in self if player.conduct is conduct)


PROVIDER: Final = Player(id="3900000001", name="Connection provider", role=None)


def assemble(channels: Mapping[str, Channel], *, misconduct: bool = True) -> Cast:
    """Return the cast: everyone a channel can name; of the suppliers one dead, one slow, one particular."""
    roles = set[str]()
    for channel in channels.values():
        roles |= channel.senders | channel.primary | channel.always | channel.welcome
    roles -= {"DIP", "ALL"}
    players = [player for role in sorted(roles) for player in _players(role, roles)]
    if misconduct:
        players = [_with_conduct(player) for player in players]
    # Loaded in this order: who knows the last healthy supplier knows everybody (introduction.py).
    players.sort(key=lambda player: (player.role == "SUP" and player.conduct is Conduct.HEALTHY, player.id))
    return Cast((PROVIDER, *players))


def _players(role: str, roles: set[str]) -> Iterator[Player]:
    others = sorted(roles - _NUMBERS.keys())
    number = _NUMBERS.get(role) or _OTHER_NUMBERS_FROM + others.index(role)
    for index in range(_SEVERAL.get(role, 1)):
        yield Player(
            id=f"{number}{index + 1:08d}",
            name=f"{role} {index + 1}",
            role=role,
            gsp_group=GSP_GROUPS[index] if role == "LDSO" else None,
            provider=PROVIDER.id if role == "SUP" and index == _PROVIDED else None,
        )


_DEAD, _SLOW, _PARTICULAR, _PROVIDED = 5, 4, 3, 2  # which supplier, counted from 0


def _with_conduct(player: Player) -> Player:
    conducts = {_DEAD: Conduct.DEAD, _SLOW: Conduct.SLOW, _PARTICULAR: Conduct.PARTICULAR}
    conduct = conducts.get(int(player.id[2:]) - 1) if player.role == "SUP" else None
    if conduct is None:
        return player
    return Player(id=player.id, name=f"{player.name} ({conduct})", role=player.role, conduct=conduct)
