"""TLS contexts for calls to webhooks and aggregated APIs: one per trust bundle, kept.

A call is verified against the bundle its configuration names (`caBundle`), or the system's roots if there
is none. With a client certificate the context presents the front proxy's identity; `forget` drops all
contexts after that certificate was renewed.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from dataclasses import dataclass
from pathlib import Path

_KEPT = 256


class BadBundle(Exception):
    """The caBundle of an object holds no certificates."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Paths of a PEM certificate (chain) and its key."""

    certificate: Path
    key: Path


class TrustStore:
    """Makes and remembers client-side TLS contexts."""

    def __init__(self, client_certificate: ClientCertificate | None = None) -> None:
        self._client_certificate = client_certificate
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def context(self, bundle: str = "", insecure: bool = False) -> ssl.SSLContext:
        """A context trusting `bundle`, base64 as in the API. Raises BadBundle.

        `insecure` switches verification off, which an APIService may ask for explicitly.
        """
        key = (bundle, insecure)
        known = self._contexts.get(key)
        if known is None:
            if len(self._contexts) >= _KEPT:
                self._contexts.clear()
            known = self._contexts[key] = self._make(bundle, insecure)
        return known

    def forget(self) -> None:
        """Makes new contexts from now on, with the client certificate as it is on disk then."""
        self._contexts.clear()

    def _make(self, bundle: str, insecure: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif bundle:
            try:
                context.load_verify_locations(cadata=base64.b64decode(bundle, validate=True).decode("ascii"))
            except (binascii.Error, UnicodeDecodeError, ssl.SSLError) as error:
                raise BadBundle(f"the caBundle holds no readable certificate: {error}") from error
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self._client_certificate is not None:
            context.load_cert_chain(self._client_certificate.certificate, self._client_certificate.key)
        return context
