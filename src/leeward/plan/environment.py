"""Decide which variables a process gets. Pure."""

from leeward.model.runtime import Workload
from leeward.model.secret import revealed


def variables(want: Workload) -> dict[str, str]:
    """The variables of the process; those of the platform win."""
    return {
        **({"HOME": "/tmp"} if want.read_only else {}),
        **revealed(want.env),
        "PORT": str(want.port),
        "LEEWARD_APP": want.app,
        "LEEWARD_PROCESS": want.process,
        "LEEWARD_RELEASE": f"v{want.release}",
    }
