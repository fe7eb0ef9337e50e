"""Automated interpretability: activations, dictionaries, explanations, simulations, scores and their controls."""
