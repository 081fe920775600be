"""Words that all rooms share."""

from densenets.contract import size_told


def test_a_size_says_which_side_is_which() -> None:
    assert size_told((192, 256)) == "height 192, width 256 px"
