"""See in a Python file, without importing it, which application it makes and which paths it answers.

Only module-level statements count, with those inside `if` and `try`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Class to the framework it belongs to, by the module it comes from.
APPLICATIONS: Mapping[tuple[str, str], str] = {
    ("fastapi", "FastAPI"): "fastapi",
    ("starlette.applications", "Starlette"): "starlette",
    ("litestar", "Litestar"): "litestar",
    ("flask", "Flask"): "flask",
    ("quart", "Quart"): "quart",
    ("sanic", "Sanic"): "sanic",
    ("fasthtml.common", "FastHTML"): "fasthtml",
    ("fasthtml.common", "fast_app"): "fasthtml",
    ("aiohttp.web", "Application"): "aiohttp",
    ("tornado.web", "Application"): "tornado",
    ("bottle", "Bottle"): "bottle",
    ("falcon.asgi", "App"): "falcon-asgi",
    ("falcon", "App"): "falcon",
    ("dash", "Dash"): "dash",
}
# A first look that costs nothing, before a file is parsed.
HINT = re.compile(
    r"\b(?:FastAPI|Starlette|Litestar|Flask|Quart|Sanic|FastHTML|fast_app|Application|Bottle|falcon|Dash)\b|\b(?:create|make|get|build)_(?:app|application)\b"
)
_FACTORY = re.compile(r"(?:create|make|get|build)_(?:app|application|api)|app_factory")
_USUAL = ("app", "application", "api", "server")
_GET = frozenset({"get", "route", "api_route"})


@dataclass(frozen=True, slots=True)
class Application:
    """An application that a file makes: a variable, or a function that returns it (`factory`)."""

    name: str
    framework: str
    line: int
    factory: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file says."""

    applications: tuple[Application, ...] = ()
    routes: tuple[tuple[str, int], ...] = ()
    """Paths that answer GET, with their lines."""
    imports: frozenset[str] = field(default_factory=frozenset)
    """First parts of the absolute imports."""
    no_openapi: bool = False


def read(module: ast.Module, frameworks: frozenset[str]) -> Reading:
    """Read a file; `frameworks` are those that the app depends on, for factories that come from elsewhere."""
    names = _imported(module)
    found: list[Application] = []
    mounted: set[str] = set()
    for statement in _statements(module.body):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name), *_], value=ast.Call() as call):
                _add(found, name, call, names, frameworks)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call):
                _add(found, name, call, names, frameworks)
            case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id=name), *_])], value=ast.Call() as call):
                _add(found, name, call, names, frozenset())
            case ast.AsyncFunctionDef(name=name) | ast.FunctionDef(name=name) if _FACTORY.fullmatch(name):
                framework = _made_in(statement, names)
                # Only one server waits for its application.
                if framework and (framework == "aiohttp" or isinstance(statement, ast.FunctionDef)):
                    found.append(Application(name, framework, statement.lineno, factory=True))
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="mount"), args=arguments)):
                mounted.update(argument.id for argument in arguments if isinstance(argument, ast.Name))
            case _:
                pass
    kept = [item for item in found if item.name not in mounted] or found
    return Reading(
        tuple(sorted(kept, key=_preference)),
        tuple(_routes(module, {item.name for item in found})),
        frozenset(name.partition(".")[0] for name in _modules(module)),
        any(keyword.arg == "openapi_url" for call in _calls(module) for keyword in call.keywords),
    )


def _preference(item: Application) -> tuple[bool, int, int]:
    """Variables before factories, usual names first."""
    return item.factory, _USUAL.index(item.name) if item.name in _USUAL else len(_USUAL), item.line


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            waiting += [*reversed(getattr(statement, "orelse", [])), *reversed(statement.body)]


def _imported(module: ast.Module) -> dict[str, tuple[str, str]]:
    """Local name to where it comes from: (module, name), the name '' for a module itself."""
    names: dict[str, tuple[str, str]] = {}
    for node in _statements(module.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0],
                    "",
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = (node.module or "", alias.name)
    return names


def _origin(function: ast.expr, names: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
    """The module and the name that a call's `a.b.C` stands for."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.insert(0, function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return None
    known = names.get(function.id)
    if known is None:
        # `from x import *` may have brought it.
        known = (names["*"][0], function.id) if "*" in names and not parts else None
    if known is None:
        return None
    path = [*(part for part in known if part), *parts]
    return ".".join(path[:-1]), path[-1]


def _framework(call: ast.Call, names: Mapping[str, tuple[str, str]]) -> str | None:
    origin = _origin(call.func, names)
    if origin is None:
        return None
    module, name = origin
    if exact := APPLICATIONS.get(origin):
        return exact
    for (known_module, known_name), framework in APPLICATIONS.items():
        if name == known_name and module.partition(".")[0] == known_module.partition(".")[0]:
            return framework
    return None


def _add(
    found: list[Application],
    name: str,
    call: ast.Call,
    names: Mapping[str, tuple[str, str]],
    frameworks: frozenset[str],
) -> None:
    framework = _framework(call, names)
    if framework is None and name in _USUAL and _calls_factory(call) and len(frameworks) == 1:
        (framework,) = frameworks
    if framework is not None:
        found.append(Application(name, framework, call.lineno))


def _calls_factory(call: ast.Call) -> bool:
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return bool(_FACTORY.fullmatch(name))


def _made_in(function: ast.FunctionDef | ast.AsyncFunctionDef, names: Mapping[str, tuple[str, str]]) -> str | None:
    arguments = function.args
    if len(arguments.args) - len(arguments.defaults) > 0:
        return None
    local = {**names, **_imported(ast.Module(body=function.body, type_ignores=[]))}
    return next((found for call in _calls(function) if (found := _framework(call, local))), None)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (child for child in ast.walk(node) if isinstance(child, ast.Call))


def _modules(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


def _routes(module: ast.Module, applications: set[str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr=attribute),
                    args=[ast.Constant(value=str(path)), *_],
                ) if attribute in _GET and name in applications:
                    if path.startswith("/") and len(path) < 200 and path.isprintable():
                        yield path, decorator.lineno
                case _:
                    pass
