"""From the bytes of a request to a verb on a resource, and from a result to the form asked for."""
