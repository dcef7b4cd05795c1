"""The smallest guest that proves a hypervisor: 64 KiB of firmware whose reset vector leads to 168 bytes.

It goes from real mode straight into long mode, pushes a 64-bit value to memory through its own page tables,
takes its top byte and writes that to QEMU's debug-exit port. A hypervisor that can't run 64-bit guests, or
runs nothing at all, can't produce that exit status. Assembled by hand; the listing is the source.
"""

from __future__ import annotations

EXIT_PORT = 0xF4
_TOKEN = 0x5A
EXIT_STATUS = _TOKEN << 1 | 1
"""What QEMU exits with after the guest wrote its token: the device shifts it and sets bit 0."""

_SIZE = 0x10000  # QEMU wants firmware in multiples of 64 KiB; its last byte is at 4 GiB - 1
_CODE_AT = 0xFF00
_RESET_AT = 0xFFF0

_CODE = (
    # 16-bit; the code segment's base is 0xffff0000 after reset
    (b"\xfa", "cli"),
    (b"\xfc", "cld"),
    (b"\x31\xc0", "xor ax, ax"),
    (b"\x8e\xd8", "mov ds, ax"),
    (b"\x8e\xc0", "mov es, ax"),
    (b"\x8e\xd0", "mov ss, ax"),
    (b"\xbf\x00\x10", "mov di, 0x1000            ; four page tables, cleared"),
    (b"\xb9\x00\x20", "mov cx, 0x2000"),
    (b"\xf3\xab", "rep stosw"),
    (b"\x66\xc7\x06\x00\x10\x03\x20\x00\x00", "mov dword [0x1000], 0x2003   ; PML4[0] -> PDPT"),
    (b"\x66\xc7\x06\x00\x20\x03\x30\x00\x00", "mov dword [0x2000], 0x3003   ; first GiB"),
    (b"\x66\xc7\x06\x18\x20\x03\x40\x00\x00", "mov dword [0x2018], 0x4003   ; fourth GiB"),
    (b"\x66\xc7\x06\x00\x30\x83\x00\x00\x00", "mov dword [0x3000], 0x83     ; 2 MiB of RAM"),
    (b"\x66\xc7\x06\xf8\x4f\x83\x00\xe0\xff", "mov dword [0x4ff8], 0xffe00083   ; this firmware"),
    (b"\x2e\x66\x0f\x01\x16\x76\xff", "lgdt [cs:gdtr]"),
    (b"\x66\xb8\x00\x10\x00\x00", "mov eax, 0x1000"),
    (b"\x0f\x22\xd8", "mov cr3, eax"),
    (b"\x66\xb8\x20\x00\x00\x00", "mov eax, 0x20               ; PAE"),
    (b"\x0f\x22\xe0", "mov cr4, eax"),
    (b"\x66\xb9\x80\x00\x00\xc0", "mov ecx, 0xc0000080         ; EFER"),
    (b"\x0f\x32", "rdmsr"),
    (b"\x0d\x00\x01", "or ax, 0x100                ; LME"),
    (b"\x0f\x30", "wrmsr"),
    (b"\x66\xb8\x01\x00\x00\x80", "mov eax, 0x80000001         ; paging and protection at once"),
    (b"\x0f\x22\xc0", "mov cr0, eax"),
    (b"\x66\xea\x7c\xff\xff\xff\x08\x00", "jmp dword 8:long"),
    (b"\x0f\x00\x98\xff\xff\xff", "gdtr: limit 15, base 0xffffff98"),
    # 64-bit
    (b"\xbc\x00\x80\x00\x00", "long: mov esp, 0x8000"),
    (b"\x48\xb8\x01\x00\x00\x00\x00\x00\x00" + bytes([_TOKEN]), "mov rax, token << 56 | 1"),
    (b"\x50", "push rax"),
    (b"\x31\xc0", "xor eax, eax"),
    (b"\x58", "pop rax"),
    (b"\x48\xc1\xe8\x38", "shr rax, 56"),
    (b"\xe7" + bytes([EXIT_PORT]), "out exit_port, eax"),
    (b"\xf4", "stop: hlt"),
    (b"\xeb\xfd", "jmp stop"),
    (b"\x00" * 8, "gdt: null"),
    (b"\x00\x00\x00\x00\x00\x9a\x20\x00", "64-bit code"),
)
_JUMP_TO_CODE = b"\xe9" + (_CODE_AT - _RESET_AT - 3).to_bytes(2, "little", signed=True)


def firmware() -> bytes:
    """The image for QEMU's `-bios`."""
    code = b"".join(octets for octets, _ in _CODE)
    image = bytearray(_SIZE)
    image[_CODE_AT : _CODE_AT + len(code)] = code
    image[_RESET_AT : _RESET_AT + len(_JUMP_TO_CODE)] = _JUMP_TO_CODE
    return bytes(image)
