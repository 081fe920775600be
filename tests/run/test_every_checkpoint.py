"""Every state that a run folder passes through may be left by a kill: resumed, each has to end with equal bits."""

import shutil
from pathlib import Path

import kills
import pytest
import torch
from kills import LONGEST, differences, flags_of, make_data, start, wait

STATES = {
    "saved around validations alone": {"workers": 0, "save_every": 0, "epochs": 2},
    "judged at the end by the way": {"workers": 0, "save_every": 2, "validate_every": 2, "epochs": 3, "ema": 0.9},
    "accumulation": {"workers": 0, "save_every": 1, "validate_every": 2, "epochs": 3, "accumulate": 2},
    "bfloat16, frozen": {"workers": 0, "save_every": 2, "precision": "bf16-mixed", "freeze_stages": 2},
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in [*STATES][1:]]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [next(iter(STATES)), *SLOW])
def test_each_state_of_the_folder_resumes_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kills.VARIANTS, name, STATES[name])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork takes no threads along
    flags, states = flags_of(name, make_data(tmp_path), tmp_path / "run"), tmp_path / "states"
    trained(flags, tmp_path / "run", states)
    (tmp_path / "run").rename(tmp_path / "whole")
    found = sorted(states.iterdir())
    assert len([state for state in found if state.name.endswith("last.ckpt")]) > 3
    faults = {}
    for state in found:
        state.rename(tmp_path / "run")  # the same place as before
        trained(flags, tmp_path / "run")
        faults[state.name] = differences(tmp_path / "whole", tmp_path / "run")[:3]
        shutil.rmtree(tmp_path / "run")
    torch.set_num_threads(threads)
    assert {state: fault for state, fault in faults.items() if fault} == {}


def trained(flags: list[str], folder: Path, states: Path | None = None) -> None:
    """Run it to its end; a copy of the folder goes into `states` after each file that was put in place."""
    with pytest.MonkeyPatch.context() as patch:
        original, count = Path.replace, 0

        def replace(self: Path, target: Path) -> Path:
            nonlocal count
            done = original(self, target)
            if states and Path(target).name in ("last.ckpt", "best.ckpt", "metrics.csv"):
                shutil.copytree(folder, states / f"{count:03d}-{Path(target).name}")
                count += 1
            return done

        patch.setattr(Path, "replace", replace)
        code = wait(start(flags, folder), LONGEST)
    assert code == 0, (folder / "log").read_text()[-3000:]
