"""What control performs: Matrix, datagrams, tables, processes, HTTP. Decides nothing."""
