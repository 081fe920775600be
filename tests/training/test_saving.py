"""What a resumed run knows of its best checkpoint."""

from pathlib import Path

import torch

from densenets.training.saving import Best


def test_the_best_is_known_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    before, after = Best(tmp_path / "before", "AP"), Best(tmp_path / "after", "AP")
    place, score = str(tmp_path / "before" / "best.ckpt"), torch.tensor(0.5)
    before.best_model_score = before.current_score = before.kth_value = score
    before.best_k_models, before.best_model_path, before.kth_best_model_path = {place: score}, place, place
    after.load_state_dict(before.state_dict())
    moved = str(tmp_path / "after" / "best.ckpt")
    assert (after.best_model_score, after.current_score, after.kth_value) == (score, score, score)
    assert (after.best_model_path, after.kth_best_model_path) == (moved, moved)
    assert after.best_k_models == {moved: score}


def test_a_run_without_a_best_has_none_after_a_resume(tmp_path: Path) -> None:
    after = Best(tmp_path, "AP")
    after.load_state_dict(Best(tmp_path / "before", "AP").state_dict())
    assert after.best_model_score is None
    assert after.best_k_models == {}
