"""README and docs/ hold: commands parse, the cheap ones run, files and make targets exist, links lead somewhere."""

import contextlib
import dataclasses
import io
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cyclopts import CycloptsError

from subarch.api import CONFIGS, configured
from subarch.cli import DataFlags, RunFlags, app
from subarch.flags import ForesightFlags
from subarch.recipe import parse_settings, read_recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = {path.name for path in (ROOT / "src" / "subarch").iterdir() if (path / "__init__.py").exists()}
TOP = {"docs", "recipes", "tests", "benchmarks", "src"}
by_name = {"ids": lambda value: value.name if isinstance(value, Path) else str(value)[:60]}


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}: {self.text.splitlines()[0] if self.text else ''}"


def blocks(page: Path, language: str) -> Iterator[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    yield from (Block(page, name, text) for name, text in found if name == language)


def commands(*programs: str) -> list[list[str]]:
    """The words of every command of these programs in all shell blocks, and of those in a recipe's comments."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.text.splitlines()]
    for recipe in (ROOT / "recipes").glob("*.toml"):
        comments = (line.lstrip("# ") for line in recipe.read_text(encoding="utf-8").splitlines() if line[:1] == "#")
        lines += [line for line in comments if line.split(" ")[0] in programs]
    found = [shlex.split(line, comments=True) for line in lines if line.strip()]
    unique = {tuple(words): words for words in found if words and words[0] in programs}
    return list(unique.values())


def parse(words: list[str]):
    """The function and its bound arguments; raises for an unknown command or flag, or an unsuitable value."""
    return app.parse_args(words[1:], exit_on_error=False, print_error=False)


def tree_paths(text: str) -> Iterator[str]:
    """Paths of a drawn tree: a name a line, two spaces a level, the description after two more."""
    folder = ""
    for line in text.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            yield name
        else:
            yield folder + name


def test_there_are_pages_and_commands() -> None:
    assert {page.stem for page in PAGES} > ROOMS & {"arch", "tasks", "training", "optimize", "deploy"}
    assert len(commands("subarch")) > 8 and len(commands("make")) > 2


@pytest.mark.parametrize("words", commands("subarch"), ids=" ".join)
def test_the_command_parses(words: list[str]) -> None:
    function, bound, _ = parse(words)
    assert function.__name__ == words[1]
    if "run" in bound.arguments:
        check_configuration(words[1], bound.arguments)


def check_configuration(stage: str, arguments: dict[str, Any]) -> None:
    """Flags, recipe and `--set` together make a complete configuration; one that does not raises ConfigError."""
    run: RunFlags = arguments["run"]
    if "recipe_file" in arguments:
        run = dataclasses.replace(run, recipe=arguments["recipe_file"])
    if stage == "search" and run.recipe is None:
        return  # the folder of a search that began says the rest
    flags: dict[str, Any] = {"out": run.out}
    for name, value in arguments.items():
        if isinstance(value, ForesightFlags):
            flags["out"] = Path("out")  # it writes nothing, and needs none
        elif name == "estimate":
            flags["out"] = Path("out") if value else flags["out"]
        elif dataclasses.is_dataclass(value) and name != "run":
            flags |= value.settings() if hasattr(value, "settings") else dataclasses.asdict(value)
        elif name not in ("run", "recipe_file"):
            flags[name] = value
    section = read_recipe(ROOT / run.recipe, stage) if run.recipe else {}
    configured(stage, section, parse_settings(run.settings), {k: v for k, v in flags.items() if v is not None})


@pytest.mark.parametrize(
    "line", ["subarch compress --taecher a", "subarch shrink a", "subarch latency a b --threads two"]
)
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises(CycloptsError):
        parse(shlex.split(line))


def test_every_command_is_in_the_readme_table() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `subarch (\w+)` \|", text, re.MULTILINE))
    assert named == {*CONFIGS, "describe"}


def test_every_flag_of_the_guide_exists() -> None:
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    named = {flag for flag in re.findall(r"--[a-z][a-z-]+", re.sub(r"```sh.*?```", "", text, flags=re.DOTALL))}
    help_text = io.StringIO()
    with contextlib.redirect_stdout(help_text):
        for command in CONFIGS:
            app([command, "--help"], result_action="return_value")
    assert named <= set(re.findall(r"--[a-z][a-z-]+", help_text.getvalue()))


def test_the_guide_names_every_flag_of_compress() -> None:
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    flags = {name.replace("_", "-") for name in DataFlags.__dataclass_fields__} | {"out", "recipe", "set", "json"}
    missing = [flag for flag in sorted(flags | {"teacher", "budget", "seed"}) if f"--{flag}" not in text]
    assert not missing


@pytest.mark.parametrize("words", commands("make"), ids=" ".join)
def test_the_make_target_exists(words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(words[1:]) <= set(targets)


@pytest.mark.parametrize("words", commands("python"), ids=" ".join)
def test_the_script_exists_and_has_the_flags(words: list[str]) -> None:
    script = f"src/{words[2].replace('.', '/')}.py" if words[1] == "-m" else words[1]
    source = (ROOT / script).read_text(encoding="utf-8")
    assert all(f'"{word}"' in source for word in words[2:] if word.startswith("--"))


def test_describe_prints_what_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = [words for words in commands("subarch") if words[1] == "describe"]
    (shown,) = blocks(PAGES[0], "text")
    assert app(words[1:], result_action="return_value") == 0
    assert capsys.readouterr().out == shown.text


def test_help_answers() -> None:
    help_text = io.StringIO()
    with contextlib.redirect_stdout(help_text):
        app(["--help"], result_action="return_value")
    assert all(command in help_text.getvalue() for command in (*CONFIGS, "describe"))


def test_make_help_answers() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "make quickstart" in shown and "make test" in shown


PYTHON = [block for page in PAGES for block in blocks(page, "python")]


@pytest.mark.parametrize("block", PYTHON, **by_name)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block.page), "exec")


def test_python_about_describe_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [block for block in PYTHON if "subarch.describe" in block.text]
    exec(compile(block.text, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bort 751") and lines[1].split()[1:] == lines[0].split()[1:]


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "toml")], **by_name)
def test_toml_makes_a_configuration(block: Block) -> None:
    for stage, settings in tomllib.loads(block.text).items():
        configured(stage, settings, {"out": "out"})


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, **by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, **by_name)
def test_named_files_exist(page: Path) -> None:
    for name in re.findall(r"`([\w.-]+/[\w./-]+)`", page.read_text(encoding="utf-8")):
        first = name.split("/")[0]
        if first in TOP | ROOMS:
            home = ROOT if first in TOP else ROOT / "src" / "subarch"
            assert (home / name).exists(), f"{page.name} names {name}"


def test_the_tree_is_true() -> None:
    (tree,) = blocks(PAGES[0], "tree")
    named = set(tree_paths(tree.text))
    assert not [name for name in named if not (ROOT / name).exists()]
    source = ROOT / "src" / "subarch"
    there = {f"src/subarch/{path.name}{'/' if path.is_dir() else ''}" for path in source.iterdir()}
    unnamed = {name for name in there if not re.search(r"__|py\.typed", name)} - named
    assert not unnamed


@pytest.mark.parametrize("page", PAGES, **by_name)
def test_a_page_mentions_every_room_it_is_about(page: Path) -> None:
    if page.stem in ROOMS:
        assert page.read_text(encoding="utf-8").startswith(f"# {page.stem}: ")


def test_every_room_has_its_page() -> None:
    assert {page.stem for page in PAGES} >= ROOMS - {"stages"}
