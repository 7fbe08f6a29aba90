"""The thin shell over the compiled core: tables, the worker's loop, counters, the uplink."""
