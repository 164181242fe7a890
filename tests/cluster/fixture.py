"""The fixture `cluster`: a real Kubernetes for whoever asks, or a skip that says why there is none."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator["Cluster"]:
    """A cluster with two nodes: the one that runs, else one that lives as long as the tests.

    LEEWARD_CLUSTER=no skips what needs it, LEEWARD_CLUSTER=must fails where it cannot be had.
    """
    wish = os.environ.get("LEEWARD_CLUSTER", "")
    if wish == "no":
        pytest.skip("LEEWARD_CLUSTER=no: no cluster is wished for")
    # Not above: tests that need no cluster do without these modules.
    from tests.cluster.__main__ import forwards
    from tests.cluster.cluster import Cluster
    from tests.cluster.command import Missing
    from tests.cluster.layout import layout

    one = Cluster(layout(), forwards())
    joined = one.alive()
    try:
        one.up()
    except Missing as lack:
        if wish == "must":
            raise
        pytest.skip(str(lack))
    yield one
    if not joined and not os.environ.get("LEEWARD_CLUSTER_KEEP"):
        left = one.down()
        assert not left, f"the cluster left behind: {left}"
