"""What an operator says of a cluster becomes its rules, or is refused all at once."""

from dataclasses import replace

import pytest
from tests.unit.kubernetes_stage import RULES, WEB

from leeward.engines.kubernetes.options import rules_of
from leeward.engines.kubernetes.routing import ingress
from leeward.engines.kubernetes.rules import Pool, Quota
from leeward.errors import Invalid
from leeward.model.region import EngineKind, Profile, Region


def region(**options: str) -> Region:
    return Region(
        "east", EngineKind.KUBERNETES, registry="10.0.0.1:5000", profile=Profile.GKE_STANDARD, options=options
    )


def test_every_option_has_its_place_in_the_rules() -> None:
    rules = rules_of(
        region(
            apps_pool="pool=apps,taint:apps",
            runtime_class="gvisor",
            gateway="edge/main",
            edge_sources="10.99.0.1/32, 10.98.0.0/16",
            cpu_request_percent="50",
            cluster_scales="yes",
            quota_cores="8",
        ),
        "abc",
        "example.com",
        "127.0.0.1:5010",
    )

    assert rules.apps == Pool({"pool": "apps"}, ("apps",))
    assert (rules.runtime_class, rules.gateway, rules.edge_sources) == (
        "gvisor",
        "edge/main",
        ("10.99.0.1/32", "10.98.0.0/16"),
    )
    assert (rules.cpu_request_percent, rules.cluster_scales, rules.quota) == (50, True, Quota(cores=8))
    assert (rules.home, rules.region, rules.registry, rules.profile) == (
        "abc",
        "east",
        "10.0.0.1:5000",
        Profile.GKE_STANDARD,
    )


def test_options_that_are_unknown_or_wrong_are_named_together() -> None:
    with pytest.raises(Invalid) as caught:
        rules_of(region(gatevay="a/b", gateway="main", quota_cores="many", egress="there"), "", "", "")

    told = [(problem.path, problem.message, problem.hint) for problem in caught.value.problems]
    assert told == [
        ("options/egress", "must be address ranges like '10.0.0.0/8,192.168.1.0/24', not 'there'", ""),
        ("options/gatevay", "is not an option of a cluster", "did you mean 'gateway'?"),
        ("options/gateway", "must be a gateway like 'namespace/name', not 'main'", ""),
        ("options/quota_cores", "must be a number from 1 to 1000000, not 'many'", ""),
    ]


def test_an_ingress_is_certified_by_the_issuer_and_without_one_shows_the_certificate_of_its_class() -> None:
    plain = ingress(WEB, ["b.example.com", "a.example.com"], replace(RULES, gateway_class="nginx"))
    certified = ingress(WEB, ["a.example.com"], replace(RULES, gateway_class="nginx", issuer="letsencrypt"))

    assert plain["spec"]["tls"] == [{"hosts": ["a.example.com", "b.example.com"]}]
    assert "annotations" not in plain["metadata"]
    assert certified["spec"]["tls"] == [{"hosts": ["a.example.com"], "secretName": "shop-tls"}]
    assert certified["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "letsencrypt"}
