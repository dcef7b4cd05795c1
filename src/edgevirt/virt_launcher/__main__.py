"""Start of virt-launcher, as a file: `python3 -I -S <package>/virt_launcher/__main__.py <arguments>`.

`-S` leaves out the `site` module and with it every `.pth` file, so the search path is set here: the directory
that holds edgevirt, then the interpreter's own site-packages and Debian's, where the libvirt binding lives.
"""

from __future__ import annotations

import os
import sys


def _search_path() -> list[str]:
    here = os.path.dirname(os.path.abspath(__file__))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = os.path.dirname(os.path.dirname(os.path.abspath(sys.executable)))
    return [
        os.path.dirname(os.path.dirname(here)),
        os.path.join(environment, "lib", version, "site-packages"),
        "/usr/lib/python3/dist-packages",
    ]


def _start() -> int:
    if not sys.flags.no_site:
        from edgevirt.virt_launcher.cli import main

        return main(sys.argv[1:])
    sys.path[:0] = [path for path in _search_path() if path not in sys.path and os.path.isdir(path)]
    # asyncio does without ssl when it cannot be imported; nothing here speaks TLS, and it costs 1.5 MB.
    sys.modules["ssl"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    from edgevirt.virt_launcher.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_start())
