"""How long tests wait for what comes at once where the machine has time.

Never an assertion of its own: a test that passes waits no longer than it must. Figures of time belong in the
benchmarks. Lower fails on a loaded machine; higher delays bad news.
"""

PATIENCE_S = 120.0
