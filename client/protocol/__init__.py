"""What goes over the wire, read and written; no input, output or clock."""
