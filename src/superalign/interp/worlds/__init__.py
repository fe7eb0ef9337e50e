"""Worlds whose units are known because they were planted: what an explanation should recover."""
