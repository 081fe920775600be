"""The data that densenets brings along: street scenes that it draws itself, so that nothing has to be fetched."""

from densenets.data.streets import Scene, SceneObject, render, write_cityscapes_streets, write_streets

__all__ = ["Scene", "SceneObject", "render", "write_cityscapes_streets", "write_streets"]
