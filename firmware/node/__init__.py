"""The application: one wake."""
