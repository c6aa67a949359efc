"""A child process that listens, and keeps its ports and data over stop, kill and restart."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from pipeline import limits
from pipeline.localstack.errors import PortTaken, StartFailed
from pipeline.localstack.ports import Ports, choose
from pipeline.localstack.processes import Child, ProcessSpec


class Server(ABC):
    """The life of one local server. Not started by its constructor; as a context manager it is killed at the end."""

    def __init__(self, *, name: str, directory: Path, log: Path, ports: Ports | None = None) -> None:
        self.name = name
        self.directory = directory
        self.log = log
        self._preferred = ports
        self._ports: Ports | None = None
        self._child: Child | None = None

    @abstractmethod
    def spec(self, ports: Ports) -> ProcessSpec:
        """Prepare the directory and return what to run on these ports."""

    @abstractmethod
    def settle(self, ports: Ports) -> None:
        """Do what must be done once after each start, before clients come; StartFailed when it cannot be done."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def ports(self) -> Ports:
        """Return its ports; known after the first start and fixed from then on."""
        assert self._ports is not None, f"start() the {self.name} first"
        return self._ports

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Return whether its process is there (frozen counts)."""
        return self._child is not None and self._child.exit_code is None

    def last_words(self) -> str:
        """Return where its log is and how it ends."""
        return self._running().last_words()

    def start(self) -> None:
        """Start, and return when it is ready for clients.

        Raises StartFailed with the end of its log. The first start tries other ports when one is taken meanwhile; a
        later start must have the same ports, and raises PortTaken when it cannot.
        """
        assert self._child is None, f"the {self.name} is running already"
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._ports is not None:
            self._start_on(self._ports)
            return
        for tries_left in reversed(range(limits.STACK_START_TRIES_MAX)):
            try:
                self._start_on(choose(self._preferred))
            except PortTaken:
                if not tries_left:
                    raise
            else:
                return

    def _start_on(self, ports: Ports) -> None:
        taken = ports.taken()
        if taken:
            raise PortTaken(
                f"the {self.name} needs port {taken[0]}, and another process holds it: end that process"
            )
        # Known from here on, so that another thread can end a start that is under way.
        child = self._child = Child(self.spec(ports))
        try:
            child.wait_ready()
            self.settle(ports)
        except StartFailed as error:
            self.kill()
            if "already in use" in str(error):
                raise PortTaken(str(error)) from error
            raise
        except BaseException:
            self.kill()
            raise
        self._ports = ports

    def stop(self) -> None:
        """Shut it down in order; nothing happens when it is not running."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), which its data survives; nothing happens when it is not running."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def restart(self) -> None:
        """Start again on the same data and address, after shutting it down if it still runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP): connections stay open, nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._running().thaw()

    def _running(self) -> Child:
        assert self._child is not None, f"the {self.name} is not running"
        return self._child
