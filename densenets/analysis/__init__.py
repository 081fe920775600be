"""What a net costs, how sure a number is, and many nets side by side. Heavy: import it late."""

import densenets.run  # noqa: F401  its settings of warnings and of albumentations hold here too
