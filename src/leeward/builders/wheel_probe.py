"""Ask the Python index which Python an app's pinned packages have wheels for."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from leeward.builders import bootstrap
from leeward.builders.process import output
from leeward.builders.tree import AppView
from leeward.builders.watch import usage
from leeward.builders.wheels_wanted import Wanted, command, wanted
from leeward.errors import LeewardError
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.ports import Say
from leeward.settings import Settings

# One answer takes half a second to six; an index that does not answer is no reason to keep a deploy waiting.
_ONE_S = 20.0
_ALL_S = 40.0
# An index that gave no answer is left alone for this long: other deploys do not wait for it too.
_SILENT_S = 600.0
# As uv says it: there is no solution. Anything else is no answer.
_NO_SOLUTION = 1
_KEPT = 256
_CACHE_BYTES = 256 * 1024 * 1024
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class WheelProbe:
    """Answers are kept for the same requirements; one look at a time, for uv's cache is shared."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[Wanted, str] = {}
        self._lock = asyncio.Lock()
        self._silent_until = 0.0

    async def find(self, tree: Path, spec: AppSpec, env: Mapping[str, str], plan: BuildPlan, say: Say) -> str | None:
        """The newest Python that all requirements have wheels for; None when nobody needs to know, or nobody knows."""
        if not self._settings.wheel_probe:
            return None
        view = AppView(tree).at(plan.context)
        asked = wanted(view, plan, env) if view else None
        if asked is None:
            return None
        async with self._lock:
            if asked in self._kept:
                return self._kept[asked]
            began = time.monotonic()
            if began < self._silent_until:
                say("wheels: the index gave no answer a while ago: the usual Python is used")
                return None
            try:
                async with asyncio.timeout(_ALL_S):
                    found = await self._ask(asked)
            except (TimeoutError, OSError, LeewardError) as error:
                self._silent_until = time.monotonic() + _SILENT_S
                say(f"wheels: the index gave no answer ({str(error) or 'time was up'}): the usual Python is used")
                return None
        if found is None:
            say("wheels: no Python has wheels for all requirements: the usual one is used")
            return None
        say(f"wheels: Python {found} has wheels for all requirements ({time.monotonic() - began:.1f} s)")
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[asked] = found
        return found

    async def _ask(self, asked: Wanted) -> str | None:
        self._settings.run_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="wheels-", dir=self._settings.run_dir) as name:
            work = Path(name)
            uv = await bootstrap.uv(work)
            file = work / "requirements.in"
            file.write_text("\n".join(asked.requirements) + "\n")
            cache = self._settings.home / "wheels"
            await asyncio.to_thread(_bound, cache)
            for version in asked.versions:
                argv = command(str(uv), str(file), version, sys.executable, str(cache))
                async with asyncio.timeout(_ONE_S):
                    code, text = await output(argv, env=self._env(work))
                if code == 0:
                    return version
                if code != _NO_SOLUTION:
                    raise OSError(next((line for line in text.splitlines() if line.strip()), "no reason given")[:200])
        return None

    def _env(self, work: Path) -> Mapping[str, str]:
        """Nothing of the control plane's own but how the world is reached."""
        env = {
            "PATH": os.defpath,
            "HOME": str(work),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_TIMEOUT": "10",
            "UV_HTTP_RETRIES": "1",
        }
        env |= {name: os.environ[name] for name in _PROXIES if name in os.environ}
        bundle = self._settings.build_ca or Path("/etc/ssl/certs/ca-certificates.crt")
        if bundle.is_file():
            env["SSL_CERT_FILE"] = str(bundle)
        if self._settings.build_pip_index:
            env["UV_DEFAULT_INDEX"] = self._settings.build_pip_index
        return env


def _bound(cache: Path) -> None:
    """What uv keeps of the index: begun anew when it is more than it saves."""
    if cache.is_dir() and usage(cache)[0] > _CACHE_BYTES:
        shutil.rmtree(cache, ignore_errors=True)
