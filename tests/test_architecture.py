"""The shape of the house: arrows point down, files and functions stay small, nothing hides an error.

Each rule is a function from a module to complaints, so that the tests below can show it a bad module.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import subarch
from subarch import STAGES

SOURCE = Path(subarch.__file__).parent

LEVELS = {
    "errors": 0,
    "storage": 1,
    "arch": 3,
    "optimize": 3,
    "tasks": 3,
    "tracking": 3,
    "running": 3,
    "report": 4,
    "training": 4,
    "deploy": 4,
    "kinds": 5,
    "session": 5,
    "inputs": 6,
    "students": 7,
    "stages": 8,
    "dashboard": 8,
    # The way in: flags and recipe files, Python arguments, progress.
    "flags": 9,
    "recipe": 9,
    "terminal": 9,
    "api": 10,
    "command": 11,
    "cli": 12,
}
DASHBOARD_SEES = {"dashboard", "report", "tracking", "optimize", "errors", "storage"}
DRAWERS = {"utils", "util", "common", "helpers", "helper", "core", "manager", "misc"}
UNSAFE = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 50, 6


@dataclass(frozen=True)
class Module:
    path: str  # below src/subarch, with slashes
    text: str

    @property
    def room(self) -> str:
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, in functions and under TYPE_CHECKING too."""
    package = ["subarch", *module.path.split("/")[:-1]]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def arrows_point_down(module: Module) -> Iterator[str]:
    if module.path == "__init__.py":
        return
    if module.room not in LEVELS:
        yield f"{module.path}: room {module.room} has no level"
        return
    for line, name in imported(module):
        if not name.startswith("subarch."):
            continue
        room = name.split(".")[1]
        if room == "__version__" or room == module.room:
            continue
        if room not in LEVELS:
            yield f"{module.path}:{line}: {name} is in no known room"
        elif LEVELS[room] >= LEVELS[module.room]:
            yield f"{module.path}:{line}: {module.room} must not see {room}"
        elif module.room == "dashboard" and room not in DASHBOARD_SEES:
            yield f"{module.path}:{line}: the dashboard must not see {room}"


def top_level_import_is_light(module: Module) -> Iterator[str]:
    """`import subarch` loads its names lazily."""
    if module.path != "__init__.py":
        return
    for node in module.tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.startswith("subarch") and name not in ("subarch.errors", "subarch.version"):
                yield f"{module.path}:{node.lineno}: {name} is imported eagerly"


def ray_has_one_door(module: Module) -> Iterator[str]:
    for line, name in imported(module):
        if name.split(".")[0] == "ray" and module.path != "running/ray_executor.py":
            yield f"{module.path}:{line}: only running/ray_executor.py imports ray"


def sizes(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MAX_FILE:
        yield f"{module.path}: {lines} lines, at most {MAX_FILE}"
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = code_lines(node)
            if length > MAX_FUNCTION:
                yield f"{module.path}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION}"
            count = len(parameters(node))
            if count > MAX_PARAMETERS and not is_command(module, node):
                yield f"{module.path}:{node.lineno}: {node.name} takes {count} values, not {MAX_PARAMETERS}"


def is_command(module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """The parameters of a command are its flags, which have a budget of their own."""
    return module.room == "cli" and any("command" in ast.unparse(decorator) for decorator in node.decorator_list)


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its `def`, its docstring left out."""
    total = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is None:
        return total
    return total - (node.body[0].end_lineno - node.body[0].lineno + 1)


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    names = [argument.arg for argument in [*listed, *starred]]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def no_drawers(module: Module) -> Iterator[str]:
    for part in module.path.removesuffix(".py").split("/"):
        if part.strip("_") in DRAWERS:
            yield f"{module.path}: {part} says nothing about what is inside"


def errors_are_named(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = [part and ast.unparse(part).removeprefix("builtins.") for part in caught]
            if {None, "Exception", "BaseException"} & set(names):
                yield f"{module.path}:{node.lineno}: an except clause names the errors that it expects"


def nothing_prints(module: Module) -> Iterator[str]:
    if module.room in ("command", "cli"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{module.path}:{node.lineno}: only the command line prints"


def nothing_unpickles(module: Module) -> Iterator[str]:
    for line, name in imported(module):
        if name.split(".")[0] in UNSAFE or name == "torch.load":
            yield f"{module.path}:{line}: {name} runs code that it reads"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            yield f"{module.path}:{node.lineno}: torch.load runs code that it reads"


def kinds_have_one_room(module: Module) -> Iterator[str]:
    """Who wants to know what a task's kind is asks `kinds.registry.kind_of(task)` for an attribute.

    The rooms below `kinds` cannot: the readers and scores in `tasks` still compare.
    """
    if module.room in ("kinds", "tasks"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(side, ast.Attribute) and ast.unparse(side).endswith("task.kind")
            for side in (node.left, *node.comparators)
        ):
            yield f"{module.path}:{node.lineno}: a kind of task is compared outside kinds/"


def a_stage_is_a_command(module: Module) -> Iterator[str]:
    """What a command is made of lies in a folder beside it."""
    folder, _, name = module.path.rpartition("/")
    if folder == "stages" and name.removesuffix(".py") not in (*STAGES, "describe", "__init__"):
        yield f"{module.path}: stages holds one file a command, and this is none"


def says_what_it_is(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.path}: the module has no docstring"


RULES = [
    arrows_point_down,
    top_level_import_is_light,
    ray_has_one_door,
    sizes,
    no_drawers,
    errors_are_named,
    nothing_prints,
    nothing_unpickles,
    kinds_have_one_room,
    a_stage_is_a_command,
    says_what_it_is,
]

MODULES = [
    Module(file.relative_to(SOURCE).as_posix(), file.read_text(encoding="utf-8"))
    for file in sorted(SOURCE.rglob("*.py"))
]


def test_the_walk_finds_the_rooms():
    rooms = {module.room for module in MODULES}
    assert {
        "errors",
        "storage",
        "arch",
        "optimize",
        "tasks",
        "tracking",
        "running",
        "report",
        "training",
    } <= rooms


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps(rule):
    complaints = [complaint for module in MODULES for complaint in rule(module)]
    assert not complaints, "\n".join(complaints)


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * MAX_FUNCTION
LONG_DOCSTRING = 'def f():\n    """One.\n' + "    more\n" * 60 + '    """\n    return 1\n'


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (arrows_point_down, "arch/space.py", "from subarch.stages.extract import extract"),
        (arrows_point_down, "arch/space.py", "def f():\n    import subarch.training.loop"),
        (arrows_point_down, "arch/space.py", "if TYPE_CHECKING:\n    from subarch.tasks.base import Task"),
        (arrows_point_down, "arch/space.py", "from ..tasks import base"),
        (arrows_point_down, "arch/space.py", "from subarch import tasks"),
        (arrows_point_down, "errors.py", "from subarch import storage"),
        (arrows_point_down, "report/html.py", "from subarch.training.loop import train"),
        (arrows_point_down, "stages/extract.py", "from subarch.dashboard import app"),
        (arrows_point_down, "dashboard/app.py", "from subarch.training.loop import train"),
        (arrows_point_down, "dashboard/app.py", "from subarch.tasks.base import Task"),
        (arrows_point_down, "attic/old.py", "x = 1"),
        (top_level_import_is_light, "__init__.py", "from subarch.stages.extract import extract"),
        (top_level_import_is_light, "__init__.py", "import subarch.arch"),
        (ray_has_one_door, "running/executor.py", "def f():\n    import ray"),
        (ray_has_one_door, "stages/extraction.py", "from ray.train import Trainer"),
        (sizes, "arch/a.py", "x = 1\n" * (MAX_FILE + 1)),
        (sizes, "arch/a.py", LONG_FUNCTION),
        (sizes, "arch/a.py", "def f(a, b, c, d, *, e, f, g): ..."),
        (sizes, "arch/a.py", "class A:\n    def f(self, a, b, c, d, e, f, *g): ..."),
        (no_drawers, "arch/utils.py", ""),
        (no_drawers, "common/a.py", ""),
        (no_drawers, "arch/_helpers.py", ""),
        (errors_are_named, "arch/a.py", "try:\n    x\nexcept Exception:\n    y"),
        (errors_are_named, "arch/a.py", "try:\n    x\nexcept:\n    y"),
        (errors_are_named, "arch/a.py", "try:\n    x\nexcept (ValueError, BaseException):\n    y"),
        (nothing_prints, "arch/a.py", "def f():\n    print(1)"),
        (nothing_unpickles, "arch/a.py", "import pickle"),
        (nothing_unpickles, "arch/a.py", "from torch import load"),
        (nothing_unpickles, "arch/a.py", "torch.load(path)"),
        (kinds_have_one_room, "stages/a.py", "if data.task.kind == 'span':\n    x"),
        (kinds_have_one_room, "training/a.py", "x = task.kind in ('choice', 'span')"),
        (a_stage_is_a_command, "stages/saving.py", ""),
        (says_what_it_is, "arch/a.py", "x = 1"),
    ],
)
def test_rule_sees(rule, path, text):
    assert list(rule(Module(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (
            arrows_point_down,
            "arch/space.py",
            "import torch\nfrom subarch.arch.costs import x\nfrom .costs import x",
        ),
        (arrows_point_down, "stages/extract.py", "from subarch.optimize import fptas"),
        (arrows_point_down, "dashboard/app.py", "from subarch.report import figures"),
        (top_level_import_is_light, "__init__.py", "def __getattr__(name):\n    from subarch.api import f"),
        (ray_has_one_door, "running/ray_executor.py", "import ray"),
        (ray_has_one_door, "arch/a.py", "import array"),
        (sizes, "arch/a.py", LONG_DOCSTRING),
        (sizes, "arch/a.py", "class A:\n    def f(self, a, b, c, d, e, f): ..."),
        (no_drawers, "arch/score.py", ""),
        (errors_are_named, "arch/a.py", "try:\n    x\nexcept (OSError, ValueError):\n    y"),
        (nothing_prints, "cli.py", "print(1)"),
        (nothing_unpickles, "arch/a.py", "from safetensors.torch import load_file"),
        (a_stage_is_a_command, "stages/evaluate.py", ""),
        (a_stage_is_a_command, "stages/finetuning/saving.py", ""),
        (kinds_have_one_room, "kinds/a.py", "x = task.kind == 'span'"),
        (kinds_have_one_room, "report/search/a.py", "x = parameter.kind == 'choice'"),
    ],
)
def test_rule_lets_pass(rule, path, text):
    assert not list(rule(Module(path, text)))
