"""What the masks of a split show before hours are spent on them: some of them are read, as their reader does it."""

import logging

import numpy as np

from densenets.contract import IGNORED
from densenets.data.decode import AnimationError, PictureError
from densenets.data.mask_files import UnknownIds, told_together
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import InputError, Problems
from densenets.run.folder import rank

SAMPLED = 32  # masks: of 1024x2048 px a second or two
TRAIN_IDS = 19  # of Cityscapes, as many as its classes: masks that hold them have no id from here on
log = logging.getLogger(__name__)


def look_at_masks(split: SegmentationSplit, where: str, training: bool, by_names: bool = False) -> None:
    """Of a split to train on, or to choose by: reads its first and its last mask and some between.

    where: what an error calls the split. by_names: its classes come from --classes. Raises InputError with the lines
    that reading them later would end with, one for all masks with unknown ids, and where no mask at all has a pixel of
    a class.
    """
    problems, shares = Problems(), np.zeros(256, dtype=np.int64)  # px of each label
    sample, unknown = sampled(len(split)), list[UnknownIds]()
    for index in sample:
        try:
            mask = split.truth(index, instances=not training)
            shares += np.bincount(mask.ids.numpy().ravel(), minlength=256)
        except UnknownIds as fault:
            unknown.append(fault)
        except InputError as fault:
            if not (training and _may_be_skipped(split, fault)):
                for line in str(fault).splitlines():
                    problems.add(line)
    if unknown:
        problems.add(told_together(str(unknown[0]), [fault.ids for fault in unknown], by_names, split.train_ids))
    problems.refuse()
    if not shares[:IGNORED].any() and not has_labels(split, training):
        raise InputError(f"{where}: no pixel of a class in any mask [D36]")
    if rank() == 0 and looks_like_train_ids(split, shares):
        log.warning("warning: %s: %s [D32]", where, train_ids_told(len(sample)))


def sampled(count: int) -> list[int]:
    """At most SAMPLED of the places 0 to count - 1: the first, the last, the others evenly between."""
    places: list[int] = np.linspace(0, count - 1, min(SAMPLED, count)).round().astype(np.int64).tolist()
    return places


def has_labels(split: SegmentationSplit, training: bool = False) -> bool:
    """Whether some mask has a pixel of a class; mostly the first one does. InputError as `look_at_masks` says."""
    for index in range(len(split)):
        try:
            if bool((split.truth(index).ids != IGNORED).any()):
                return True
        except UnknownIds as fault:
            raise InputError(told_together(str(fault), [fault.ids], False, split.train_ids)) from fault
        except InputError as fault:
            if not (training and _may_be_skipped(split, fault)):
                raise
    return False


def train_ids_told(count: int) -> str:
    """Of so many masks."""
    return (
        f"no id above 18 in {count} masks of it, and most pixels are of no class: these look like train ids under the "
        "name of labelIds, which are read as other classes; take the masks as they were downloaded"
    )


def looks_like_train_ids(split: SegmentationSplit, shares: np.ndarray) -> bool:
    """Of masks under the name of labelIds. shares: (256,) px of each label in the sample.

    Cityscapes' own have sky, vegetation or a vehicle somewhere in a few pictures, whose ids are above 18, and a tenth
    of their pixels is of no class. As train ids road, sidewalk and building, most of a street, are 0 to 2: of no class.
    """
    if split.groups is None or max(split.category_ids.tolist()) < TRAIN_IDS:  # not of Cityscapes' layout
        return False
    seen = [int(split.category_ids[label]) for label in np.flatnonzero(shares[: len(split.classes)])]
    return max(seen, default=TRAIN_IDS) < TRAIN_IDS and shares[IGNORED] > shares.sum() / 2


def _may_be_skipped(split: SegmentationSplit, fault: InputError) -> bool:
    """Whether a training puts another picture in its place."""
    unread = isinstance(fault, PictureError) and not isinstance(fault, AnimationError)
    return unread and not split.rules.strict
