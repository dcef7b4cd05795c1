"""Whether a machine or an instance may be stored: pure functions from objects to causes of refusal.

Objects are checked after the defaults were filled in. First come mistakes against the schema, alone, since
the other rules rely on it; then everything this release does not implement, named by path; then the rules
by area. [] means the object is accepted.
"""

from edgevirt.virt_api.validation.instance import check_instance, check_instance_update
from edgevirt.virt_api.validation.kubevirt import check_kubevirt
from edgevirt.virt_api.validation.machine import check_machine

__all__ = ["check_instance", "check_instance_update", "check_kubevirt", "check_machine"]
