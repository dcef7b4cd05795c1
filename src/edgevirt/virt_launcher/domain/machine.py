"""Processor, features and clock of a domain, with or without KVM.

Without KVM (TCG) there is no host CPU to model and there are no paravirtual interfaces. The default model
becomes x86-64-v2, the baseline current distributions are compiled for; what only KVM can offer is refused by
name rather than left out, so a guest never runs with less than was asked for without anybody knowing.
"""

from __future__ import annotations

from typing import Final

from edgevirt.api.kubevirt import domain as api
from edgevirt.api.kubevirt.devices import FeatureState
from edgevirt.virt_launcher.domain.clock import Clock, Timer
from edgevirt.virt_launcher.domain.errors import UnsupportedField
from edgevirt.virt_launcher.domain.features import Features, HyperV
from edgevirt.virt_launcher.domain.processor import CPUFeature, Processor

EMULATED_MODEL: Final = "qemu64"
EMULATED_FEATURES: Final = ("ssse3", "sse4.1", "sse4.2", "popcnt")
"""What qemu64 lacks of x86-64-v2."""
_POLICIES: Final = ("force", "require", "optional", "disable", "forbid")
_MODERATE_GUEST: Final = 256 << 20
_NEEDS_KVM: Final = "needs KVM, which this node does not offer to the VM; remove it or use a node with KVM"


def build_processor(cpu: api.CPU | None, *, use_kvm: bool) -> Processor:
    """Topology and model. Raises `UnsupportedField` for impossible counts, policies and models."""
    cpu = cpu or api.CPU()
    sockets, cores, threads = (
        _count("sockets", cpu.sockets),
        _count("cores", cpu.cores),
        _count("threads", cpu.threads),
    )
    chosen = tuple(_cpu_feature(index, feature) for index, feature in enumerate(cpu.features))
    if use_kvm:
        if cpu.model in ("", "host-model", "host-passthrough"):
            return Processor(sockets, cores, threads, mode=cpu.model or "host-model", features=chosen)
        return Processor(sockets, cores, threads, mode="custom", model=cpu.model, features=chosen)
    if cpu.model == "host-passthrough":
        raise UnsupportedField("spec.domain.cpu.model", f"host-passthrough {_NEEDS_KVM}")
    if cpu.model in ("", "host-model"):
        named = {feature.name for feature in chosen}
        baseline = tuple(CPUFeature(name) for name in EMULATED_FEATURES if name not in named)
        return Processor(
            sockets, cores, threads, mode="custom", model=EMULATED_MODEL, features=baseline + chosen
        )
    return Processor(sockets, cores, threads, mode="custom", model=cpu.model, features=chosen)


def _count(name: str, given: int | None) -> int:
    count = given or 1
    if count < 0:
        raise UnsupportedField(f"spec.domain.cpu.{name}", f"{count} is impossible")
    return count


def _cpu_feature(index: int, feature: api.CPUFeature) -> CPUFeature:
    policy = feature.policy or "require"
    if policy not in _POLICIES:
        raise UnsupportedField(
            f"spec.domain.cpu.features[{index}].policy",
            f"{policy!r} is unknown; use one of {', '.join(_POLICIES)}",
        )
    return CPUFeature(feature.name, policy)


def wants_secure_boot(domain: api.DomainSpec) -> bool:
    """EFI boots securely unless told otherwise."""
    bootloader = domain.firmware.bootloader if domain.firmware else None
    return bool(bootloader and bootloader.efi and bootloader.efi.secure_boot is not False)


def build_features(features: api.Features | None, *, use_kvm: bool, memory: int) -> Features:
    """`memory` in bytes decides how much translated code is kept under emulation."""
    cache = None if use_kvm else (64 if memory <= _MODERATE_GUEST else 128)
    if features is None:
        return Features(tb_cache_mib=cache)
    if not use_kvm:
        for name, group in (("hyperv", features.hyperv), ("hypervPassthrough", features.hyperv_passthrough)):
            if group is not None and getattr(group, "enabled", None) is not False:
                raise UnsupportedField(f"spec.domain.features.{name}", _NEEDS_KVM)
    apic = features.apic
    return Features(
        acpi=_on(features.acpi) is not False,
        apic=apic is None or apic.enabled is not False,
        apic_eoi=apic.end_of_interrupt if apic else None,
        smm=_on(features.smm),
        pv_spinlock=_on(features.pvspinlock),
        kvm_hidden=bool(use_kvm and features.kvm and features.kvm.hidden),
        hyperv=_hyperv(features.hyperv) if features.hyperv else None,
        hyperv_passthrough=bool(
            features.hyperv_passthrough and features.hyperv_passthrough.enabled is not False
        ),
        tb_cache_mib=cache,
    )


def _on(state: FeatureState | None) -> bool | None:
    """A group that is present is on unless it says otherwise; an absent one is left to the default."""
    return None if state is None else state.enabled is not False


def _hyperv(given: api.FeatureHyperv) -> HyperV:
    spinlocks = given.spinlocks
    timer, vendor, flush = given.synictimer, given.vendorid, given.tlbflush
    return HyperV(
        relaxed=_on(given.relaxed),
        vapic=_on(given.vapic),
        spinlocks=(spinlocks.spinlocks or 4096) if spinlocks and spinlocks.enabled is not False else None,
        vpindex=_on(given.vpindex),
        runtime=_on(given.runtime),
        synic=_on(given.synic),
        synic_timer=None if timer is None else timer.enabled is not False,
        synic_timer_direct=_on(timer.direct) if timer else None,
        reset=_on(given.reset),
        vendor_id=vendor.vendorid if vendor and vendor.enabled is not False else "",
        frequencies=_on(given.frequencies),
        reenlightenment=_on(given.reenlightenment),
        tlb_flush=None if flush is None else flush.enabled is not False,
        ipi=_on(given.ipi),
        evmcs=_on(given.evmcs),
    )


def build_clock(clock: api.Clock | None, *, use_kvm: bool) -> Clock:
    """Without timers in the VMI: RTC catches up, PIT delays, no HPET, the common choice."""
    if clock is None:
        return Clock(timers=_DEFAULT_TIMERS)
    if clock.timezone and clock.utc:
        raise UnsupportedField("spec.domain.clock", "choose one of utc and timezone")
    return Clock(
        offset_seconds=clock.utc.offset_seconds if clock.utc else None,
        timezone=clock.timezone,
        timers=_timers(clock.timer, use_kvm) if clock.timer else _DEFAULT_TIMERS,
    )


_DEFAULT_TIMERS: Final = (
    Timer("rtc", tick_policy="catchup"),
    Timer("pit", tick_policy="delay"),
    Timer("hpet", present=False),
)


def _timers(given: api.Timer, use_kvm: bool) -> tuple[Timer, ...]:
    timers = []
    if given.rtc:
        timers.append(
            Timer(
                "rtc", given.rtc.present is not False, given.rtc.tick_policy or None, given.rtc.track or None
            )
        )
    if given.pit:
        timers.append(Timer("pit", given.pit.present is not False, given.pit.tick_policy or None))
    if given.hpet:
        timers.append(Timer("hpet", given.hpet.present is not False, given.hpet.tick_policy or None))
    for field, name, timer in (("kvm", "kvmclock", given.kvm), ("hyperv", "hypervclock", given.hyperv)):
        if timer is None:
            continue
        present = timer.present is not False
        if present and not use_kvm:
            raise UnsupportedField(f"spec.domain.clock.timer.{field}", _NEEDS_KVM)
        if use_kvm:
            timers.append(Timer(name, present))
    return tuple(timers)
