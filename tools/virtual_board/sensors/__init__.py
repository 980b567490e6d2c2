"""Models of sensors at byte level."""
