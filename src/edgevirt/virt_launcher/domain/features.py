"""Hypervisor features: ACPI, APIC, SMM, Hyper-V enlightenments, and the translation cache of TCG."""

from __future__ import annotations

from dataclasses import dataclass

from edgevirt.virt_launcher.domain.element import Element, el, switch


@dataclass(frozen=True, slots=True)
class HyperV:
    """Enlightenments for Windows guests; None leaves libvirt's default. `spinlocks` is the retry count."""

    relaxed: bool | None = None
    vapic: bool | None = None
    spinlocks: int | None = None
    vpindex: bool | None = None
    runtime: bool | None = None
    synic: bool | None = None
    synic_timer: bool | None = None
    synic_timer_direct: bool | None = None
    reset: bool | None = None
    vendor_id: str = ""
    frequencies: bool | None = None
    reenlightenment: bool | None = None
    tlb_flush: bool | None = None
    ipi: bool | None = None
    evmcs: bool | None = None

    def to_xml(self) -> Element:
        return el(
            "hyperv",
            switch("relaxed", self.relaxed),
            switch("vapic", self.vapic),
            switch("spinlocks", True, retries=self.spinlocks) if self.spinlocks is not None else None,
            switch("vpindex", self.vpindex),
            switch("runtime", self.runtime),
            switch("synic", self.synic),
            self._synic_timer(),
            switch("reset", self.reset),
            switch("vendor_id", True, value=self.vendor_id) if self.vendor_id else None,
            switch("frequencies", self.frequencies),
            switch("reenlightenment", self.reenlightenment),
            switch("tlbflush", self.tlb_flush),
            switch("ipi", self.ipi),
            switch("evmcs", self.evmcs),
            mode="custom",
        )

    def _synic_timer(self) -> Element | None:
        if self.synic_timer is None:
            return None
        direct = switch("direct", self.synic_timer_direct)
        return el("stimer", direct, state="on" if self.synic_timer else "off")


@dataclass(frozen=True, slots=True)
class Features:
    acpi: bool = True
    apic: bool = True
    apic_eoi: bool | None = None
    smm: bool | None = None
    pv_spinlock: bool | None = None
    kvm_hidden: bool = False
    hyperv: HyperV | None = None
    hyperv_passthrough: bool = False
    tb_cache_mib: int | None = None

    def to_xml(self) -> Element:
        eoi = None if self.apic_eoi is None else ("on" if self.apic_eoi else "off")
        hyperv = self.hyperv.to_xml() if self.hyperv else None
        return el(
            "features",
            el("acpi") if self.acpi else None,
            el("apic", eoi=eoi) if self.apic else None,
            el("hyperv", mode="passthrough") if self.hyperv_passthrough else hyperv,
            el("kvm", el("hidden", state="on")) if self.kvm_hidden else None,
            switch("pvspinlock", self.pv_spinlock),
            switch("smm", self.smm),
            el("tcg", el("tb-cache", unit="MiB", text=str(self.tb_cache_mib))) if self.tb_cache_mib else None,
        )
