"""Every code of a data set's faults that the package can write stands in docs/codes.md."""

import re
from pathlib import Path

import densenets

PACKAGE = Path(densenets.__file__).parent
TABLE = PACKAGE.parent / "docs" / "codes.md"


def test_every_code_that_is_written_is_explained() -> None:
    explained = re.findall(r"^\| (D\d\d) \|", TABLE.read_text(), re.MULTILINE)
    assert explained == sorted(set(explained))
    written = {code for file in PACKAGE.rglob("*.py") for code in re.findall(r"\bD\d\d\b", file.read_text())}
    assert len(written) > 25
    assert written <= set(explained)
