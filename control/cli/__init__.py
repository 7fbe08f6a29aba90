"""The command line `sotto`: everything an operator does, one file per command.

Nothing here is imported by the server's own processes: a worker starts without it.
"""
