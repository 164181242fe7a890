"""What every build with BuildKit is given beside its tree: secrets as files, labels, and values to hide."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from leeward.model.app import Strategy
from leeward.plan.rebase import BUILT, REBASABLE
from leeward.ports import BuildJob
from leeward.settings import Settings

_HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|DSN|DATABASE_URL", re.I)


def secret_files(job: BuildJob, settings: Settings) -> Mapping[str, bytes]:
    """What steps may mount, by id: the variables that the plan names, and what of the platform tools must know."""
    found = {name: job.env[name].encode() for name in job.plan.build_secrets if name in job.env}
    bundle = settings.build_ca or _HOST_BUNDLE
    if bundle.is_file():
        found["leeward_ca"] = bundle.read_bytes()
    if settings.build_pip_index:
        found["leeward_pip_index"] = settings.build_pip_index.encode()
    if settings.build_npm_registry:
        found["leeward_npm_registry"] = settings.build_npm_registry.encode()
    return found


def secret_values(job: BuildJob) -> Iterator[str]:
    """What is a secret, what the build is shown, and what else has the name of one."""
    for name, value in job.env.items():
        if name in job.secrets or name in job.plan.build_secrets or _SECRET_NAME.search(name):
            yield value


def labels(job: BuildJob, home: str, built: str) -> Mapping[str, str]:
    """Who built it and in which bases; of an image that we planned also that no date in it matters, and whether its
    base may change."""
    found = {"leeward.home": home, "leeward.app": job.app} | ({BUILT: built} if built else {})
    if job.plan.strategy != Strategy.AUTO:
        return found
    last = re.split(r"^FROM ", job.plan.dockerfile, flags=re.M)[-1]
    return {**found, "leeward.planned": "true", REBASABLE: str("apt-get install" not in last).lower()}


@contextlib.contextmanager
def workplace(run_dir: Path, prefix: str, secrets: Mapping[str, bytes]) -> Iterator[Path]:
    """A private folder with the secrets as files; gone afterwards."""
    run_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=run_dir))
    try:
        folder = work / "secrets"
        folder.mkdir(mode=0o700)
        for name, value in secrets.items():
            path = folder / name
            path.touch(0o600)
            path.write_bytes(value)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
