"""Protocols around protocols. A reference adds them with `+`: `debate:rounds=2+majority:k=5+reasoning`."""
