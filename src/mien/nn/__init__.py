"""Networks and layers, without losses: those of the families, and published ones."""
