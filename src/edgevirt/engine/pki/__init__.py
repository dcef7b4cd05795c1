"""The box's own certificates: one authority per trust domain, short-lived leaves, peer identities.

The authority never leaves the box; everything else can be thrown away and is issued again at the next
start. So nothing on the box expires in a way that needs a person: a machine that was off for a year, or
that boots with its clock in 1970, comes back by itself.

Import from the modules: `authority` brings in cryptography, which the node process does without.
"""
