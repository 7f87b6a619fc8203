"""Wire formats: messages to commands, events to messages. Pure translation, one file each."""
