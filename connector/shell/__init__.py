"""What waits and obeys: sockets, files, Kafka, HTTP."""
