"""What is measured of the project, against whom."""
