"""Slow, plain oracles that the fast parts are compared with; they import nothing of reidkit."""
