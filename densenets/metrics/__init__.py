"""How well a prediction fits the truth, by the official rules."""
