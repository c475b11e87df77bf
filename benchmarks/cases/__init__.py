"""One module a case; each has `build(setting) -> Case`."""
