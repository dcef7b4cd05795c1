"""The box's own certificates: one authority per trust domain, short-lived leaves, peer identities.

The authority never leaves the box; everything else can be thrown away and is issued again at the next
start. So nothing on the box expires in a way that needs a person: a machine that was off for a year, or
that boots with its clock in 1970, comes back by itself.
"""

from edgevirt.engine.pki.authority import Authority, Leaf, PkiError, write_leaf
from edgevirt.engine.pki.identity import IdentityError, PeerRole, peer_role, role_uri
from edgevirt.engine.pki.renewal import keep_fresh

__all__ = [
    "Authority",
    "IdentityError",
    "Leaf",
    "PeerRole",
    "PkiError",
    "keep_fresh",
    "peer_role",
    "role_uri",
    "write_leaf",
]
