"""Keys and passwords that are brought into a guest."""

from __future__ import annotations

from typing import Annotated

from edgevirt.api.meta import Struct
from edgevirt.api.schema import Schema


class ConfigDriveSSHPublicKeyAccessCredentialPropagation(Struct):
    """Present: keys are put into the instance's config drive."""


class NoCloudSSHPublicKeyAccessCredentialPropagation(Struct):
    """Present: keys are put into the instance's NoCloud metadata."""


class QemuGuestAgentSSHPublicKeyAccessCredentialPropagation(Struct):
    """The guest agent writes the keys, also while the guest runs."""

    users: Annotated[tuple[str, ...], Schema(list_type="set")]
    """Users of the guest who get the keys."""


class SSHPublicKeyAccessCredentialPropagationMethod(Struct):
    """How keys reach the guest: exactly one way."""

    config_drive: ConfigDriveSSHPublicKeyAccessCredentialPropagation | None = None
    """With the config drive, at start."""
    no_cloud: NoCloudSSHPublicKeyAccessCredentialPropagation | None = None
    """With NoCloud metadata, at start."""
    qemu_guest_agent: QemuGuestAgentSSHPublicKeyAccessCredentialPropagation | None = None
    """By the guest agent, at any time."""


class AccessCredentialSecretSource(Struct):
    """A secret of the instance's namespace."""

    secret_name: str
    """Its name."""


class SSHPublicKeyAccessCredentialSource(Struct):
    """Where keys come from."""

    secret: AccessCredentialSecretSource | None = None
    """A secret whose every value is a public key."""


class SSHPublicKeyAccessCredential(Struct):
    """SSH public keys for users of the guest."""

    propagation_method: SSHPublicKeyAccessCredentialPropagationMethod
    """How they reach the guest."""
    source: SSHPublicKeyAccessCredentialSource
    """Where they come from."""


class QemuGuestAgentUserPasswordAccessCredentialPropagation(Struct):
    """Present: the guest agent sets passwords."""


class UserPasswordAccessCredentialPropagationMethod(Struct):
    """How passwords reach the guest."""

    qemu_guest_agent: QemuGuestAgentUserPasswordAccessCredentialPropagation | None = None
    """By the guest agent, at any time."""


class UserPasswordAccessCredentialSource(Struct):
    """Where passwords come from."""

    secret: AccessCredentialSecretSource | None = None
    """A secret with user names as keys and passwords as values."""


class UserPasswordAccessCredential(Struct):
    """Passwords for users of the guest."""

    propagation_method: UserPasswordAccessCredentialPropagationMethod
    """How they reach the guest."""
    source: UserPasswordAccessCredentialSource
    """Where they come from."""


class AccessCredential(Struct):
    """One way into the guest: exactly one type."""

    ssh_public_key: SSHPublicKeyAccessCredential | None = None
    """SSH public keys."""
    user_password: UserPasswordAccessCredential | None = None
    """Passwords."""
