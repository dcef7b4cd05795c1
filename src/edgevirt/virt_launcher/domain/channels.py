"""The ways into a guest beside its network: serial console, guest agent, VNC. All are unix sockets."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el

AGENT_CHANNEL = "org.qemu.guest_agent.0"


@dataclass(frozen=True, slots=True)
class SerialConsole:
    """Serial port 0 with the console on it; `log` collects everything the guest prints ("" for no log)."""

    socket: str
    log: str = ""

    def to_xml(self) -> tuple[Element, ...]:
        return (
            el(
                "serial",
                el("source", mode="bind", path=self.socket),
                el("log", file=self.log, append="on") if self.log else None,
                el("target", port=0),
                type="unix",
            ),
            el("console", el("target", type="serial", port=0), type="pty"),
        )


@dataclass(frozen=True, slots=True)
class AgentChannel:
    socket: str

    def to_xml(self) -> Element:
        return el(
            "channel",
            el("source", mode="bind", path=self.socket),
            el("target", type="virtio", name=AGENT_CHANNEL),
            type="unix",
        )


@dataclass(frozen=True, slots=True)
class Display:
    """VNC on a unix socket and the graphics card behind it."""

    socket: str
    video: str

    def to_xml(self) -> tuple[Element, ...]:
        vram = 16384 if self.video in ("vga", "bochs", "cirrus") else None
        return (
            el("graphics", el("listen", type="socket", socket=self.socket), type="vnc"),
            el("video", el("model", type=self.video, heads=1, vram=vram)),
        )
