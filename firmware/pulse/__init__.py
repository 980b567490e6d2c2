"""The water meter's contact: counting it awake and asleep, and what a count becomes over hours and days."""
