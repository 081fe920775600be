"""Latency: what is timed, in which order, how it is summed up; memory and files; the machine."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from densenets.analysis.profile import costs, count, latencies, latency, machine
from densenets.analysis.profile.latency import Took, doubts, timings
from densenets.analysis.profile.nets import Net, nets_of
from densenets.config import Profile, RCNNOptions
from densenets.errors import DivergedError
from densenets.heads import HEADS
from densenets.run.prediction import segment

CPU = torch.device("cpu")
PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


def small(head: str = "ssdlite", backbone: str = "v3-small") -> Net:
    few = RCNNOptions(proposals=8) if head.startswith("faster-rcnn") else RCNNOptions()
    (net,) = nets_of(Profile(backbone=[backbone], head=[head], width=0.25, size=64, num_classes=3, rcnn=few)).values()
    return net


@pytest.mark.parametrize("head", HEADS)
def test_every_head_has_three_parts_that_add_up(head: str) -> None:
    net = small(head)
    rows = timings({"net": net[:2]}, [PICTURE], 3, 1, CPU)["net"]
    assert len(rows) == 3
    for row in rows:
        assert min(row[:4]) > 0
        assert row.pre + row.network + row.post == pytest.approx(row.total)
    assert not {"raw", "decode"} & net.model.__dict__.keys()


def test_models_take_turns_on_the_same_picture(monkeypatch, caplog) -> None:
    """The warm-up counts nowhere; who is first and who follows whom changes, on each of the pictures."""
    nets = {name: small()[:2] for name in ("a", "b")}
    name_of = {id(model): name for name, (model, _) in nets.items()}
    pictures = [PICTURE, PICTURE[:, ::-1].copy()]
    seen = []

    def look(model, description, picture, device) -> None:
        seen.append((name_of[id(model)], next(i for i, one in enumerate(pictures) if one is picture)))
        with torch.inference_mode():
            model(torch.rand(1, 3, 64, 64))

    monkeypatch.setattr(latency, "look", look)
    caplog.set_level("INFO")
    taken = timings(nets, pictures, 19, 1, CPU)
    assert [line.partition("about")[0] for line in caplog.messages] == ["19 rounds of 2 models will take "]
    assert {name: len(rows) for name, rows in taken.items()} == {"a": 19, "b": 19}
    rounds = [seen[at : at + 2] for at in range(0, len(seen), 2)]
    assert all(sorted(one) == [("a", at % 2), ("b", at % 2)] for at, one in enumerate(rounds))
    assert {one[0] for one in rounds} == {("a", 0), ("a", 1), ("b", 0), ("b", 1)}
    told = list(seen)
    seen.clear()
    timings(nets, pictures, 19, 1, CPU)
    assert seen == told


def test_summary_by_hand() -> None:
    rows = [Took(n / 1e3, 0.001, n / 2e3, 0.002, n / 4e3) for n in range(1, 102)]  # 1 to 101 ms
    found = latency._summary(rows)
    figures = {"p50": 51, "p90": 91, "p99": 100, "pre": 1, "network": 25.5, "post": 2}
    assert found == pytest.approx({**figures, "drift": 85 / 17 - 1, "cores": 0.25})


@pytest.mark.parametrize(("rounds", "told"), [(99, False), (100, True)])
def test_the_slowest_of_a_hundred_is_told_of_a_hundred_or_more(rounds: int, told: bool) -> None:
    assert ("p99" in latency._summary([Took(1, 1, 1, 1, 1)] * rounds)) == told


@pytest.mark.parametrize(("last", "warned"), [(10.9, False), (11.1, True), (8.9, True), (9.1, False)])
def test_a_machine_that_changes_its_speed_is_told(last: float, warned: bool) -> None:
    rows = [Took(time, 1, 1, 1, time) for time in [10.0] * 10 + [10.4] * 10 + [last] * 10]
    lines = doubts({"net": latency._summary(rows)})
    assert bool(lines) == warned
    assert all("net: the last third of the rounds took" in line for line in lines)


@pytest.mark.parametrize(("processor", "warned"), [(0.8, True), (0.95, False), (1.9, False)])
def test_a_machine_that_others_use_is_told(processor: float, warned: bool) -> None:
    lines = doubts({"net": latency._summary([Took(1, 1, 1, 1, processor)] * 9)})
    assert (
        lines
        == [
            "net: the process had a core for 80% of the time only: others use the machine; measure again on a quiet one"
        ]
        * warned
    )


def test_latencies_are_figures_with_their_doubts_and_leave_the_threads(caplog) -> None:
    before, nets = torch.get_num_threads(), {"net": small("lraspp")[:2]}
    row = latencies(nets, [PICTURE], rounds=3, threads=2, warmup=0)["net"]
    assert torch.get_num_threads() == before
    assert list(row) == ["p50", "p90", "pre", "network", "post", "drift", "cores"]
    assert 0 < row["p50"] <= row["p90"]
    assert row["cores"] > 0
    caplog.clear()
    assert len(doubts(latencies(nets, [PICTURE], 3, warmup=0))) == len(caplog.records)


def test_a_segmenter_sees_the_canvas_and_answers_in_file_px(monkeypatch) -> None:
    net, given = small("lraspp"), []

    def told(model, image, device, source, size):
        given.append((size, segment(model, image, device, source, size).shape))

    monkeypatch.setattr(latency, "segment", told)
    latency.look(net.model, net.description, PICTURE, CPU)
    assert given == [((64, 64), (50, 70))]


def test_outputs_that_are_not_finite_are_no_latency() -> None:
    net = small()
    next(net.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(DivergedError):
        latencies({"net": net[:2]}, [PICTURE], rounds=3, warmup=0)


def test_costs_are_counts_and_the_file_as_it_is_written(tmp_path, monkeypatch) -> None:
    """Memory is weighed below, and where the tool is tested."""
    monkeypatch.setattr(sys.modules[costs.__module__], "peak_bytes", lambda *_: 123)
    net = small("lraspp")
    found = costs(net.model, net.description)
    save_file({name: value.contiguous() for name, value in net.model.state_dict().items()}, tmp_path / "weights")
    counted = count(net.model, (64, 64))
    assert found["file_bytes"] == (tmp_path / "weights").stat().st_size
    assert found["parameters"] == counted.parameters
    assert found["madds"] == counted.madds
    assert found["activation_bytes"] == counted.activation_bytes
    assert found["peak_bytes"] == 123
    assert list(found) == ["parameters", "madds", "file_bytes", "activation_bytes", "peak_bytes"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's own account")
def test_a_segmenter_holds_the_activations_that_it_needs_at_once() -> None:
    (net,) = nets_of(Profile(backbone=["v2"], head=["lraspp"], size=512, num_classes=19)).values()
    counted = count(net.model, (512, 512))
    held = costs(net.model, net.description, counts=counted)["peak_bytes"]
    assert 0.9 * counted.peak_bytes < held < 3 * counted.activation_bytes


def test_the_machine_is_equal_to_itself_alone() -> None:
    one = machine(CPU, 1)
    assert json.loads(json.dumps(one)) == machine(CPU, 1)
    assert one != machine(CPU, 2)
    assert one["processor"] not in ("", "unknown")
    assert one["cores"] >= 1
