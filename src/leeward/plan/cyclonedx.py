"""Write what is in an image as a CycloneDX document. Pure."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from leeward.model.image import Component
from leeward.model.release import Release

SPEC_VERSION = "1.6"


def document(release: Release, components: Iterable[Component], version: str) -> Mapping[str, Any]:
    """The software bill of materials of a release; `version` is Leeward's. The same release gives the same bytes."""
    found = tuple(components)
    digest = release.image.rpartition("@")[2]
    root = f"pkg:oci/{release.app}@{digest.replace(':', '%3A')}"
    created = {"timestamp": release.created_at.isoformat()} if release.created_at else {}
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{_uuid(root)}",
        "version": 1,
        "metadata": {
            **created,
            "tools": {"components": [{"type": "application", "name": "leeward", "version": version}]},
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": release.app,
                "version": release.version,
                "purl": root,
            },
        },
        "components": [_component(place, component) for place, component in enumerate(found)],
    }


def _component(place: int, component: Component) -> Mapping[str, Any]:
    return {
        "type": "library",
        # The same package may be there twice, in two places.
        "bom-ref": f"{component.purl}#{place}",
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
        "properties": [{"name": "leeward:path", "value": f"/{component.path}"}],
    }


def _uuid(text: str) -> uuid.UUID:
    """Always the same for the same text."""
    return uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4)
