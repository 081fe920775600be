"""What the end of a comparison has found already, so that an interrupted one repeats nothing: OUT/found/NAME.json."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from densenets.errors import InputError
from densenets.metrics.predictions import read_json
from densenets.run.folder import write_json

FOLDER = "found"


def stored(
    out: Path, name: str, origin: Any, find: Callable[[], Any], sound: Callable[[Any], bool] = lambda found: True
) -> Any:
    """What `find` gives (plain types), or what it gave before for an equal `origin`, all that it depends on, and that
    is `sound`."""
    file, digest = out / FOLDER / f"{name}.json", digest_of(origin)
    if file.is_file():
        try:
            content = read_json(file)
        except InputError:
            content = None  # half of another's file: found anew
        if isinstance(content, dict) and content.get("origin") == digest and sound(content["found"]):
            return content["found"]
    found = find()
    file.parent.mkdir(exist_ok=True)
    write_json(file, {"origin": digest, "found": found})
    return found


def digest_of(content: Any) -> str:
    """Of plain types."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
