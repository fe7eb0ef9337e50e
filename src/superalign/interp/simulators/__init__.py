"""Simulators: from what a unit is said to respond to, to where it fires."""
