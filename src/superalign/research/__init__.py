"""Automated alignment research: proposers, sandbox, scorer, ledger, statistics and verdicts."""
