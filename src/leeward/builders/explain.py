"""Say in words what a plan decided, and why. Pure."""

from collections.abc import Iterator

from leeward.model.build import BuildPlan, Decision


def explain(plan: BuildPlan) -> str:
    """The plan as a person reads it: each decision with file and line, then what to know."""
    lines = [_head(plan), ""]
    width = max((len(decision.topic) for decision in plan.decisions), default=0)
    for decision in plan.decisions:
        lines += _decision(decision, width)
    if plan.diagnostics:
        lines.append("")
    for note in plan.diagnostics:
        lines.append(f"{note.level}: {note.text}")
        if note.fix:
            lines.append(f"  fix: {note.fix}")
    return "\n".join(_shown(line) for line in lines) + "\n"


def _shown(line: str) -> str:
    """The line without what a terminal would obey: names and texts are a stranger's."""
    return "".join(character if character.isprintable() else " " for character in line)


def _head(plan: BuildPlan) -> str:
    tools = ", ".join(f"{tool} {version}" for tool, version in sorted(plan.versions.items()))
    names = " + ".join(plan.providers)
    return f"{names} app ({plan.strategy})" + (f", {tools}" if tools else "")


def _decision(decision: Decision, width: int) -> Iterator[str]:
    yield f"{decision.topic:<{width}}  {decision.chose}"
    indent = " " * (width + 2)
    for evidence in decision.because:
        yield f"{indent}because {evidence}"
    if decision.alternatives:
        yield f"{indent}else    {', '.join(decision.alternatives)}"
