"""One module for each language that the planner knows."""

from leeward.builders.providers.deno import Deno
from leeward.builders.providers.dotnet import Dotnet
from leeward.builders.providers.elixir import Elixir
from leeward.builders.providers.go import Go
from leeward.builders.providers.java import Java
from leeward.builders.providers.node import Node
from leeward.builders.providers.php import Php
from leeward.builders.providers.provider import Provider
from leeward.builders.providers.python import Python
from leeward.builders.providers.ruby import Ruby
from leeward.builders.providers.rust import Rust
from leeward.builders.providers.shell import Shell
from leeward.builders.providers.static import Static

# With equal scores the first one wins.
PROVIDERS: tuple[Provider, ...] = (
    Php(),
    Ruby(),
    Java(),
    Go(),
    Rust(),
    Elixir(),
    Dotnet(),
    Deno(),
    Python(),
    Node(),
    Shell(),
    Static(),
)

__all__ = ["PROVIDERS"]
