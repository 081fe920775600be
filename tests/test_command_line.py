"""The manners of the command line, in process; tests/run holds those that need a real one."""

import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import yaml

from densenets import cli
from densenets.backbones import BACKBONES
from densenets.command_line import find_config, parse
from densenets.config import CheckData, Predict, TrainDetection, TrainSegmentation
from densenets.errors import InputError, Stopped
from densenets.heads import heads_of

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*/*.yaml"))


@dataclass
class Inner:
    """Inside.

    Args:
        rate: of something.
    """

    rate: float = 0.5


@dataclass
class Settings:
    """Settings of a test.

    Args:
        batch_size: a number.
        kind: a choice.
        names: words.
        size: one or two.
        scales: own numbers.
        ratios: one list, or several.
        loud: a switch.
        inner: nested.
    """

    batch_size: int = 1
    kind: Literal["a", "b"] = "a"
    names: list[str] = field(default_factory=list)
    size: int | list[int] = 10
    scales: list[float] | None = None
    ratios: list[float] | list[list[float]] = field(default_factory=list)
    loud: bool = False
    inner: Inner = field(default_factory=Inner)


def read(*words: str) -> Settings:
    return parse(Settings, words, "test")


def test_defaults() -> None:
    assert read() == Settings()


def test_hyphens_and_underscores() -> None:
    assert read("--batch-size", "3") == read("--batch_size=3") == Settings(batch_size=3)


def test_a_list_takes_several_words_and_keeps_their_kind() -> None:
    assert read("--names", "v1", "2", "true").names == ["v1", "2", "true"]
    assert read("--names", "one").names == ["one"]
    assert read("--size", "300", "200").size == [300, 200]
    assert read("--size", "300").size == 300


def test_one_word_is_a_list_where_nothing_but_a_list_is_meant() -> None:
    assert read("--scales", "0.2").scales == [0.2]
    assert read("--scales", "null").scales is None
    assert read("--ratios", "2").ratios == [2.0]
    assert read("--ratios", "[[2], [3]]").ratios == [[2.0], [3.0]]


def test_a_switch_needs_no_value() -> None:
    assert read("--loud").loud
    assert not read("--loud", "false").loud


def test_nested_settings_have_a_dot() -> None:
    assert read("--inner.rate", "2").inner == Inner(rate=2.0)


def test_a_flag_beats_the_file_wherever_config_stands(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("batch_size: 5\nkind: b\ninner:\n  rate: 9\n")
    for words in (["--config", str(file), "--batch-size", "7"], ["--batch-size", "7", f"--config={file}"]):
        assert read(*words) == Settings(batch_size=7, kind="b", inner=Inner(9.0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kind", "c"], "--kind: c: expected one of a, b"),
        (["--batch-size", "x"], "--batch-size: x: expected int"),
        (["--batch-size"], "--batch-size: a value is missing"),
        (["--batchsize", "3"], "--batchsize: no such setting; did you mean --batch-size"),
        (["--batch", "3"], "--batch: no such setting; did you mean --batch-size"),
        (["loose"], "loose: not expected here"),
        (["--batch-size", "3", "4"], "4: not expected here"),
        (["--config", "nowhere"], "--config: nowhere: no such file, nor a name among"),
        (["--size", "480x360"], "--size: 480x360: expected one number, or two, height and width, with a blank between"),
        (["--scales", "x"], "--scales: ['x']: expected list of float or null"),
        (["--ratios", "x"], "--ratios: ['x']: expected list of float or list of list of float"),
    ],
)
def test_an_error_is_one_line_that_lists_the_choices(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(*words)
    assert message in str(caught.value)
    assert "subtypes" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["unknown: 3\n", "batch_size: x\n", "batch_size: [\n", "- 1\n", "a: *b\n"])
def test_a_bad_file_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read("--config", str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["batch_size: 1\nbatch_size: 2\n", "inner:\n  rate: 1\n  rate: 2\n", "batch_size: 1\n'batch_size': 1\n"]
)
def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(text)
    line = text.count("\n")
    with pytest.raises(InputError, match=rf"twice.yaml: line {line}: \w+ stands twice \[X04\]$"):
        read("--config", str(file))


def test_print_config_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(TrainDetection, ["--size", "300", "200", "--ssd.loss", "focal", "--print-config"], "test")
    assert ended.value.code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    again = parse(TrainDetection, ["--config", str(file)], "test")
    assert again.size == [300, 200]
    assert again.ssd.loss == "focal"


def test_help_names_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["train-det", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in [*BACKBONES, *heads_of("detection"), "--batch-size"])
    assert "_size" not in text


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_parses_and_opens_with_its_command(file: Path) -> None:
    kind, tool = {"detection": (TrainDetection, "det"), "segmentation": (TrainSegmentation, "seg")}[file.parent.name]
    settings = asdict(parse(kind, ["--config", str(file)], "test"))
    written = yaml.safe_load(file.read_text())
    assert all(settings[key] == value for key, value in written.items() if not isinstance(value, dict))
    for group in ("ssd", "seg"):
        assert all(settings[group][key] == value for key, value in written.get(group, {}).items())
    assert "backbone" not in written  # it stays a flag
    head = file.read_text().split("\n\n")[0]
    assert f"tools/train_{tool}.py --backbone" in head
    assert "Time:" in head
    assert "Score:" in head


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_check_of_data_takes_the_config_of_a_training(file: Path) -> None:
    content, settings = yaml.safe_load(file.read_text()), parse(CheckData, ["--config", str(file), "--data", "d"], "x")
    shared = {name for name in content if hasattr(settings, name)} - {"ssd", "rcnn"}
    assert "head" in shared or "size" in shared
    assert {name: getattr(settings, name) for name in shared - {"data"}} == {n: content[n] for n in shared - {"data"}}
    if "ssd" in content:
        assert content["ssd"].items() <= asdict(settings.ssd).items()


def test_a_check_of_data_takes_what_a_run_wrote_down(tmp_path: Path) -> None:
    """And a run goes on that was started when a training of masks still had the rules of boxes."""
    for kind in (TrainDetection, TrainSegmentation):
        content = {**asdict(kind()), "classes": [], "size": [96, 128]}
        if kind is TrainDetection:
            del content["classes"]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
        assert parse(CheckData, ["--config", str(tmp_path / "config.yaml")], "x").size == [96, 128]
    content |= {"box_format": "xywh", "skip_invalid": False, "renumber": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    assert parse(TrainSegmentation, ["--resume", str(tmp_path)], "x").size == [96, 128]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("augment: seg", ["--augment", "seg"], "--augment: no such setting"),
        ("augmnt: seg", [], "config.yaml: --augmnt: no such setting"),
        ("seg:\n  dise: 0.5", [], "config.yaml: --seg.dise: no such setting; did you mean --seg.dice or "),
        ("seg: 3", [], "config.yaml: --seg: 3: expected settings below it"),
    ],
)
def test_a_check_of_data_refuses_what_no_command_knows(
    tmp_path: Path, text: str, words: list[str], message: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError) as fault:
        parse(CheckData, ["--config", str(tmp_path / "config.yaml"), *words], "x")
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_training_of_masks_has_no_rules_of_boxes() -> None:
    for command in ("train-seg", "eval-seg"):
        assert not {"skip_invalid", "box_format", "renumber"} & {*cli.COMMANDS[command].settings.__dataclass_fields__}
    with pytest.raises(InputError, match="--box-format: no such setting"):
        parse(TrainSegmentation, ["--box-format", "xyxy"], "x")


def test_a_config_is_found_by_its_name() -> None:
    detection, segmentation = (find_config("streets", task) for task in ("detection", "segmentation"))
    assert detection == find_config("detection/streets.yaml") == find_config("streets.yaml", "detection")
    assert segmentation == find_config("segmentation/streets") != detection


def test_the_default_scenes_bring_their_recipe_unless_data_is_named() -> None:
    recipe = yaml.safe_load(find_config("streets", "detection").read_text())
    assert parse(TrainDetection, [], "t", "streets").size == recipe["size"]
    assert parse(TrainDetection, ["--data", "x"], "t", "streets") == TrainDetection(data="x")


def test_an_unknown_command_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "train-det" in capsys.readouterr().err


def test_a_flag_that_has_to_be_given_is_named() -> None:
    with pytest.raises(InputError, match=r"^--checkpoint, --images: a value is needed$"):
        parse(Predict, [], "test")
    with pytest.raises(InputError, match=r"^--images: a value is needed$"):
        parse(Predict, ["--checkpoint", "run"], "test")


@pytest.mark.parametrize("terminal", [True, False])
def test_an_interrupt_amid_an_import_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    """A library that is broken off there tells of another fault. On a terminal a bar may stand in the line."""
    name = f"slow_room_{terminal}"
    room = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhole = True\ndef do(settings): whole = 'called'\n"
    (tmp_path / f"{name}.py").write_text(room)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "x", cli.Command(Settings, "do", room=name))
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert cli.main(["x"]) == 130
    assert capsys.readouterr().err == ("\n" if terminal else "") + "densenets: interrupted\n"
    assert sys.modules[name].whole is True
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(_: object) -> None:
        raise Stopped("stopped after step 3; saved: run/checkpoints/last.ckpt; go on with: --resume run", 15)

    monkeypatch.setattr("densenets.cli.import_module", lambda _: SimpleNamespace(train_detection=stopped))
    assert cli.main(["train-det"]) == 143
    told = "densenets: stopped after step 3; saved: run/checkpoints/last.ckpt; go on with: --resume run\n"
    assert capsys.readouterr().err == told


# Streams that are closed or end early

TELLING = """
import sys
from types import SimpleNamespace
from densenets import cli
names = [command.function for command in cli.COMMANDS.values()]
cli.import_module = lambda _: SimpleNamespace(**dict.fromkeys(names, lambda settings: "AP 0.5\\nresults.json"))
sys.exit(cli.main(sys.argv[1:]))
"""
COMMANDS = [["train-det"], ["eval-det"], ["check-data"], ["--version"], ["check-data", "--print-config"], ["--help"]]


def told(words: list[str], shell: str) -> subprocess.CompletedProcess[str]:
    """A command whose work is done already, in a shell that does something to its streams."""
    line = f'"$0" -c "$1" {" ".join(words)} {shell}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable, TELLING], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("words", COMMANDS[:4], ids=" ".join)
def test_a_closed_stdout_is_one_line_and_4(words: list[str]) -> None:
    done = told(words, ">&-")
    assert (done.returncode, done.stderr) == (4, "densenets: error: stdout: cannot be written: it is closed\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_has_gone_is_one_line_and_4(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", TELLING, *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (4, "densenets: error: stdout: cannot be written: Broken pipe\n")


@pytest.mark.parametrize("words", COMMANDS[:3], ids=" ".join)
def test_a_reader_of_one_line_and_a_closed_stderr_get_no_traceback(words: list[str]) -> None:
    done = told(words, "| head -1")
    assert (done.stdout, "Traceback" in done.stderr) == ("AP 0.5\n", False)
    assert told(words, "2>&-").returncode == 0
    assert told([*words, "--workers", "x"], ">&- 2>&- <&-").returncode == 2
