"""Street scenes from numbers alone: `render` draws one, `write_streets` and `write_cityscapes_streets` write sets.

Everything is drawn in a small world of metres (`street`, `layout`) through one pinhole camera, farthest first, together
with a map of regions, so that masks, boxes and labels are what is seen of each thing and not what was meant to be seen.
"""

from densenets.data.streets.files import write_cityscapes_streets, write_streets
from densenets.data.streets.scene import Scene, SceneObject, render

__all__ = ["Scene", "SceneObject", "render", "write_cityscapes_streets", "write_streets"]
