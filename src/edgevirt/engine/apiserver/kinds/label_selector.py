"""What is wrong with a label selector, in the words and under the paths of Kubernetes' validation."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.names import invalid_value, label_key_faults, label_value_faults
from edgevirt.engine.apiserver.schema import invalid, required

Json = dict[str, Any]


def selector_faults(selector: Json, path: str) -> list[Cause]:
    """Keys, operators and values of a label selector."""
    causes: list[Cause] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        causes.extend(invalid_value(f"{path}.matchLabels", key, fault) for fault in label_key_faults(key))
        causes.extend(invalid_value(f"{path}.matchLabels", value, f) for f in label_value_faults(value))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator") or "", expression.get("values") or []
        if operator in ("In", "NotIn") and not values:
            causes.append(required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(Cause("FieldValueForbidden", f"Forbidden: {text}", f"{where}.values"))
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            causes.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
        key = expression.get("key") or ""
        causes.extend(invalid_value(f"{where}.key", key, fault) for fault in label_key_faults(key) if key)
    return causes
