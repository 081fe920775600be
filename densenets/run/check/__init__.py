"""The check of a data set before a training: `boxes` and `masks` look, `page` and `mask_page` show what they found."""

from densenets.run.check.boxes import check_data

__all__ = ["check_data"]
