"""Put what other platforms' files say into the steps of a provider. Pure.

The code's own stage is the last one that copies the whole tree; what reaches an index before that is the installation.
"""

from collections.abc import Sequence
from dataclasses import replace

from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Packages, Run, Stage, User
from leeward.builders.foreign import Foreign, Said, texts
from leeward.builders.foreign_packages import DEBIAN_LANGUAGES
from leeward.builders.providers.provider import Context, Contribution
from leeward.builders.providers.static_site import write
from leeward.builders.system_packages import checked
from leeward.model.build import Decision

_TREE = "."


def apply(context: Context, part: Contribution) -> Contribution:
    """The provider's part with everything that was brought. Raises Invalid for what is no package's name."""
    told = context.foreign
    beside = _beside(context, part)
    run = checked([*told.run_packages, *beside])
    build = checked([*told.build_packages, *beside])
    stages = _commands(list(part.blueprint.stages), context, context.secrets(""))
    stages = _without_caches(_with_caches(stages, told), told)
    names = {stage.name for stage in stages}
    last = len(stages) - 1
    for place, stage in enumerate(stages):
        if stage.base in names:
            continue
        wanted = run if place == last else build
        env = {**told.env, **(told.run_env if place == last else told.build_env)}
        steps = _packages(stage.steps, wanted)
        # After what the provider says of the same variables, before anything that could use them.
        head = next((at for at, step in enumerate(steps) if isinstance(step, Copy | Run | User)), len(steps))
        ours = (*_env(env, told.paths), *_assets(told))
        stages[place] = replace(stage, steps=(*steps[:head], *ours, *steps[head:]))
    ran = tuple(step for stage in stages for step in stage.steps if isinstance(step, Run))
    seen = {name for step in ran for name in step.secrets}
    brought = decisions(told, run, build)
    return replace(
        part,
        blueprint=Blueprint(tuple(stages), part.blueprint.command),
        secrets=tuple(sorted({*part.secrets, *seen})),
        decisions=(*part.decisions, *brought),
        ignore=(*part.ignore, *texts(told.excluded), *_needed(told, part)),
    )


def _needed(told: Foreign, part: Contribution) -> tuple[str, ...]:
    """No rule of another platform hides what the steps copy by name."""
    return tuple(f"!{path}" for path in part.key_files) if told.excluded else ()


def _beside(context: Context, part: Contribution) -> list[Said]:
    """A language beside the app's own comes from Debian."""
    found: list[Said] = []
    told = context.foreign
    for tool, version, evidence in told.tools:
        if tool in part.versions:
            continue
        context.used.add(f"{tool.upper()}_VERSION")
        packages = DEBIAN_LANGUAGES.get(tool)
        if packages is None:
            what = f"asks for {tool} beside the app's own language, which Debian does not have"
            told.note(evidence, what, "build the image with a Dockerfile of your own")
            continue
        if version:
            what = f"asks for {tool} {version} beside the app's own language: Debian's {tool} is installed"
            told.note(evidence, what, "split the app in two, or write a Dockerfile", level="info")
        found += [(name, evidence) for name in packages]
    return found


def decisions(told: Foreign, run: Sequence[Said], build: Sequence[Said]) -> list[Decision]:
    """What was brought for the image, the build, and around its steps."""
    found = []
    both = {said for said in told.run_packages if said in told.build_packages}
    for topic, asked in (("packages of the image", run), ("packages of the build", build)):
        # What is for both stands among the provider's system packages.
        if packages := [said for said in asked if said not in both]:
            because = tuple(dict.fromkeys(evidence for _, evidence in packages))
            found.append(Decision(topic, " ".join(dict.fromkeys(texts(packages))), because))
    every = {**told.env, **told.run_env, **told.build_env}
    if every:
        because = tuple(dict.fromkeys(evidence for _, evidence in every.values()))
        found.append(Decision("variables", " ".join(sorted(every)), because))
    for topic, commands in (("setup", told.setup), ("install", told.install), ("build", told.build)):
        for when, said in (("before", commands.before), ("after", commands.after)):
            if said:
                because = tuple(evidence for _, evidence in said)
                found.append(Decision(f"commands {when} {topic}", "; ".join(texts(said)), because))
    return found


def _packages(steps: tuple[Instruction, ...], wanted: Sequence[Said]) -> tuple[Instruction, ...]:
    """The steps with these packages among theirs."""
    there = {name for step in steps if isinstance(step, Packages) for name in step.names}
    missing = [name for name in dict.fromkeys(texts(wanted)) if name not in there]
    if not missing:
        return steps
    place = next((place for place, step in enumerate(steps) if isinstance(step, Packages)), None)
    if place is None:
        return (Packages(tuple(sorted(missing))), *steps)
    joined = Packages(tuple(sorted({*there, *missing})))
    return (*steps[:place], joined, *steps[place + 1 :])


def _env(env: dict[str, Said], paths: Sequence[Said]) -> tuple[Instruction, ...]:
    found: list[Instruction] = []
    if env:
        found.append(Env({name: value for name, (value, _) in env.items()}, literal=True))
    if paths:
        found.append(Env({"PATH": ":".join((*dict.fromkeys(texts(paths)), "$PATH"))}))
    return tuple(found)


def _assets(told: Foreign) -> tuple[Instruction, ...]:
    if not told.assets:
        return ()
    commands = [write(f"/assets/{name}", text.splitlines()) for name, (text, _) in sorted(told.assets.items())]
    return (Run(("mkdir -p /assets", *commands)),)


# --- commands and caches ------------------------------------------------------------------------------------


def _commands(stages: list[Stage], context: Context, secrets: tuple[str, ...]) -> list[Stage]:
    told = context.foreign
    at, place = _code(stages)
    where = _installation(stages)
    if where is None:
        # Nothing is installed: what was to run around that runs before the build.
        told.build.before[:0] = [*told.install.before, *told.install.after]
    if at is None:
        for text, evidence in (*told.build.before, *told.build.after):
            told.note(evidence, f"'{text[:60]}' does not run: the files are taken as they are", "name build.command")
    else:
        steps, final = list(stages[at].steps), at == len(stages) - 1
        first = place + 1
        while first < len(steps) and isinstance(steps[first], User):
            first += 1
        end = _end(steps, first, final)
        after = _runs(told.build.after, context, secrets)
        before = _runs(told.build.before, context, secrets)
        steps[end:end] = after
        steps[first:first] = before
        stages[at] = replace(stages[at], steps=tuple(steps))
    if where := _installation(stages):
        at, place = where
        steps = list(stages[at].steps)
        steps[place + 1 : place + 1] = _runs(told.install.after, context, secrets)
        steps[place:place] = _runs(told.install.before, context, secrets)
        stages[at] = replace(stages[at], steps=tuple(steps))
    if setup := _runs([*told.setup.before, *(told.setup.own or ()), *told.setup.after], context, secrets):
        head = stages[0]
        place = max((i + 1 for i, step in enumerate(head.steps) if isinstance(step, Packages)), default=0)
        stages[0] = replace(head, steps=(*head.steps[:place], *setup, *head.steps[place:]))
    return stages


def _runs(said: Sequence[Said], context: Context, secrets: tuple[str, ...]) -> list[Instruction]:
    fingerprint = context.fingerprint(secrets)
    return [Run((text,), network=True, verbatim=True, secrets=secrets, fingerprint=fingerprint) for text, _ in said]


def _code(stages: Sequence[Stage]) -> tuple[int | None, int]:
    """The stage and the step that bring the whole tree, the last of them."""
    for at in range(len(stages) - 1, -1, -1):
        for place in range(len(stages[at].steps) - 1, -1, -1):
            step = stages[at].steps[place]
            if isinstance(step, Copy) and not step.stage and step.sources == (_TREE,):
                return at, place
    return None, 0


def _end(steps: Sequence[Instruction], first: int, final: bool) -> int:
    """Where the build has ended: what follows only puts its result aside."""
    runs = [place for place in range(first, len(steps)) if isinstance(steps[place], Run)]
    if final:
        return runs[-1] + 1 if runs else first
    for place in reversed(runs):
        step = steps[place]
        if isinstance(step, Run) and (step.network or step.verbatim):
            return place + 1
    return first


def _installation(stages: Sequence[Stage]) -> tuple[int, int] | None:
    """The stage and the step that install the dependencies: before the code, or with all of it."""
    code = _code(stages)
    for at, stage in enumerate(stages):
        for place, step in enumerate(stage.steps):
            if isinstance(step, Run) and step.network and step.caches:
                return (at, place) if code[0] is None or (at, place) < (code[0], code[1]) else None
    return None


def _without_caches(stages: list[Stage], told: Foreign) -> list[Stage]:
    names = set(texts(told.without_caches))
    if not names:
        return stages
    return [
        replace(
            stage,
            steps=tuple(
                replace(step, caches=tuple(c for c in step.caches if "*" not in names and c.name not in names))
                if isinstance(step, Run)
                else step
                for step in stage.steps
            ),
        )
        for stage in stages
    ]


def _with_caches(stages: list[Stage], told: Foreign) -> list[Stage]:
    if not told.install_caches and not told.build_caches:
        return stages
    install, code = _installation(stages), _code(stages)
    # Where nothing is installed by itself, the build keeps what the installation was to keep.
    build = [*told.build_caches, *(told.install_caches if install is None else ())]
    found, kept = [], set()
    for at, stage in enumerate(stages):
        steps, plain = list(stage.steps), True
        for place, step in enumerate(steps):
            plain = plain and not isinstance(step, User)
            if not isinstance(step, Run) or not plain or not (step.network or step.verbatim):
                continue
            wanted = build if code[0] == at and place > code[1] else ()
            wanted = told.install_caches if (at, place) == install else wanted
            steps[place] = replace(step, caches=(*step.caches, *_caches(step, wanted)))
            kept |= set(texts(wanted))
        found.append(replace(stage, steps=tuple(steps)))
    for text, evidence in (*told.install_caches, *told.build_caches):
        if text not in kept:
            told.note(evidence, f"'{text[:60]}' is not kept between builds: no command of ours writes it", level="info")
    return found


def _caches(step: Run, wanted: Sequence[Said]) -> list[Cache]:
    there = {cache.target for cache in step.caches}
    targets = dict.fromkeys(_target(text) for text in texts(wanted))
    return [Cache(_slug(target), target) for target in targets if target not in there]


def _target(path: str) -> str:
    path = path.rstrip("/")
    if path.startswith(("~/", "$HOME/")):
        return "/root/" + path.partition("/")[2]
    return path if path.startswith("/") else f"/app/{path.removeprefix('./')}"


def _slug(path: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in path.strip("/"))[:80]
