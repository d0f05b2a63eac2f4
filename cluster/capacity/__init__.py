"""How much of everything a load needs, from what was measured on two cores."""
