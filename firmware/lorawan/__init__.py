"""LoRaWAN 1.0.4 class A for MicroPython, sans-I/O: `mac.Mac.handle(event, now) -> actions`. See README.md."""
