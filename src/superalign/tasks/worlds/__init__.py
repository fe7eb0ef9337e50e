"""Small worlds with known truth that ship with the package: they need no network, no key and no GPU."""
