"""From a frame to Avro records."""
