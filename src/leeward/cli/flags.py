"""Name the parameters that several commands share."""

from typing import Annotated

from cyclopts import Parameter

Json = Annotated[
    bool, Parameter(name="--json", negative=(), show_default=False, help="Print the answer as JSON on stdout.")
]
Detach = Annotated[
    bool, Parameter(name="--detach", negative=(), show_default=False, help="Return at once, do not wait for the end.")
]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False, help="Do not ask.")]
App = Annotated[str, Parameter(help="Name of the app.")]
Lines = Annotated[int, Parameter(name=["-n", "--lines"], help="How many, at most.")]
