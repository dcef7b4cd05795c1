"""The node agent: looks after the VMIs of one node from phase Scheduled on.

`server.run(settings, started, devices)` is the component; `settings.Settings` is what it must be given and
`devices.DeviceRegistry` what it announces devices to.
"""
