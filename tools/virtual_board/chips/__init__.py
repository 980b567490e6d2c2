"""Models of chips at the level of bus, pins and registers."""
