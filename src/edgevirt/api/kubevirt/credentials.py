"""kubevirt.io/v1 types: credentials."""

from __future__ import annotations

from edgevirt.api.meta import Struct


class ConfigDriveSSHPublicKeyAccessCredentialPropagation(Struct):
    pass


class NoCloudSSHPublicKeyAccessCredentialPropagation(Struct):
    pass


class QemuGuestAgentSSHPublicKeyAccessCredentialPropagation(Struct):
    users: tuple[str, ...]


class SSHPublicKeyAccessCredentialPropagationMethod(Struct):
    config_drive: ConfigDriveSSHPublicKeyAccessCredentialPropagation | None = None
    no_cloud: NoCloudSSHPublicKeyAccessCredentialPropagation | None = None
    qemu_guest_agent: QemuGuestAgentSSHPublicKeyAccessCredentialPropagation | None = None


class AccessCredentialSecretSource(Struct):
    secret_name: str


class SSHPublicKeyAccessCredentialSource(Struct):
    secret: AccessCredentialSecretSource | None = None


class SSHPublicKeyAccessCredential(Struct):
    propagation_method: SSHPublicKeyAccessCredentialPropagationMethod
    source: SSHPublicKeyAccessCredentialSource


class QemuGuestAgentUserPasswordAccessCredentialPropagation(Struct):
    pass


class UserPasswordAccessCredentialPropagationMethod(Struct):
    qemu_guest_agent: QemuGuestAgentUserPasswordAccessCredentialPropagation | None = None


class UserPasswordAccessCredentialSource(Struct):
    secret: AccessCredentialSecretSource | None = None


class UserPasswordAccessCredential(Struct):
    propagation_method: UserPasswordAccessCredentialPropagationMethod
    source: UserPasswordAccessCredentialSource


class AccessCredential(Struct):
    ssh_public_key: SSHPublicKeyAccessCredential | None = None
    user_password: UserPasswordAccessCredential | None = None
