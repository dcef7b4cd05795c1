"""Pods made from a template, for the one that controls them."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from edgevirt.api.core import Pod, PodSpec, PodTemplateSpec
from edgevirt.api.meta import KubeObject, ObjectMeta, Resource
from edgevirt.kube.ownership import owner_reference

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_encode = msgspec.json.Encoder(order="deterministic").encode


def pod_from_template(
    template: PodTemplateSpec | None, owner: KubeObject, resource: Resource[Any], name: str = ""
) -> Pod:
    """A pod named `name`, or with a name generated from its owner's."""
    found = template or PodTemplateSpec()
    own = found.metadata or ObjectMeta()
    return Pod(
        api_version="v1",
        kind="Pod",
        metadata=ObjectMeta(
            name=name,
            generate_name="" if name else name_prefix(owner.metadata.name),
            namespace=owner.metadata.namespace,
            labels=own.labels,
            annotations=own.annotations,
            finalizers=own.finalizers,
            owner_references=(owner_reference(owner, resource),),
        ),
        spec=found.spec or PodSpec(),
    )


def name_prefix(owner: str) -> str:
    """What generated names begin with; an owner's name may be longer than a generated name has room for."""
    return f"{owner}-"


def template_hash(template: PodTemplateSpec | None, collisions: int | None) -> str:
    """A short name of a template's content, in letters that make no words."""
    digest = zlib.crc32(_encode(template) + str(collisions or "").encode())
    return safe(str(digest))


def safe(text: str) -> str:
    """Any text in Kubernetes' alphabet for generated names."""
    return "".join(_ALPHABET[ord(character) % len(_ALPHABET)] for character in text)


def with_label(template: PodTemplateSpec | None, key: str, value: str) -> PodTemplateSpec:
    """The template with one more label."""
    found = template or PodTemplateSpec()
    meta = found.metadata or ObjectMeta()
    labelled = msgspec.structs.replace(meta, labels={**meta.labels, key: value})
    return msgspec.structs.replace(found, metadata=labelled)


def without_label(template: PodTemplateSpec | None, key: str) -> PodTemplateSpec:
    """The template without that label; how templates of different revisions are compared."""
    found = template or PodTemplateSpec()
    meta = found.metadata or ObjectMeta()
    labels = {name: value for name, value in meta.labels.items() if name != key}
    return msgspec.structs.replace(found, metadata=msgspec.structs.replace(meta, labels=labels))
