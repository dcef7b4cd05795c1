"""Bridge-family packet filter that keeps a guest's DHCP inside its pod.

All pods of a node hang on one CNI bridge, so a guest's DHCP broadcast would reach every other pod's server,
and one of those may answer NAK: the guest loses its address. Nothing DHCP crosses the pod's NIC, in either
direction, and nobody outside resolves the server's link-local address, which every pod shares.

The rule set replaces our table in one transaction, so applying it again is harmless. nft 1.0.6 wants each
closing brace on a line of its own.
"""

from __future__ import annotations

from edgevirt.linux import nft

TABLE = "edgevirt"


class FilterError(Exception):
    """nft refused or could not be run; the message carries its own words."""


def bridge_isolation(*, uplink: str, tap: str, server: str) -> str:
    """The rules for a pod with NIC `uplink`, its guest on `tap` and its DHCP server at address `server`."""
    return f"""\
add table bridge {TABLE}
delete table bridge {TABLE}
table bridge {TABLE} {{
  chain forward {{
    type filter hook forward priority 0; policy accept;
    oifname "{uplink}" ether type ip udp dport 67 drop
    iifname "{uplink}" ether type ip udp dport {{ 67, 68 }} drop
    iifname "{tap}" ether type ip udp sport 67 drop
    oifname "{uplink}" ether type arp arp daddr ip {server} drop
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname "{uplink}" ether type ip udp dport 67 drop
    iifname "{uplink}" ether type arp arp daddr ip {server} drop
  }}
  chain output {{
    type filter hook output priority 0; policy accept;
    oifname "{uplink}" ether type ip udp sport 67 drop
    oifname "{uplink}" ether type arp arp saddr ip {server} drop
  }}
}}
"""


def apply(ruleset: str) -> None:
    """Load `ruleset` in this thread's network namespace. Blocks up to ten seconds; raises FilterError."""
    try:
        nft.load(ruleset)
    except nft.NftError as error:
        raise FilterError(f"the pod's packet filter could not be set: {error}") from error
