"""Virtual CPUs: topology, model, features."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el


@dataclass(frozen=True, slots=True)
class CPUFeature:
    name: str
    policy: str = "require"

    def to_xml(self) -> Element:
        return el("feature", policy=self.policy, name=self.name)


@dataclass(frozen=True, slots=True)
class Processor:
    """`mode` is libvirt's: "custom" with a model name, "host-model" or "host-passthrough"."""

    sockets: int
    cores: int
    threads: int
    mode: str
    model: str = ""
    features: tuple[CPUFeature, ...] = ()

    @property
    def count(self) -> int:
        return self.sockets * self.cores * self.threads

    def to_xml(self) -> tuple[Element, ...]:
        custom = self.mode == "custom"
        return (
            el("vcpu", placement="static", text=str(self.count)),
            el(
                "cpu",
                el("model", fallback="forbid", text=self.model) if custom else None,
                el("topology", sockets=self.sockets, dies=1, cores=self.cores, threads=self.threads),
                *(feature.to_xml() for feature in self.features),
                mode=self.mode,
                match="exact" if custom else None,
                check="none" if custom else None,
            ),
        )
