"""How a failed connection is described: in the words of Go's net and tls packages, which users know."""

from __future__ import annotations

import ssl

import aiohttp


def describe(error: BaseException) -> str:
    """A connection failure in the words of Go's net and tls packages."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_verification(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"tls: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error
        what = (
            "connection refused"
            if isinstance(reason, ConnectionRefusedError)
            else str(reason.strerror or reason)
        )
        return f"dial tcp {error.host}:{error.port}: connect: {what.lower()}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__


def _verification(error: BaseException) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
