"""Vigie's gateway: ChirpStack events from MQTT, through a spool that survives, to InfluxDB."""
