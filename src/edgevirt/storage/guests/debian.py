"""The Debian 12 guest: a real distribution with cloud-init and the QEMU guest agent.

Made by mmdebstrap from the machine's own apt sources. cloud-init's module lists are trimmed to what a
server needs, because every module is an import that costs a second under emulation; docs/guests.md lists
them. The root file system grows to the disk it is given.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgevirt.storage.guests.disk import DiskLayout, grub_config, make_disk
from edgevirt.storage.guests.tools import BuildError, require, run

LABEL = "cloudimg-rootfs"
LAYOUT = DiskLayout(size_mib=2048, esp_mib=48, label=LABEL)
TOOLS = ("mmdebstrap", "mcopy", "mke2fs", "mkfs.vfat", "qemu-img", "sgdisk", "dpkg-deb")
PACKAGES = (
    "linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus,iproute2,iputils-ping,openssh-server,"
    "qemu-guest-agent,cloud-init,cloud-guest-utils,netbase,ca-certificates,curl,less,procps,sudo,kmod,"
    "e2fsprogs,python3"
)
_EXCLUDED = ("doc", "man", "locale", "info")

_CLOUD_CONFIG = """\
datasource_list: [ NoCloud, ConfigDrive, None ]
system_info:
  network:
    renderers: [ networkd ]
ssh_genkeytypes: [ ed25519 ]
no_ssh_fingerprints: true
ssh: { emit_keys_to_console: false }
disable_ec2_metadata: true
cloud_init_modules: [ seed_random, bootcmd, write-files, growpart, resizefs, set_hostname, update_hostname,
  update_etc_hosts, users-groups, ssh ]
cloud_config_modules: [ set-passwords, runcmd ]
cloud_final_modules: [ scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, final-message ]
"""

_CUSTOMIZE = """\
set -e
root="$1"
cat > "$root/etc/initramfs-tools/modules" <<X
virtio_pci
virtio_blk
virtio_scsi
virtio_net
virtio_console
ahci
sd_mod
sr_mod
isofs
ext4
X
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=lz4/' "$root/etc/initramfs-tools/initramfs.conf"
chroot "$root" update-initramfs -u -k all
echo 'LABEL=cloudimg-rootfs / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1' > "$root/etc/fstab"
echo localhost > "$root/etc/hostname"
chroot "$root" systemctl enable systemd-networkd serial-getty@ttyS0.service ssh.service
chroot "$root" systemctl disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
: > "$root/etc/machine-id"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
"""


def build_debian(output: Path, work: Path) -> None:
    """Build the Debian guest's qcow2 disk at `output`. Takes a minute or two. Raises BuildError."""
    require(*TOOLS)
    root = work / "debian-root"
    shutil.rmtree(root, ignore_errors=True)
    hook = work / "debian-customize"
    hook.write_text("#!/bin/sh\n" + _CUSTOMIZE)
    hook.chmod(0o755)
    cloud = work / "debian-cloud.cfg"
    cloud.write_text(_CLOUD_CONFIG)
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--include={PACKAGES},lz4",
            '--aptopt=Apt::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _EXCLUDED),
            f"--customize-hook=copy-in {cloud} /etc/cloud/cloud.cfg.d",
            f"--customize-hook={hook} \"$1\"",
            "bookworm",
            root,
        ],
        deadline=1800,
    )  # fmt: skip
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise BuildError("mmdebstrap left no kernel in /boot of the guest")
    release = kernels[-1].name.removeprefix("vmlinuz-")
    (root / "boot/grub").mkdir(exist_ok=True)
    arguments = f"root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200"
    config = grub_config(f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}", arguments, LABEL)
    (root / "boot/grub/grub.cfg").write_text(config)
    make_disk(root, output, LAYOUT, work)
    shutil.rmtree(root)
