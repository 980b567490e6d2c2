"""One sensor a file: each knows a datasheet, nothing else."""
