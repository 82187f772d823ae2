"""What runs here: devices and what they compute, the processor, threads, memory, and all of it as a fingerprint."""
