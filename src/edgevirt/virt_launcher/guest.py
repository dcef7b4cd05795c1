"""The one guest: defined, started, watched, stopped, forgotten.

Level-triggered: an event from libvirt only says "look again", and `_look` reads the state there is. A guest
runs once: after it has run and ended it is never started again by this launcher, whatever is asked, so that a
late or repeated request cannot revive a VM that was stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import libvirt
import msgspec

from edgevirt.api.launcher import (
    DHCPLease,
    DomainState,
    DomainStatus,
    GuestLink,
    StateReason,
    SyncRequest,
)
from edgevirt.api.meta import ObjectMeta, Struct
from edgevirt.network.dhcp import DHCPServer
from edgevirt.virt_launcher import agent
from edgevirt.virt_launcher.board import StatusBoard
from edgevirt.virt_launcher.connection import Connection
from edgevirt.virt_launcher.daemon import DaemonPaths, tail
from edgevirt.virt_launcher.errors import RequestFailed, conflict, invalid
from edgevirt.virt_launcher.settings import Settings
from edgevirt.virt_launcher.status import ENDED, FAILURES, agent_connected, machine_type, state_of

if TYPE_CHECKING:
    from edgevirt.virt_launcher.domain.domain import Domain

MOST_MESSAGE_BYTES: Final = 4096
AGENT_ANSWER_SECONDS: Final = 5
_LISTEN_SECONDS: Final = 5.0
_DESTROY_SECONDS: Final = 40.0
_FIRST_AGENT_PAUSE: Final = 1.0
_LONGEST_AGENT_PAUSE: Final = 120.0
_UNDEFINE_FLAGS: Final = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
)
_GONE: Final = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)

_Answer = dict[str, Any] | None

_log = logging.getLogger("edgevirt.virt_launcher")


class Guest:
    """One domain and what it takes to run it. Requests are idempotent and may come concurrently."""

    def __init__(self, settings: Settings, daemon_paths: DaemonPaths, board: StatusBoard) -> None:
        self._settings = settings
        self._daemon_paths = daemon_paths
        self._board = board
        self._name = settings.domain_name
        self._changing = asyncio.Lock()
        self._look_again = asyncio.Event()
        self._ask_agent = asyncio.Event()
        self._links: tuple[GuestLink, ...] = ()
        self._leases: dict[DHCPLease, asyncio.Task[None]] = {}
        self._connection: Connection | None = None
        self._group: asyncio.TaskGroup | None = None
        self._refused = ""
        self._starting = False
        self._virtualization = ""
        self.started = asyncio.Event()
        """The guest runs or has run."""
        self.ended = asyncio.Event()
        """The guest has run and does no longer."""
        self.deleted = asyncio.Event()
        """virt-handler has taken note of the end; nothing is left to do."""

    def attach(self, connection: Connection) -> None:
        """Use `connection` from now on; must be called before `run`."""
        self._connection = connection

    async def run(self) -> None:
        """Watch the domain and its agent and serve DHCP, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._watch_domain())
            group.create_task(self._watch_agent())

    def refuse_start(self, why: str) -> None:
        """From now on the guest is not started any more; a request to start it is answered with `why`."""
        self._refused = why

    # Listener of the connection

    def domain_changed(self) -> None:
        self._look_again.set()

    def agent_changed(self) -> None:
        self._ask_agent.set()

    def io_error(self, alias: str, reason: str) -> None:
        what = "no space is left for its data" if reason == "enospc" else "it failed to read or write"
        self._board.record(
            "Warning", "IOerror", f"disk {alias.removeprefix('ua-')}: {what}; the guest is paused"
        )
        self._look_again.set()

    # Requests

    async def sync(self, request: SyncRequest) -> DomainStatus:
        """Define and start the guest if it never ran; its status.

        Raises `RequestFailed`: Invalid if the VMI cannot be honoured, Conflict if it is another VM's or the
        guest must not start any more, LibvirtError if it could not be started.
        """
        self._check_owner(request)
        async with self._changing:
            if self.deleted.is_set():
                raise conflict("the domain has been deleted; this launcher is about to end")
            if self.started.is_set():
                return self._board.status
            if self._refused:
                raise conflict(self._refused)
            begun = time.monotonic()
            domain = await self._there.in_thread(lambda: _prepare(request, self._settings))
            await self._serve_leases([link.dhcp for link in request.links if link.dhcp])
            self._links = request.links
            prepared = time.monotonic()
            await self._start(domain)
            spent = {"prepare": prepared - begun, "start": time.monotonic() - prepared}
            _log.info("Started the domain", extra={"seconds": spent})
        return self._board.status

    async def shutdown(self) -> DomainStatus:
        """Ask the guest to power off: by its agent if it has one, else by the ACPI power button."""
        await self._if_there(lambda domain: domain.shutdown())
        return self._board.status

    async def kill(self) -> DomainStatus:
        """End the guest at once. Returns when it has ended; QEMU still writes out what it has buffered."""
        async with self._changing:
            self.refuse_start("the domain has been killed")
            await self._if_there(lambda domain: domain.destroy(), timeout=_DESTROY_SECONDS)
            await self._look()
        return self._board.status

    async def delete(self) -> DomainStatus:
        """Undefine the domain, killing the guest if it still runs."""
        async with self._changing:
            await self._if_there(lambda domain: domain.destroy(), timeout=_DESTROY_SECONDS)
            await self._if_there(lambda domain: domain.undefineFlags(_UNDEFINE_FLAGS))
            await self._look()
            self.deleted.set()
        return self._board.status

    # Starting

    def _check_owner(self, request: SyncRequest) -> None:
        try:
            uid = msgspec.json.decode(request.vmi, type=_Owned).metadata.uid
        except msgspec.MsgspecError as error:
            raise invalid(f"the VirtualMachineInstance cannot be read: {error}") from error
        if uid != self._settings.uid:
            raise conflict(f"this launcher is for VMI {self._settings.uid}, not {uid}")

    async def _serve_leases(self, leases: Sequence[DHCPLease]) -> None:
        assert self._group is not None
        for lease in [lease for lease in self._leases if lease not in leases]:
            self._leases.pop(lease).cancel()
        for lease in leases:
            if lease in self._leases:
                continue
            try:
                server = DHCPServer(lease)
            except ValueError as error:
                raise invalid(str(error)) from error
            listening = asyncio.Event()
            task = self._group.create_task(self._serve_lease(lease, server, listening))
            self._leases[lease] = task
            waiting = asyncio.ensure_future(listening.wait())
            await asyncio.wait((task, waiting), timeout=_LISTEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not listening.is_set():
                raise RequestFailed(
                    "Internal", f"DHCP cannot be served on {lease.interface}; see the launcher's log"
                )

    async def _serve_lease(self, lease: DHCPLease, server: DHCPServer, listening: asyncio.Event) -> None:
        try:
            await server.serve(listening)
        except OSError as error:
            _log.error("DHCP server failed", extra={"interface": lease.interface, "error": str(error)})
        finally:
            self._leases.pop(lease, None)

    async def _start(self, domain: Domain) -> None:
        flags = libvirt.VIR_DOMAIN_START_PAUSED if domain.paused else 0
        xml = domain.to_xml()

        def define_and_start(connection: libvirt.virConnect) -> None:
            defined = connection.defineXML(xml)
            if not defined.isActive():
                defined.createWithFlags(flags)

        self._starting, self._virtualization = True, domain.type
        try:
            await self._there.call(define_and_start)
        except libvirt.libvirtError as error:
            message = self._failure(str(error))
            self._board.update(state=DomainState.SHUTOFF, reason=StateReason.FAILED, message=message)
            raise RequestFailed("LibvirtError", f"the domain cannot be started: {message}") from error
        except TimeoutError as error:
            raise RequestFailed("Timeout", "libvirt did not start the domain in time") from error
        finally:
            self._starting = False
        await self._look()

    # Watching

    async def _watch_domain(self) -> None:
        while True:
            await self._look_again.wait()
            self._look_again.clear()
            try:
                await self._look()
            except (libvirt.libvirtError, TimeoutError) as error:
                # The connection is gone or going; the next one makes us look again.
                _log.warning("Cannot read the domain's state", extra={"error": str(error)})

    async def _look(self) -> None:
        if self._starting:
            return  # whether it starts is not known yet; the one who starts it looks afterwards
        known_machine = self._board.status.machine_type

        def read(connection: libvirt.virConnect) -> tuple[int, int, str] | None:
            try:
                domain = connection.lookupByName(self._name)
                state, reason = domain.state()
                return state, reason, domain.XMLDesc() if domain.isActive() and not known_machine else ""
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

        found = await self._there.call(read)
        if found is None:
            self._board.update(
                state=DomainState.NO_STATE, reason=StateReason.NON_EXISTENT, agent_connected=False
            )
            if self.started.is_set():
                self.ended.set()
            return
        state, reason = state_of(*found[:2])
        if state in ENDED:
            self._note_end(state, reason)
            return
        changes: dict[str, Any] = {"state": state, "reason": reason}
        if not self.started.is_set():
            known = agent.interfaces(self._links, {})
            changes |= {"virtualization": self._virtualization, "message": "", "interfaces": known}
        if found[2]:
            changes["machine_type"] = machine_type(found[2])
        self._board.update(**changes)
        self.started.set()

    def _note_end(self, state: DomainState, reason: StateReason) -> None:
        if not self.started.is_set():
            return  # defined and not started yet, or a start that failed, whose message says more
        changes: dict[str, Any] = {"state": state, "reason": reason, "agent_connected": False}
        if reason in FAILURES and not self._board.status.message:
            changes["message"] = self._failure("")
        self._board.update(**changes)
        self.ended.set()

    async def _watch_agent(self) -> None:
        pause = _LONGEST_AGENT_PAUSE
        while True:
            connected = self._board.status.agent_connected
            try:
                async with asyncio.timeout(pause if connected else None):
                    await self._ask_agent.wait()
                self._ask_agent.clear()
                pause = _FIRST_AGENT_PAUSE
            except TimeoutError:
                pause = next_agent_pause(pause)
            try:
                await self._hear_agent()
            except (libvirt.libvirtError, TimeoutError) as error:
                _log.info("The guest agent does not answer", extra={"error": str(error)})

    async def _hear_agent(self) -> None:
        def ask(connection: libvirt.virConnect) -> tuple[_Answer, _Answer] | None:
            try:
                domain = connection.lookupByName(self._name)
                if not domain.isActive() or not agent_connected(domain.XMLDesc()):
                    return None
            except libvirt.libvirtError as error:
                if error.get_error_code() in _GONE:
                    return None
                raise
            return _ask_agent(domain)

        answers = await self._there.call(ask)
        if answers is None:
            if self._board.status.agent_connected:
                self._board.update(agent_connected=False, interfaces=agent.interfaces(self._links, {}))
            return
        system, addresses = answers
        changes: dict[str, Any] = {"agent_connected": True}
        if system is not None:
            changes["guest_os_info"] = agent.os_info(system)
        if addresses is not None:
            changes["interfaces"] = agent.interfaces(self._links, addresses)
        self._board.update(**changes)

    # Means

    @property
    def _there(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("attach() comes first")
        return self._connection

    async def _if_there(
        self, action: Callable[[libvirt.virDomain], object], *, timeout: float = 60.0
    ) -> None:
        """Do something to the domain; no domain, or one that does not run, is as good."""

        def act(connection: libvirt.virConnect) -> None:
            try:
                action(connection.lookupByName(self._name))
            except libvirt.libvirtError as error:
                if error.get_error_code() not in _GONE:
                    raise

        try:
            await self._there.call(act, timeout=timeout)
        except libvirt.libvirtError as error:
            raise RequestFailed("LibvirtError", str(error)) from error
        except TimeoutError as error:
            raise RequestFailed("Timeout", "libvirt did not answer in time") from error

    def _failure(self, words: str) -> str:
        """libvirt's words and the end of QEMU's log, at most 4 KiB."""
        log = without_command(tail(self._daemon_paths.qemu_log(self._name), MOST_MESSAGE_BYTES // 2))
        text = "\n".join(part for part in (words, log and f"QEMU's log ends with:\n{log}") if part)
        return text.encode()[:MOST_MESSAGE_BYTES].decode(errors="ignore")


def without_command(log: str) -> str:
    """What follows QEMU's command line, which libvirt writes into the log first: a word per line, each but
    the last with a backslash at its end."""
    lines = log.splitlines()
    command = [number for number, line in enumerate(lines) if line.endswith(" \\")]
    return "\n".join(lines[command[-1] + 2 :] if command else lines)


class _Owned(Struct):
    """The part of a VMI that says whose it is."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


def load_preparation() -> None:
    """Import what making a domain takes, so that the first request for one need not wait for it."""
    from edgevirt.virt_launcher import preparation  # noqa: F401


def _prepare(request: SyncRequest, settings: Settings) -> Domain:
    from edgevirt.virt_launcher import preparation

    return preparation.prepare(request, settings)


def next_agent_pause(pause: float) -> float:
    """Seconds until the agent is asked again: soon after it connected, then ever more rarely."""
    return min(pause * 2, _LONGEST_AGENT_PAUSE)


def _ask_agent(domain: libvirt.virDomain) -> tuple[_Answer, _Answer]:
    """System and addresses, each None if the agent does not tell."""
    domain.agentSetResponseTimeout(AGENT_ANSWER_SECONDS)
    answers: list[_Answer] = []
    questions: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: domain.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_OS),
        lambda: domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT),
    )
    for question in questions:
        try:
            answers.append(question() or {})
        except libvirt.libvirtError as error:
            _log.info("The guest agent does not answer", extra={"error": str(error)})
            answers.append(None)
    return answers[0], answers[1]
