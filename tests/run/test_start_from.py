"""A training that begins from a whole trained model, with the same classes or others."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from densenets.build import ModelDescription, build_from, class_of
from densenets.config import EvalDetection, RCNNOptions, SegmentationOptions, SSDOptions
from densenets.errors import InputError
from densenets.heads import HEADS, task_of
from densenets.run import evaluate_detection, train_detection
from densenets.run.start import start_from

BEFORE, NOW = ["cat", "Dog", "cow", "fox"], ["fox", "emu", "dog"]
SAME = {0: 3, 2: 1}  # label now -> label before
LEARN = {"epochs": 150, "lr": 0.004, "optimizer": "adamw", "validate_every": 150, "weight_decay": 0.0}


def described(head: str, classes: list[str], options: Any = None, **changes: Any) -> ModelDescription:
    numbers = list(range(1, len(classes) + 1))
    palette = [[0, 0, label] for label in range(len(classes))] if task_of(head) == "segmentation" else None
    plain = {"padding": "torch", "normalize": "imagenet", "reduced_tail": False, "scale_last": True, "weights": None}
    size = {"canvas": (96, 128), "width": 0.35, "backbone": "v3-small", "palette": palette}
    options = asdict(options or class_of(head).options_type())
    return ModelDescription(
        **{**plain, **size, **changes}, head=head, classes=classes, category_ids=numbers, options=options
    )


def trained(description: ModelDescription, path: Path) -> Any:
    """A model with random weights everywhere, those of norms too, and its checkpoint at `path`."""
    torch.manual_seed(1)
    model: Any = build_from(description).eval()
    for value in model.state_dict().values():
        if value.is_floating_point() and value.numel() > 3:  # not the mean and deviation of the input
            value.uniform_(0.01, 0.2)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "densenets": description.plain()}, path)
    return model


OPTIONS = {
    "ssd focal": ("ssd", SSDOptions(loss="focal")),
    "full": ("faster-rcnn-fpn", RCNNOptions(proposals=8)),
    "torchvision": ("faster-rcnn-fpn", RCNNOptions(proposals=8, fpn="torchvision")),
    "one map": ("faster-rcnn", RCNNOptions(proposals=8)),
    "auxiliary": ("lraspp", SegmentationOptions(auxiliary=0.4)),
} | {head: (head, None) for head in HEADS if not head.startswith("faster-rcnn")}


def outputs_of_classes(model: Any, images: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    """Outputs with classes along axis 1, and how many of them stand before the first class."""
    if model.task == "segmentation":
        found = [model.raw(images)] if model.auxiliary is None else list(model.raw_with_auxiliary(images))
        return [(logits, 0) for logits in found]
    if isinstance(model.options, SSDOptions):
        logits, _ = model.raw(images)
        return [(logits.transpose(1, 2), int(model.options.loss == "softmax"))]
    classes, moves = model.judge(model.maps(images), [torch.tensor([[0.0, 0.0, 60.0, 60.0], [20.0, 9.0, 90.0, 70.0]])])
    return [(classes, 1), (moves, 0)]


@pytest.mark.parametrize(("head", "options"), OPTIONS.values(), ids=OPTIONS)
def test_classes_of_the_same_name_keep_what_was_learnt(head: str, options: Any, tmp_path: Path) -> None:
    before = trained(described(head, BEFORE, options), tmp_path / "a.ckpt")
    torch.manual_seed(2)
    description = described(head, NOW, options)
    fresh: Any = build_from(description).eval()
    now: Any = build_from(description).eval()
    now.load_state_dict(fresh.state_dict())
    start_from(now, description, str(tmp_path / "a.ckpt"))
    images = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        pairs = zip(outputs_of_classes(before, images), outputs_of_classes(now, images), strict=True)
        for (old, first), (new, _) in pairs:
            assert old.shape[1] - new.shape[1] == 1
            kept = [*((row, row) for row in range(first)), *((first + a, first + b) for a, b in SAME.items())]
            for to, of in kept:
                torch.testing.assert_close(new[:, to], old[:, of])
                assert new[:, to].std() > 0
    for layer, first, values in now.class_layers():
        name = next(name for name, module in now.named_modules() if module is layer)
        rows = (-1, first + len(NOW), values)
        own, start = (model.get_submodule(name).weight.unflatten(0, rows)[:, first + 1] for model in (now, fresh))
        assert torch.equal(own, start)  # "emu"


@pytest.mark.parametrize(("head", "options"), OPTIONS.values(), ids=OPTIONS)
def test_the_same_classes_give_the_same_predictions(head: str, options: Any, tmp_path: Path) -> None:
    description = described(head, BEFORE, options)
    before = trained(description, tmp_path / "a.ckpt")
    now: Any = build_from(description).eval()
    start_from(now, description, str(tmp_path / "a.ckpt"))
    assert all(torch.equal(value, now.state_dict()[name]) for name, value in before.state_dict().items())


def test_what_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trained(described("ssdlite", BEFORE), tmp_path / "a.ckpt")
    for classes in (NOW, BEFORE, ["Fox", "fox"], ["FOX"]):
        description = described("ssdlite", classes)
        start_from(build_from(description), description, str(tmp_path / "a.ckpt"))
    lines = [line.partition("a.ckpt: ")[2] for line in caplog.messages]
    assert lines == [
        "all of the net, 2 of 3 classes by name; anew: emu",
        "all of the net and of its classes",
        "all of the net and of its classes",
        "all of the net and of its classes",
    ]


def test_a_second_head_may_come_and_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with_it = SegmentationOptions(auxiliary=0.4)
    for before, now in ((None, with_it), (with_it, None)):
        trained(described("lraspp", BEFORE, before), tmp_path / "a.ckpt")
        description = described("lraspp", BEFORE, now)
        start_from(build_from(description), description, str(tmp_path / "a.ckpt"))
    lines = [line.partition("a.ckpt: ")[2] for line in caplog.messages]
    told = "all of the net and of its classes"
    assert lines == [f"{told}; a second head begins anew", told]


@pytest.mark.parametrize(
    ("changes", "head", "options", "told"),
    [
        ({}, "ssd", None, "--head ssdlite, not ssd"),
        ({"backbone": "v2"}, "ssdlite", None, "--backbone v3-small, not v2"),
        ({"width": 0.5}, "ssdlite", None, "--width 0.35, not 0.5"),
        ({"padding": "tf", "normalize": "half"}, "ssdlite", None, "--padding torch, not tf, --normalize imagenet, not"),
        ({"reduced_tail": True}, "ssdlite", None, "--reduced-tail false, not true"),
        ({}, "ssdlite", SSDOptions(loss="focal"), "--ssd.loss softmax, not focal"),
        ({}, "lraspp", None, "--head ssdlite, not lraspp"),
    ],
)
def test_another_net_is_named(changes: Any, head: str, options: Any, told: str, tmp_path: Path) -> None:
    trained(described("ssdlite", BEFORE), tmp_path / "a.ckpt")
    description = described(head, NOW, options, **changes)
    model: Any = build_from(description)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError) as refused:
        start_from(model, description, str(tmp_path / "a.ckpt"))
    assert str(refused.value).startswith(f"--start-from: {tmp_path}/a.ckpt: is of another net: {told}")
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_a_last_layer_of_another_width_is_named_by_its_flag(tmp_path: Path) -> None:
    trained(described("ssdlite", BEFORE, backbone="v2", scale_last=False), tmp_path / "a.ckpt")
    description = described("ssdlite", NOW, backbone="v2")
    with pytest.raises(InputError, match=r"is of another net: --scale-last false, not true$"):
        start_from(build_from(description), description, str(tmp_path / "a.ckpt"))


def test_other_default_boxes_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(described("ssdlite", BEFORE), tmp_path / "a.ckpt")
    scales = SSDOptions(scales=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    description = described("ssdlite", NOW, scales)
    start_from(build_from(description), description, str(tmp_path / "a.ckpt"))
    assert "has learnt other default boxes: --ssd.scales null, not [0.1, " in caplog.messages[0]


def test_other_numbers_of_default_boxes_are_refused(tmp_path: Path) -> None:
    trained(described("ssdlite", BEFORE), tmp_path / "a.ckpt")
    description = described("ssdlite", NOW, SSDOptions(aspect_ratios=[2.0]))
    with pytest.raises(InputError, match=r"--start-from: .*: class_predictors.1.1.weight is \[30, .*\], not \[16, "):
        start_from(build_from(description), description, str(tmp_path / "a.ckpt"))


def test_torchvisions_ssdlite_is_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
    file = tmp_path / "ssdlite320.pth"
    torch.save(theirs.state_dict(), file)
    rules = {"backbone": "v3-large", "width": 1.0, "normalize": "half", "reduced_tail": True}
    description = described("ssdlite", ["wolf", "zebra"], SSDOptions(anchors="torchvision"), **rules)
    model: Any = build_from(description)
    start_from(model, description, str(file))
    assert caplog.messages[-1].endswith("all of the net, 1 of 2 classes by name; anew: wolf")
    own = model.class_predictors[0][1].weight.unflatten(0, (6, 3))
    given = theirs.state_dict()["head.classification_head.module_list.0.1.weight"].unflatten(0, (6, 91))
    assert torch.equal(own[:, 2], given[:, 24])  # zebra is COCO's category 24
    assert torch.equal(own[:, 0], given[:, 0])  # background
    wrong = replace(description, normalize="imagenet", reduced_tail=False)
    other = build_from(wrong)
    with pytest.raises(InputError, match="--normalize half, not imagenet, --reduced-tail true, not false"):
        start_from(other, wrong, str(file))


def test_background_of_torchvisions_lraspp_is_that_of_voc(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """torchvision calls it __background__."""
    caplog.set_level(logging.INFO)
    theirs = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21).state_dict()
    torch.save(theirs, tmp_path / "lraspp.pth")
    description = described("lraspp-torchvision", ["dog", "background"], backbone="v3-large", width=1.0)
    model: Any = build_from(description)
    start_from(model, description, str(tmp_path / "lraspp.pth"))
    assert caplog.messages[-1].endswith("all of the net and of its classes")
    assert torch.equal(model.high_classifier.weight, theirs["classifier.high_classifier.weight"][[12, 0]])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_file_that_is_none_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    for name in ("a.ckpt", "a.pth", "a.safetensors"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        description = described("ssdlite", NOW)
        with pytest.raises(InputError) as refused:
            start_from(build_from(description), description, str(tmp_path / name))
        assert str(tmp_path / name) in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1


def test_a_checkpoint_given_as_weights_is_told_the_way(quick, shapes, tmp_path: Path) -> None:
    file = tmp_path / "a.ckpt"
    trained(described("ssdlite", BEFORE), file)
    with pytest.raises(InputError, match=f"{file}: weights are read from .*; --start-from takes checkpoints"):
        train_detection(quick(shapes(train=range(4), val=range(4)), weights=str(file)))


def test_weights_beside_it_are_refused(quick, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--start-from: brings the backbone's weights with it; give it or --weights"):
        quick(tmp_path, weights="a.pth", start_from="run")


def test_a_training_goes_on_with_other_classes(shapes, quick, tmp_path: Path) -> None:
    """The classes in another order, under other ids, and one more: what was learnt by heart is still known after a
    training that is too short and too weak to learn anything; and a resumed one needs the first run no more."""
    data = shapes(train=range(4), val=range(4))
    first = quick(data, ssd=SSDOptions(bn_momentum=0.2), out=str(tmp_path / "first"), **LEARN)
    assert train_detection(first).results["AP50"] > 0.99
    for file in (data / "annotations").iterdir():
        document = json.loads(file.read_text())
        new = {4: 31, 9: 2, 17: 12}
        for one in document["annotations"]:
            one["category_id"] = new[one["category_id"]]
        names = [{"id": new[one["id"]], "name": one["name"].upper()} for one in document["categories"]]
        document["categories"] = [{"id": 1, "name": "violet"}, *names]
        file.write_text(json.dumps(document))
    then = quick(data, out=str(tmp_path / "then"), epochs=1, lr=1e-7, start_from=str(tmp_path / "first"))
    outcome = train_detection(then)
    assert outcome.results["AP50"] > 0.95
    assert outcome.results["model"]["weights"] == str(tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "gone")
    train_detection(replace(then, resume=then.out))
    judged = evaluate_detection(EvalDetection(checkpoint=then.out, data=str(data), workers=0)).results
    assert judged["AP"] == outcome.results["AP"]
