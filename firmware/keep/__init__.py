"""What survives deep sleep (RTC memory) and power loss (flash)."""
