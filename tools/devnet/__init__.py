"""devnet: a small ChirpStack-compatible LoRaWAN network server for development, demonstration and tests."""
