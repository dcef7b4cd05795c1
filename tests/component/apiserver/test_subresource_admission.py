"""What is posted to a pod's or account's subresource passes admission, like everything else that is posted."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.component
