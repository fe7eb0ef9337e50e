"""Explanations without a language model: predicates over tokens, their search, and programs that simulate."""
