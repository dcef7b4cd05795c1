"""What names may look like, as Kubernetes defines it."""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL_RULE: Final = "at most 63 of a-z, 0-9 and -, starting and ending with a letter or digit"


def is_label(text: str) -> bool:
    """Whether the text is a DNS label."""
    return _LABEL.fullmatch(text) is not None
