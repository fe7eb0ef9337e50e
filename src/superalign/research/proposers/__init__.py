"""Programs that propose methods: told what was tried and how it scored on development problems, they say what next."""
