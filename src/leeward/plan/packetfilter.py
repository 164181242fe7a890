"""Read what the packet filter holds, as `iptables -S` prints it. Pure."""

# Every chain of ours begins so: whoever takes us away finds them by it.
OURS = "LEEWARD"


def rules_of(saved: str, chain: str) -> tuple[str, ...]:
    """The rules of a chain, in their order, without the words that name the chain."""
    start = f"-A {chain} "
    return tuple(line.strip().removeprefix(start) for line in saved.splitlines() if line.startswith(start))


def leads(saved: str, chain: str, jump: str) -> bool:
    """Whether a jump stands in a chain once, with nothing before it but other jumps of ours."""
    rules = rules_of(saved, chain)
    if rules.count(jump) != 1:
        return False
    return all(f" -j {OURS}-" in rule for rule in rules[: rules.index(jump)])
