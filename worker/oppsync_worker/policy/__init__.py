"""What is to be done about an error: pure decisions, without a clock, without chance, without I/O."""
