"""The check of a detection set: what is wrong with its files, its boxes and its pictures, found before a run is.

source: the annotations of a split as they are written. annotations, masks: their faults. pictures: every picture
decoded. manifest: SHA-256 of the pictures. statistics: what the set looks like. repair: a copy that can be read.
"""
