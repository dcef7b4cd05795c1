"""The tiny guest: Debian's cloud kernel and one busybox initramfs on a bootable disk.

It is for trying things out and for tests: in seconds it has an address by DHCP on every NIC, a login on the
serial console (root, no password), an HTTP server on port 80 that answers its host name, the QEMU guest
agent, and it powers off on the ACPI button. Of NoCloud it honours meta-data's local-hostname, a user-data
that is a shell script, and `password:` of a #cloud-config; nothing else of cloud-init.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edgevirt.storage.guests.disk import DiskLayout, grub_config, make_disk
from edgevirt.storage.guests.packages import CLOUD_KERNEL, kernel_package, tree
from edgevirt.storage.guests.tools import BuildError, require, run

LABEL = "tiny-root"
LAYOUT = DiskLayout(size_mib=96, esp_mib=8, label=LABEL)
ARGUMENTS = "console=tty0 console=ttyS0,115200 quiet"
TOOLS = ("cpio", "depmod", "dpkg-deb", "mcopy", "mke2fs", "mkfs.vfat", "qemu-img", "sgdisk")

MODULES = (
    *("virtio_pci", "virtio_net", "virtio_blk", "virtio_console", "virtio_balloon", "virtio-rng"),
    *("virtio_scsi", "ahci", "sd_mod", "sr_mod", "isofs", "ext4", "vfat", "nls_ascii", "nls_cp437"),
    *("e1000", "e1000e", "8139cp", "button", "evdev", "i6300esb", "xhci_pci", "uhci_hcd", "usb_storage"),
)
"""Kernel modules the guest loads at boot, with what they depend on; names the kernel lacks are skipped."""

_DIRECTORIES = (
    *("bin", "sbin", "etc/acpi/PWRF", "proc", "sys", "dev", "run", "tmp", "root", "mnt", "var/log"),
    *("usr/bin", "usr/sbin", "www", "lib/modules"),
)

_INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmpfs /run
for module in $(cat /etc/modules.list); do insmod "/lib/modules/$module" 2>/dev/null; done
mdev -s
for port in /sys/class/virtio-ports/*; do
  [ -r "$port/name" ] && name=$(cat "$port/name") && [ -n "$name" ] || continue
  mkdir -p /dev/virtio-ports
  ln -sf "/dev/${port##*/}" "/dev/virtio-ports/$name"
done
hostname tiny
ip link set lo up
seed=
for device in /dev/sr0 /dev/vd[a-z] /dev/sd[a-z]; do
  [ -b "$device" ] || continue
  mount -t iso9660 -o ro "$device" /mnt 2>/dev/null || continue
  [ -e /mnt/meta-data ] && seed=/mnt && break
  umount /mnt
done
if [ -n "$seed" ]; then
  # meta-data is YAML, of which JSON is a part: both spellings are met.
  json='s/.*"local-hostname": *"\\([^"]*\\)".*/\\1/p'
  name=$(sed -n "s/^local-hostname: *//p; $json" $seed/meta-data | tr -d '"')
  [ -n "$name" ] && hostname "$name"
  password=$(sed -n 's/^password: *//p' $seed/user-data 2>/dev/null | tr -d '"')
  [ -n "$password" ] && echo "root:$password" | chpasswd >/dev/null 2>&1
fi
[ -e /dev/virtio-ports/org.qemu.guest_agent.0 ] &&
  qemu-ga -d -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 -f /run/qga.pid -t /run
for nic in /sys/class/net/*; do
  nic=${nic##*/}
  [ "$nic" = lo ] && continue
  ip link set "$nic" up
  udhcpc -i "$nic" -b -t 20 -T 1 -A 2 -S -x hostname:"$(hostname)" -s /etc/udhcpc.sh >/dev/null 2>&1 &
done
acpid -d >/dev/null 2>&1 &
hostname > /www/index.html
httpd -p 80 -h /www
if [ -n "$seed" ] && head -c 2 $seed/user-data 2>/dev/null | grep -q '#!'; then
  cp $seed/user-data /run/user-data && chmod +x /run/user-data && /run/user-data > /dev/console 2>&1
fi
echo "TINY-READY $(hostname) after $(cut -d ' ' -f 1 /proc/uptime) s" > /dev/console
"""

_INITTAB = """\
::sysinit:/etc/rcS
ttyS0::respawn:/bin/getty -L 115200 ttyS0 vt100
::ctrlaltdel:/bin/reboot
::shutdown:/bin/umount -a -r
"""

_DHCP = """\
#!/bin/sh
case "$1" in
  deconfig)
    ip addr flush dev "$interface"
    ip link set "$interface" up ;;
  bound|renew)
    ip addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    for gateway in $router; do
      ip route add "$gateway" dev "$interface" 2>/dev/null
      ip route replace default via "$gateway" dev "$interface"
    done
    : > /etc/resolv.conf
    [ -n "$search$domain" ] && echo "search ${search:-$domain}" >> /etc/resolv.conf
    for server in $dns; do echo "nameserver $server" >> /etc/resolv.conf; done
    echo "DHCP $interface $ip/${mask:-24}" > /dev/console ;;
esac
"""

_POWER_BUTTON = "#!/bin/sh\npoweroff\n"
_SHUTDOWN = """\
#!/bin/sh
case " $* " in *" -r "*) exec reboot ;; *) exec poweroff ;; esac
"""


def build_tiny(output: Path, work: Path, scratch: Path, kernel_metapackage: str = CLOUD_KERNEL) -> None:
    """Build the tiny guest's qcow2 disk at `output`. Raises BuildError."""
    require(*TOOLS)
    busybox = Path("/bin/busybox")
    if not busybox.exists() or not _is_static(busybox):
        raise BuildError("busybox is missing or not static: apt-get install busybox-static")
    kernel_name = kernel_package(kernel_metapackage)
    release = kernel_name.removeprefix("linux-image-")
    kernel = tree(
        f"{kernel_metapackage}-tree", [kernel_name], work, lambda part: _index_modules(part, release)
    )
    agent = tree("agent", ["qemu-guest-agent"], work)
    initrd_root = scratch / "initrd"
    _fill_initrd(initrd_root, kernel, release, agent / "usr/sbin/qemu-ga", busybox)
    root = scratch / "root"
    (root / "boot/grub").mkdir(parents=True)
    shutil.copyfile(kernel / "boot" / f"vmlinuz-{release}", root / "boot/vmlinuz")
    names = run(["find", ".", "-print0"], directory=initrd_root)
    cpio = ["cpio", "--null", "-o", "-H", "newc", "--quiet", "-R", "0:0"]
    archive = run(cpio, directory=initrd_root, stdin=names)
    (root / "boot/initrd").write_bytes(run(["gzip", "-n", "-1"], stdin=archive))
    (root / "boot/grub/grub.cfg").write_text(grub_config("/boot/vmlinuz", "/boot/initrd", ARGUMENTS, LABEL))
    make_disk(root, output, LAYOUT, work, scratch)


def _index_modules(tree: Path, release: str) -> None:
    run(["depmod", "-b", tree, release])


def _is_static(program: Path) -> bool:
    # A static ELF file names no loader; a dynamic one does, in its first page.
    return b"ld-linux" not in program.read_bytes()[:4096]


def _fill_initrd(root: Path, kernel_tree: Path, release: str, agent: Path, busybox: Path) -> None:
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    shutil.copy2(busybox, root / "bin/busybox")
    for applet in run([busybox, "--list"]).decode().split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("/bin/busybox")
    (root / "init").symlink_to("/bin/busybox")
    modules = _module_files(kernel_tree, release)
    for module in modules:
        shutil.copyfile(module, root / "lib/modules" / module.name)
    (root / "etc/modules.list").write_text("".join(f"{module.name}\n" for module in modules))
    _copy_program(agent, root / "usr/sbin/qemu-ga", root)
    for path, text, mode in (
        ("etc/passwd", "root::0:0:root:/root:/bin/sh\n", 0o644),
        ("etc/group", "root:x:0:\n", 0o644),
        ("etc/inittab", _INITTAB, 0o644),
        ("etc/rcS", _INIT, 0o755),
        ("etc/udhcpc.sh", _DHCP, 0o755),
        ("etc/acpi/PWRF/00000080", _POWER_BUTTON, 0o755),
        # What the guest agent calls by these names.
        ("sbin/shutdown", _SHUTDOWN, 0o755),
        ("usr/sbin/chpasswd", "#!/bin/sh\nexec /bin/chpasswd\n", 0o755),
    ):
        target = root / path
        target.write_text(text)
        target.chmod(mode)


def _module_files(kernel_tree: Path, release: str) -> list[Path]:
    """The modules' files in the order they must be loaded in, each once."""
    files: dict[Path, None] = {}
    for module in MODULES:
        try:
            shown = run(["modprobe", "-d", kernel_tree, "-S", release, "--show-depends", module]).decode()
        except BuildError:
            continue  # not a module of this kernel: built in, or absent from the cloud flavour
        for path in re.findall(r"^insmod (\S+)", shown, re.MULTILINE):
            files.setdefault(Path(path))
    return list(files)


def _copy_program(program: Path, target: Path, root: Path) -> None:
    """Copy a dynamically linked program and the libraries it needs to where its loader looks for them."""
    shutil.copy2(program, target)
    for path in re.findall(r"(/\S+)", run(["ldd", program]).decode()):
        library = Path(path)
        destination = root / library.relative_to("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        if not destination.exists():
            shutil.copy2(library.resolve(), destination)
