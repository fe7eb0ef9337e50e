"""Explainers: from when a unit fires to what it responds to."""
