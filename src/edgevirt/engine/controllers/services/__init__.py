"""Who answers for a Service: its Endpoints and EndpointSlices, kept by its selector.

Not imported before there is a service with a selector (`engine.controllers.dormant`).
"""
