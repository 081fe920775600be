"""densenets: any light backbone feeds any dense-prediction head."""

__version__ = "0.1.0"
