"""The Debian 12 guest: a real distribution with cloud-init and the QEMU guest agent.

Made by mmdebstrap from the machine's own apt sources. cloud-init's module lists are trimmed to what a
server needs, because every module is an import that costs a second under emulation; docs/guests.md lists
them. The root file system grows to the disk it is given.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgevirt.storage.guests.disk import DiskLayout, grub_config, make_disk
from edgevirt.storage.guests.packages import refresh_lists
from edgevirt.storage.guests.sources import CODENAME, debian_sources, fetch_settings, package_lists
from edgevirt.storage.guests.tools import BuildError, require, run

LABEL = "cloudimg-rootfs"
LAYOUT = DiskLayout(size_mib=4096, esp_mib=48, label=LABEL)
TOOLS = ("mmdebstrap", "unshare", "mcopy", "mke2fs", "mkfs.vfat", "qemu-img", "sgdisk", "dpkg-deb")
PACKAGES = (
    *(
        "linux-image-amd64",
        "initramfs-tools",
        "lz4",
        "systemd-sysv",
        "udev",
        "dbus",
        "kmod",
        "e2fsprogs",
    ),
    *(
        "iproute2",
        "iputils-ping",
        "netbase",
        "libnss-myhostname",
        "ca-certificates",
        "curl",
        "openssh-server",
    ),
    *("qemu-guest-agent", "cloud-init", "cloud-guest-utils", "fdisk", "python3", "less", "procps", "sudo"),
)
ARGUMENTS = f"root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200"
_EXCLUDED = ("doc", "man", "locale", "info")

CLOUD_CONFIG = """\
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

INITRAMFS_HOOK = """\
#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk virtio_scsi virtio_net virtio_console ahci sd_mod sr_mod isofs ext4
"""

SETUP = """\
#!/bin/sh
# Before anything is fetched: the machine's package lists and the archives of the last build.
set -e
root="$1" lists="$2" archives="$3"
mkdir -p "$root/var/lib/apt/lists" "$root/var/cache/apt/archives"
find "$lists" -maxdepth 1 -type f ! -name lock -exec cp -t "$root/var/lib/apt/lists" {} +
find "$archives" -maxdepth 1 -name '*.deb' -exec cp --reflink=auto -t "$root/var/cache/apt/archives" {} +
"""

CUSTOMIZE = """\
#!/bin/sh
set -e
root="$1" archives="$2" files="$3"
# Archives for the next build, without those that a newer one has superseded.
rm -rf "$archives.part"
mkdir "$archives.part"
chroot "$root" apt-get -qq autoclean
find "$root/var/cache/apt/archives" -maxdepth 1 -name '*.deb' -exec mv -t "$archives.part" {} +
rm -rf "$archives"
mv "$archives.part" "$archives"

install -m 755 "$files/initramfs-hook" "$root/etc/initramfs-tools/hooks/virtual-machine"
printf 'MODULES=list\\nCOMPRESS=lz4\\n' > "$root/etc/initramfs-tools/conf.d/virtual-machine"
env -u INITRD chroot "$root" update-initramfs -c -k all
install -m 644 "$files/cloud.cfg" "$root/etc/cloud/cloud.cfg.d/90_virtual-machine.cfg"
install -m 644 "$files/sources.list" "$root/etc/apt/sources.list"
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
echo 'LABEL=cloudimg-rootfs / ext4 rw,discard,errors=remount-ro 0 1' > "$root/etc/fstab"
echo localhost > "$root/etc/hostname"
chroot "$root" systemctl enable systemd-networkd serial-getty@ttyS0.service ssh.service
chroot "$root" systemctl disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer
chroot "$root" systemctl disable e2scrub_reap.service
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
: > "$root/etc/machine-id"
"""


def build_debian(output: Path, work: Path, scratch: Path) -> None:
    """Build the Debian guest's qcow2 disk at `output`. Takes a minute or two. Raises BuildError."""
    require(*TOOLS)
    root = scratch / "root"
    try:
        _install(root, work, scratch)
    except BuildError as error:
        if "404  Not Found" not in str(error):
            raise
        # Lists that are some weeks old name versions the archive has thrown away since.
        refresh_lists()
        shutil.rmtree(root, ignore_errors=True)
        _install(root, work, scratch)
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise BuildError("mmdebstrap left no kernel in /boot of the guest")
    release = kernels[-1].name.removeprefix("vmlinuz-")
    (root / "boot/grub").mkdir(exist_ok=True)
    config = grub_config(f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}", ARGUMENTS, LABEL)
    (root / "boot/grub/grub.cfg").write_text(config)
    make_disk(root, output, LAYOUT, work, scratch)


def _install(root: Path, work: Path, scratch: Path) -> None:
    """Unpack and configure the packages below `root`, which must not exist."""
    archives = work / "debian-archives"
    archives.mkdir(exist_ok=True)
    sources = debian_sources()
    for name, text in (
        ("setup", SETUP),
        ("customize", CUSTOMIZE),
        ("initramfs-hook", INITRAMFS_HOOK),
        ("cloud.cfg", CLOUD_CONFIG),
        ("apt.conf", fetch_settings()),
        ("build.list", "".join(source.line() for source in sources)),
        ("sources.list", "".join(source.public().line() for source in sources)),
    ):
        (scratch / name).write_text(text)
    # mmdebstrap mounts /proc and /sys below `root` and leaves them there when it is killed: in namespaces of
    # its own its mounts and its children go with it, and no later clean-up can walk into them.
    run(
        [
            *(
                "unshare",
                "--mount",
                "--propagation=private",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ),
            *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *("--skip=update,download/empty,essential/unlink", f"--aptopt={scratch / 'apt.conf'}"),
            '--aptopt=Apt::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _EXCLUDED),
            "--dpkgopt=force-unsafe-io",
            f'--setup-hook=sh {scratch}/setup "$1" {package_lists()} {archives}',
            f'--customize-hook=sh {scratch}/customize "$1" {archives} {scratch}',
            *(CODENAME, root, scratch / "build.list"),
        ],
        deadline=1800,
        # The kernel package would make an initramfs before its contents are settled.
        environment={"INITRD": "No"},
    )
