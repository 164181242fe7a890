"""The real kinds of parts that a cluster may have, as their Go modules hold them; no controller runs for them."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, asked_for, run
from tests.cluster.layout import cache
from tests.cluster.program import go

_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# One small kind of each is enough to have its API group.
PARTS = {
    "cert-manager": (
        "github.com/cert-manager/cert-manager@v1.21.2",
        "deploy/crds/cert-manager.io_certificaterequests.yaml",
    ),
    "external-dns": ("sigs.k8s.io/external-dns@v0.20.0", "config/crd/standard/dnsendpoints.externaldns.k8s.io.yaml"),
    "cloudnative-pg": (
        "github.com/cloudnative-pg/cloudnative-pg@v1.27.0",
        "config/crd/bases/postgresql.cnpg.io_databases.yaml",
    ),
    "keda": ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    "prometheus": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}


def definition(part: str) -> Path:
    """The file with a kind of a part. Raises Missing."""
    module, inside = PARTS[part]
    kept = cache().parent / "crds" / module.replace("/", "+") / Path(inside).name
    if not kept.exists():
        asked_for(f"what defines the kinds of {part}")
        told = run(go(), "mod", "download", "-json", module, timeout_s=600, check=False).stdout
        if "Dir" not in (found := json.loads(told or "{}")):
            raise Missing(f"the kinds of {part} could not be had: {found.get('Error', told)}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes((Path(found["Dir"]) / inside).read_bytes())
    return kept


@contextlib.contextmanager
def installed(cluster: Cluster, parts: Sequence[str]) -> Iterator[None]:
    """A kind of each part is there as long as the block lasts."""
    made = [yaml.safe_load(definition(part).read_text()) for part in parts]
    groups, api = {each["spec"]["group"] for each in made}, cluster.api

    def there() -> set[str]:
        return groups & {group["name"] for group in api.get("/apis")["groups"]}

    try:
        for each in made:
            api.apply(f"{_CRD}/{each['metadata']['name']}", each)
        cluster.until(lambda: there() == groups, "the API groups", 60)
        yield
    finally:
        for each in made:
            api.delete(f"{_CRD}/{each['metadata']['name']}")
        cluster.until(lambda: not there(), "the end of the API groups", 60)
        api.close()
