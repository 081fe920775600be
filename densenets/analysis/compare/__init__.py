"""The comparison: a grid of trainings under one protocol, run here or by Ray, judged, ranked; `command` begins it."""
