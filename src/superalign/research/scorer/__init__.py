"""The process that holds the keys: it validates, answers in steps, confirms once, and alone writes results."""
