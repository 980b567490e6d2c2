"""The whole chain on one machine: servers, network server, gateway and virtual boards (`make run`)."""
