"""For technicians: devices into ChirpStack (`provision`), firmware and keys onto a board (`flash`)."""
