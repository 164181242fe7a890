"""Write down what our buildpacks and their images are told beside the app's own variables. Pure."""

import json
import re
from collections.abc import Iterable, Mapping

from leeward.builders import system_packages
from leeward.builders.blueprint import Env, Packages, Stage
from leeward.builders.cnb import hooks as words_for_hooks
from leeward.builders.cnb import static
from leeward.builders.foreign import Said, texts
from leeward.builders.loose import mapping
from leeward.builders.providers.provider import Context, Contribution

RUN_ENV = "LEEWARD_ENV"
RUN_PACKAGES, BUILD_PACKAGES = "LEEWARD_RUN_PACKAGES", "LEEWARD_BUILD_PACKAGES"
_OURS = re.compile(r"LEEWARD_(?!BUILD_CACHE$)[A-Z_]+")
# Variables of the image that the launcher or a buildpack sets itself.
_SET_BY_LAYERS = re.compile(r"PATH|HOME|PORT|VIRTUAL_ENV|NODE_ENV|PYTHON(?!PATH).*")
# On the platform that it comes from, it runs before the dependencies are installed.
_FIRST = "bin/pre_compile"


def words(context: Context, name: str, part: Contribution | None, output: str) -> dict[str, str]:
    """Arguments of a build by our own buildpacks, of which `name` leads."""
    found = {static.OUTPUT: output} if output and output != "." else {}
    run, build = packages(context, part)
    found |= {word: " ".join(names) for word, names in ((RUN_PACKAGES, run), (BUILD_PACKAGES, build)) if names}
    told = hooks(context, name)
    found |= {words_for_hooks.GIVEN: json.dumps(told)} if told else {}
    return found | run_env(context, part)


def run_env(context: Context, part: Contribution | None) -> dict[str, str]:
    """Variables of the image: what the code was found to need, and the defaults that files of other platforms give."""
    last = part.blueprint.stages[-1].steps if part and part.blueprint.stages else ()
    env = {key: value for step in last if isinstance(step, Env) for key, value in step.values.items()}
    env = {
        key: re.sub(r"/app\b", "/workspace", value)
        for key, value in sorted(env.items())
        if not _SET_BY_LAYERS.fullmatch(key) and "$" not in value
    }
    told = context.foreign
    env |= {name: said[0] for name, said in sorted({**told.env, **told.run_env}.items())}
    return {RUN_ENV: json.dumps(env)} if env else {}


def image_env(args: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of the image, out of the arguments of a build."""
    try:
        return {str(key): str(value) for key, value in mapping(json.loads(args.get(RUN_ENV, "{}"))).items()}
    except ValueError:
        return {}


def ours(name: str) -> bool:
    """Whether an argument is a word between our planner and our buildpacks."""
    return _OURS.fullmatch(name) is not None


def packages(context: Context, part: Contribution | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Debian packages for the image, and for the build. Raises Invalid for what is no package name."""
    said = [(name, context.said("build.packages")) for name in context.spec.build.packages]
    stages = part.blueprint.stages if part else ()
    run = {*_installed(stages[-1:]), *_names([*said, *context.foreign.run_packages])}
    build = {*_installed(stages[:-1]), *_names([*said, *context.foreign.build_packages])}
    return tuple(sorted(run)), tuple(sorted(build))


def hooks(context: Context, name: str) -> dict[str, object]:
    """Commands of the user's own around what the leading buildpack does; empty when there are none."""
    told, install, build = context.foreign, context.install_command(), context.build_command()
    first = [said for said in told.build.before if said[1].file == _FIRST]
    steps: dict[str, object] = {
        "before": _texts(told.setup.before, told.setup.own or (), told.setup.after, first, told.install.before),
        "install": install[0] if install else "",
        "between": _texts(told.install.after, [said for said in told.build.before if said not in first]),
        "build": build[0] if build else "",
        "after": _texts(told.build.after),
    }
    found = {step: commands for step, commands in steps.items() if commands}
    return {"buildpack": name, **found} if found else {}


def _texts(*steps: Iterable[Said]) -> list[str]:
    return [text for step in steps for text in texts(step)]


def _installed(stages: Iterable[Stage]) -> list[str]:
    return [name for stage in stages for step in stage.steps if isinstance(step, Packages) for name in step.names]


def _names(said: list[Said]) -> list[str]:
    return [name for name, _ in system_packages.checked(said)]
