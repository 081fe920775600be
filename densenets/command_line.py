"""From words on a line to a dataclass: default < YAML < flag. Imports no torch, so that --help answers at once.

jsonargparse does the typing. Five things users expect and it does not do are added here: `--config` counts the same
wherever it stands, hyphens and underscores both work, a list takes several words, a switch needs no value, and an
error is one line that lists the choices.
"""

import difflib
import json
import os
import re
from argparse import HelpFormatter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, Namespace

from densenets.errors import InputError, StorageError, printable
from densenets.files import check_yaml

Settings = TypeVar("Settings")
PACKAGE = Path(__file__).resolve().parent
OWN_FLAGS = ("help", "print_config")  # jsonargparse's own
UNION = re.compile(
    r"Does not validate against any of the Union subtypes Subtypes: \[(.*)\] Errors: .*Given value: (.*)$"
)
KIND = re.compile(r"[\w.]+(?:\[(?:[^\[\]]|\[[^\[\]]*\])*\])?")  # such as list[list[float]]
REQUIRED = re.compile(r"the following arguments are required: (.*)$")
SHOWN = 200  # characters of a value that is too long to show
CONFIG_FOLDERS = (PACKAGE / "configs", PACKAGE.parent / "configs")  # installed; in a checkout


class Parser(ArgumentParser):
    """An ArgumentParser that raises InputError in one line, and shows its flags with hyphens."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(_one_line(message, [*self._option_string_actions]))

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        hyphens = re.sub(r"--[a-z_.]+", lambda match: match[0].replace("_", "-"), super().format_help(formatter))
        plain = hyphens.replace(", --size+ SIZE", "")
        return re.sub(r"usage:.*?\n\n", f"usage: {self.prog} [--config NAME] [--FLAG VALUE ...]\n\n", plain, flags=re.S)


def parse(
    settings: type[Settings],
    argv: Sequence[str],
    prog: str,
    default_config: str | None = None,
    judge_run: Callable[[str, object], None] = lambda place, head: None,
) -> Settings:
    """The settings that `argv` asks for. Raises InputError; --help and --print-config end the program.

    default_config: name of the configuration (and of its data) that holds where no flag names another. judge_run: is
    told of a run to be resumed and of its settings' head; raises InputError for one that is not for this command.
    """
    kinds = dict(_kinds(settings))
    folder = getattr(settings, "configs", "*")
    words = _normalise(argv, kinds, folder)
    resumed = next((word.partition("=")[2] for word in words if word.startswith("--resume=")), "auto")
    if resumed != "auto":  # which repeats the flags of the first start
        for file in _config_of_run(Path(resumed)):
            judge_run(resumed, _read_config(file).get("head"))
            words.insert(0, f"--config={file}")
    elif default_config and not any(_names_data(word, default_config) for word in words):
        words.insert(0, f"--config={find_config(default_config, folder)}")
    words = [_own_config(word, settings) if word.startswith("--config=") else word for word in words]
    parser = Parser(prog=prog, description=(settings.__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--config", action="config", help="YAML file, or the name of one that comes with densenets")
    parser.add_class_arguments(settings)
    try:
        chosen = parser.parse_args(words)
    except (ValueError, OverflowError, RecursionError, OSError) as fault:  # what its parsers of values let through
        if isinstance(fault, OSError) and fault.filename is None:  # what --print-config writes to
            raise StorageError(f"stdout: cannot be written: {fault.strerror}") from fault
        raise InputError(f"a value cannot be read: {_plain(fault)}") from fault
    return _build(settings, chosen)


def _build(settings: type[Settings], chosen: Namespace) -> Settings:
    hints = get_type_hints(settings)
    values = {f.name: chosen[f.name] for f in fields(settings)}  # type: ignore[arg-type]
    for name, value in values.items():
        if value is None and NoneType not in get_args(hints[name]):  # jsonargparse lets it through
            raise InputError(f"--{name.replace('_', '-')}: null: a value is needed")
        if is_dataclass(hints[name]):
            values[name] = value if is_dataclass(value) else _build(hints[name], value)
    return settings(**values)


def find_config(name: str, task: str = "*") -> Path:
    """A YAML file by its path, or by the name of one that comes with the package, among those of a task."""
    if os.path.lexists(name):
        return Path(name)
    named, _, wanted = name.removesuffix(".yaml").rpartition("/")
    folders = [folder / (named or task) for folder in CONFIG_FOLDERS]
    known = {path.stem: path for folder in folders for path in sorted(folder.parent.glob(f"{folder.name}/*.yaml"))}
    if wanted in known:
        return known[wanted]
    raise InputError(f"--config: {printable(name)}: no such file, nor a name among {', '.join(sorted(known))}")


def _read_config(file: Path) -> dict[Any, Any]:
    """Raises InputError unless the file is small plain YAML of names and values."""
    check_yaml(file)
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise InputError(f"{printable(file)}: not valid YAML: {_plain(fault)} [X04]") from fault
    if not isinstance(document, dict):
        raise InputError(f"{printable(file)}: holds no settings; expected lines such as batch_size: 16")
    return document


def _own_config(word: str, settings: Any) -> str:
    """The word of a file, or its content without what is for other commands. Raises InputError unless the file names
    settings only.

    jsonargparse would take the name of a file or of a class for a group of settings, read the one, import the other.
    """
    file = Path(word.partition("=")[2])
    document = _read_config(file)
    try:
        own = {name: value for name, value in document.items() if not _passes(name, value, settings)}
        _check_names(own, settings, "")
    except InputError as fault:
        raise InputError(f"{printable(file)}: {fault}") from None
    return word if len(own) == len(document) else f"--config={yaml.safe_dump(own, default_flow_style=True)}"


def _passes(name: object, value: object, settings: Any) -> bool:
    """Whether a name is none of `settings` but of others whose files it takes too, see its `lets_pass`."""
    if name in settings.__dataclass_fields__:
        return False
    others = (other for other in getattr(settings, "lets_pass", ()) if name in other.__dataclass_fields__)
    if (other := next(others, None)) is not None:
        _check_names({name: value}, other, "")
    return other is not None


def _check_names(document: dict[Any, Any], settings: Any, prefix: str) -> None:
    hints = {item.name: hint for item in fields(settings) for hint in [get_type_hints(settings)[item.name]]}
    for name, value in document.items():
        if name not in hints:
            raise InputError(_unknown(f"{prefix}{name}", [f"--{prefix}{known}" for known in hints]))
        if is_dataclass(hints[name]):
            if not isinstance(value, dict):
                raise InputError(f"--{prefix}{name}: {_plain(value)}: expected settings below it [X03]")
            _check_names(value, hints[name], f"{prefix}{name}.")


def _plain(value: object) -> str:
    text = " ".join(str(value).split())
    return printable(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def _config_of_run(resumed: Path) -> list[Path]:
    """The settings that a run was started with; flags given now still beat them."""
    places = (resumed / "config.yaml", resumed.parent.parent / "config.yaml")  # of its folder; of its checkpoint
    return [place for place in places if place.is_file()][:1]


def _names_data(word: str, default: str) -> bool:
    """Whether a word says what to train by or on, other than the default scenes."""
    return word.startswith(("--config=", "--data=", "--train_annotations=")) and word != f"--data={default}"


def _kinds(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every flag and its type, the fields of nested dataclasses with a dot."""
    hints = get_type_hints(settings)
    for item in fields(settings):
        if is_dataclass(hints[item.name]):
            yield from _kinds(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, hints[item.name]


def _normalise(argv: Sequence[str], kinds: dict[str, Any], task: str) -> list[str]:
    """One `--name=value` a flag, underscores in names, lists as JSON, `--config` first."""
    words: list[str] = []
    configs: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise_extra(word) if word not in ("-h",) else words.append("--help")
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        values = [value] if equals else _values(rest)
        if name == "config" and values:
            configs.append(f"--config={find_config(values[0], task)}")
            rest[:0] = values[1:]
        else:
            words.append(_word(name, values, kinds))
    return configs + words


def own_words(settings: Any, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the flags that `settings` has, --help among them, and all others."""
    known = {name for name, _ in _kinds(settings)} | {"help"}
    parts: tuple[list[str], list[str]] = ([], [])
    part = parts[0]  # a word in front of all flags is told as unexpected
    for word in argv:
        if word == "-h":
            parts[0].append(word)
            continue
        if word.startswith("--"):
            part = parts[word[2:].partition("=")[0].replace("-", "_") not in known]
        part.append(word)
    return parts


def raise_extra(word: str) -> NoReturn:
    raise InputError(f"{printable(word)}: not expected here: every value follows a --flag")


def _values(rest: list[str]) -> list[str]:
    """The words up to the next flag, taken off `rest`."""
    end = next((i for i, word in enumerate(rest) if word.startswith("--")), len(rest))
    values, rest[:] = rest[:end], rest[end:]
    return values


def _word(name: str, values: list[str], kinds: dict[str, Any]) -> str:
    if name not in kinds and name not in OWN_FLAGS:
        raise InputError(_unknown(name, [f"--{known}" for known in kinds]))
    kind = kinds.get(name)
    if kind is bool and not values:
        return f"--{name}=true"
    if not values:
        if name in kinds:
            raise InputError(f"--{name.replace('_', '-')}: a value is missing")
        return f"--{name}"
    if _takes_list(kind) and not values[0].startswith("["):
        if len(values) > 1 or (_takes_lists_alone(kind) and not (values == ["null"] and NoneType in get_args(kind))):
            texts = kind == list[str]
            return f"--{name}={json.dumps([value if texts else _number(value) for value in values])}"
    elif len(values) > 1:
        raise_extra(values[1])
    return f"--{name}={values[0]}"


def _takes_list(kind: Any) -> bool:
    return get_origin(kind) is list or any(_takes_list(part) for part in get_args(kind) if part is not NoneType)


def _takes_lists_alone(kind: Any) -> bool:
    """Whether one word must be a list of one; of a size, it is a number."""
    kinds = [kind] if get_origin(kind) is list else [part for part in get_args(kind) if part is not NoneType]
    return all(get_origin(part) is list for part in kinds)


def _number(value: str) -> Any:
    """A number where the word is one: a list of numbers must not become a list of strings."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _one_line(message: str, flags: Sequence[str]) -> str:
    """jsonargparse's message as one line: the flag, what was given, what was expected."""
    text = re.sub(r"\s+", " ", re.sub(r"\n\s*-? ?", " ", message)).strip()
    text = re.sub(r"<class '(\w+)'>", r"\1", text)
    text = UNION.sub(_one_of_several, text)
    text = REQUIRED.sub(
        lambda match: f"{', '.join(f'--{name}' for name in match[1].split(', '))}: a value is needed", text
    )
    text = re.sub(r"(?:typing\.)?Literal\[(.*?)\]", lambda match: "one of " + match[1].replace("'", ""), text)
    text = re.sub(r'Parser key "([\w.]+)":', lambda match: f"--{match[1].replace('_', '-')}:", text)
    text = re.sub(r"Expected an? (.*?)\. Got value: (.*)$", r"\2: expected \1", text)
    unknown = re.search(r"[Uu]nrecognized arguments: --([\w.]+)|[Kk]ey [\"'](\S+)[\"'] is not expected", text)
    if unknown:
        name = next(filter(None, unknown.groups())).partition("=")[0]
        return _unknown(name, flags)
    return printable(text)


def _one_of_several(match: re.Match[str]) -> str:
    """ "abc: expected int or list of int" of a value that fits none of several kinds."""
    kinds = [_kind(name) for name in KIND.findall(match[1])]
    if kinds[:2] == ["int", "list of int"]:  # sides in px: no other flag has both kinds
        kinds[:2] = ["one number, or two, height and width, with a blank between"]
    return f"{match[2]}: expected {' or '.join(kinds)}"


def _kind(name: str) -> str:
    return f"list of {_kind(name[5:-1])}" if name.startswith("list[") else name.replace("NoneType", "null")


def _unknown(name: str, flags: Sequence[str]) -> str:
    near = difflib.get_close_matches(f"--{name}", [flag for flag in flags if flag != "--size+"], 3)
    hint = f"; did you mean {' or '.join(flag.replace('_', '-') for flag in near)}?" if near else ""
    return f"--{printable(name.replace('_', '-'))}: no such setting{hint}"
