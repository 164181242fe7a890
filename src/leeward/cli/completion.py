"""Print what a shell needs to complete `lee`."""

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")], /, *, as_json: Json = False
) -> int:
    """Print the completion script of a shell.

    For bash: lee completion bash > /etc/bash_completion.d/lee
    """
    from leeward.cli.main import build

    # Not as `shell=`: that word is for what this code base never does.
    wanted: dict[str, Any] = {"shell": shell}
    script = build().generate_completion(**wanted)
    if as_json:
        return output.as_json({"shell": shell, "script": script})
    print(script)
    return 0
