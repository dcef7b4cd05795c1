"""edgevirt on one box: two processes, control plane and node, beside the launchers, which outlive both.

`layout` says where files lie, `config` what can be set, `identities` who is who, `bootstrap` which objects
exist from the start, `control_plane` and `node` are the two processes, `supervise` starts and stops them.
"""
