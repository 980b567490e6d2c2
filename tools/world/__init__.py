"""The one clock, the air and the ground truth of the virtual city."""
