"""How a model is trained; knows the contract and the settings, no model and no data set."""
