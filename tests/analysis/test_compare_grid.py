"""Which cells a comparison has, what its flags mean, and what they are refused for; nothing is trained here."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from densenets.analysis.compare.command import _threads, command_of
from densenets.analysis.compare.grid import parse_size, parse_training, plan_grid, settings_of, task_of_grid
from densenets.analysis.compare.protocol import agree
from densenets.backbones import BACKBONES
from densenets.cli import main
from densenets.command_line import own_words, parse
from densenets.config import Compare, TrainDetection, TrainSegmentation
from densenets.errors import InputError
from densenets.heads import HEADS


def plans(words: list[str], **changes: object) -> list:
    settings = Compare(**{"heads": ["ssdlite"], **changes})  # type: ignore[arg-type]
    return plan_grid(settings, parse_training(task_of_grid(settings), words), words)


def test_a_grid_is_every_net_width_size_and_seed() -> None:
    found = plans(
        ["--data=x"],
        backbones=["v1", "v2"],
        heads=["ssd", "ssdlite"],
        widths=[1.0, 0.5],
        sizes=["320", "96x128"],
        seeds=[0, 3],
    )
    assert len(found) == len({plan.name for plan in found}) == 32
    assert len({plan.model for plan in found}) == 16
    assert found[0].name == "v1-ssd-320-seed0"
    assert found[-1].name == "v2-0.5-ssdlite-96x128-seed3"
    assert settings_of(found[-1], TrainDetection()).size == [96, 128]


def test_a_canvas_in_two_spellings_is_one_and_two_cells_have_no_name_in_common() -> None:
    found = plans(["--data=x"], backbones=["v2"], sizes=["320", "0320", "320x320", "320x0320", "64x320"])
    assert [plan.size for plan in found] == [320, [64, 320]]
    with pytest.raises(InputError, match=r"--widths: two of them .*: v2-0\.333333-ssdlite-320-seed0"):
        plans(["--data=x"], backbones=["v2"], widths=[1 / 3, 0.3333334])


def test_every_cell_has_the_same_flags_but_for_its_own() -> None:
    one, other = plans(["--data", "x", "--epochs", "7", "--ssd.loss", "focal"], backbones=["v1", "v3-large"])
    assert one.words[:6] == other.words[:6] == ["--data", "x", "--epochs", "7", "--ssd.loss", "focal"]
    assert {*one.words} ^ {*other.words} == {"--backbone=v1", "--backbone=v3-large"}
    words, proof = one.steps(Path("out"))[0]
    assert words[0] == "train-det"
    assert words[-2:] == ["--out=out/cells/v1-ssdlite-320-seed0", "--resume=auto"]
    assert proof == [Path("out/cells/v1-ssdlite-320-seed0") / name for name in ("results.json", "predictions.json")]


def test_pretrained_nets_come_once_more_or_alone() -> None:
    how = {"pretrained": ["v1=a.pth", "v2=b=c.pth"], "pretrained_padding": ["tf", "torch"]}
    found = plans(["--data=x"], backbones=["v1", "v2"], **how)
    assert [plan.model for plan in found] == [
        "v1-ssdlite-320",
        "v2-ssdlite-320",
        "v1-pretrained-ssdlite-320",
        "v2-pretrained-ssdlite-320",
    ]
    own = settings_of(found[2], TrainDetection())
    assert (own.weights, own.padding, own.normalize) == ("a.pth", "tf", "imagenet")
    assert settings_of(found[3], TrainDetection()).weights == "b=c.pth"
    assert len(plans(["--data=x"], backbones=["v1", "v2"], scratch=False, **how)) == 2
    with pytest.raises(InputError, match="--pretrained: v1: expected BACKBONE=FILE"):
        plans([], backbones=["v1"], pretrained=["v1"])
    with pytest.raises(InputError, match="--pretrained-padding: 2 values for 1 weights"):
        plans([], pretrained=["v1=a"], pretrained_padding=["tf", "tf"])


def test_the_words_of_a_comparison_ask_for_it_again() -> None:
    changes = {"backbones": ["v1"], "scratch": False, "pretrained": ["v1=a b.pth"], "widths": [0.5], "cpus": 1.5}
    settings = Compare(heads=["ssd"], **changes)  # type: ignore[arg-type]
    words = command_of(settings, ["--data=x y", "--epochs", "3"], 2)
    assert words[:2] == ["densenets", "compare"]
    own, others = own_words(Compare, words[2:])
    assert parse(Compare, own, "compare") == replace(settings, cell_threads=2)
    assert others == ["--data=x y", "--epochs", "3"]


def test_threads_of_a_cell_that_asks_ray_for_its_part(tmp_path: Path) -> None:
    ray = Compare(backbones=["v1"], heads=["ssd"], engine="ray", cpus=3.0)
    assert _threads(ray, tmp_path) == 3
    assert _threads(replace(ray, cell_threads=2), tmp_path) == 2
    assert _threads(replace(ray, engine="local", jobs=64), tmp_path) == 1


def test_weights_of_a_configuration_train_no_cell(tmp_path: Path) -> None:
    """Every run's own config.yaml has them."""
    file = tmp_path / "config.yaml"
    file.write_text("weights: mobile.pth\ndata: x\n")
    for words in ([f"--config={file}"], ["--config", str(file), "--epochs=3"]):
        with pytest.raises(InputError, match=r"^--config: .*config\.yaml: weights: is not .*: --pretrained V=FILE"):
            parse_training("detection", words)
    (plan,) = plans(["--data=x"], backbones=["v1"])
    assert parse(TrainDetection, [f"--config={file}", *plan.words], "train-det").weights is None


def test_a_net_may_start_from_several_files() -> None:
    found = plans(["--data=x"], pretrained=["v2=one/a.pth", "v2=b.pth", "v1=a.pth", "v1=a.pth"])
    assert [(plan.model, plan.weights) for plan in found] == [
        ("v2-pretrained-a-ssdlite-320", "one/a.pth"),
        ("v2-pretrained-b-ssdlite-320", "b.pth"),
        ("v1-pretrained-ssdlite-320", "a.pth"),
    ]
    with pytest.raises(InputError, match=r"^--pretrained: v2=two/a\.pth: another file of this net has the same name"):
        plans(["--data=x"], pretrained=["v2=one/a.pth", "v2=two/a.pth"])


def test_another_way_of_reading_the_same_weights_is_another_comparison(tmp_path: Path) -> None:
    rules = ["pretrained_padding", "pretrained_normalize"]
    first, second = (
        plans(["--data=x"], pretrained=["v2=a.pth"], **dict(zip(rules, values, strict=True)))
        for values in ((["torch"], ["imagenet"]), (["tf"], ["half"]))
    )
    equal = {"judged data": "1", "densenets": "2"}
    agree(tmp_path, "detection", equal, first, ["compare"])
    assert agree(tmp_path, "detection", equal, first, ["compare"]).asked == first
    with pytest.raises(InputError) as fault:
        agree(tmp_path, "detection", equal, second, ["compare"])
    told = str(fault.value).splitlines()
    assert told == [
        f"--pretrained-padding: tf, but {tmp_path} was begun with torch; name another --out",
        f"--pretrained-normalize: half, but {tmp_path} was begun with imagenet; name another --out",
    ]


def test_other_weights_of_the_same_net_are_told_with_their_flag(tmp_path: Path) -> None:
    first = plans(["--data=x"], pretrained=["v2=a.pth"], seeds=[0, 1])
    equal = {"judged data": "1", "densenets": "2"}
    agree(tmp_path, "detection", equal, [replace(plan, digest="1") for plan in first], ["compare"])
    with pytest.raises(InputError) as fault:
        agree(tmp_path, "detection", equal, [replace(plan, digest="2") for plan in first], ["compare"])
    begun = f"{tmp_path} was begun with"
    assert str(fault.value) == f"--pretrained: v2=a.pth is not the file that {begun}; name another --out"


def test_another_split_is_judged_behind_the_training() -> None:
    (plan,) = plans(["--data=x", "--batch-size=3", "--max-skip=0.5"], backbones=["v1"], split="test")
    words, proof = plan.steps(Path("out"))[1]
    assert words[:4] == ["eval-det", f"--checkpoint={plan.folder(Path('out'))}", "--split=test", "--batch-size=3"]
    assert "--max-skip=0.5" in words
    assert proof[0] == Path("out/cells") / plan.name / "judged/results.json"
    assert plan.steps(Path("out"))[0][1] == [Path("out/cells") / plan.name / "results.json"]
    (plan,) = plans(["--data=x"], backbones=["v1"], split="val")
    assert len(plan.steps(Path("out"))) == 1


def test_the_task_follows_from_the_heads() -> None:
    assert task_of_grid(Compare(backbones=["v1"], heads=["lraspp", "raspp"])) == "segmentation"
    assert isinstance(parse_training("segmentation", ["--data=x"]), TrainSegmentation)
    with pytest.raises(InputError, match="--heads: of two tasks"):
        task_of_grid(Compare(backbones=["v1"], heads=["lraspp", "ssd"]))
    with pytest.raises(InputError, match="--heads: yolo: expected one of ssd, "):
        task_of_grid(Compare(backbones=["v1"], heads=["yolo"]))
    with pytest.raises(InputError, match="--backbones: v9: expected one of v1, "):
        task_of_grid(Compare(backbones=["v9"], heads=["ssd"]))
    with pytest.raises(InputError, match="--pretrained: v9"):
        task_of_grid(Compare(pretrained=["v9=a"], heads=["ssd"]))


@pytest.mark.parametrize(
    "flag", ["backbone", "head", "width", "size", "seed", "weights", "resume"], ids=lambda flag: flag
)
def test_flags_that_the_grid_sets_are_refused(flag: str) -> None:
    with pytest.raises(InputError, match=rf"^--{flag}: is not for a comparison: "):
        parse_training("detection", ["--data=x", f"--{flag}", "1"])


def test_what_a_training_refuses_a_comparison_refuses_in_the_same_words() -> None:
    with pytest.raises(InputError, match=r"^--epoch: no such setting; did you mean --epochs"):
        parse_training("detection", ["--epoch=3"])
    with pytest.raises(InputError, match=r"^--epochs: 0: expected 1 or more"):
        parse_training("detection", ["--epochs=0"])


def test_help_lists_every_head_and_net(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compare", "profile"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, "--help"])
        told = " ".join(capsys.readouterr().out.split())
        for name in (*HEADS, *BACKBONES):
            assert re.search(rf"[ :(]{name}[ ,.;)]", told), (command, name)


def test_own_flags_and_those_of_the_training_may_be_mixed() -> None:
    words = ["--backbones", "v1", "v2", "--epochs", "3", "--cell_threads=2", "--config", "ssdlite-coco", "--help"]
    own, others = own_words(Compare, words)
    assert own == ["--backbones", "v1", "v2", "--cell_threads=2", "--help"]
    assert others == ["--epochs", "3", "--config", "ssdlite-coco"]


@pytest.mark.parametrize(("text", "size"), [("320", 320), ("240x320", [240, 320])])
def test_sizes(text: str, size: object) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "320x", "32 0", "1e3", "-5", "3x4x5"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="--sizes: "):
        parse_size(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing to compare"),
        ({"backbones": ["v1"]}, "--heads: a value is needed"),
        ({"backbones": ["v1"], "heads": ["ssd"], "scratch": False}, "nothing to compare"),
        ({"backbones": ["v1"], "heads": ["ssd"], "seeds": []}, "--seeds: a value is needed"),
        (
            {"backbones": ["v1", "v2"], "heads": ["ssd"], "scratch": False, "pretrained": ["v2=b.pth"]},
            "--scratch false: --pretrained has no weights of v1",
        ),
        ({"backbones": ["v1"], "heads": ["ssd"], "level": 1.0}, "--level: 1.0"),
        ({"backbones": ["v1"], "heads": ["ssd"], "jobs": 0}, "--jobs: 0"),
    ],
)
def test_settings_that_cannot_be(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Compare(**changes)
