"""`make quality`: what people see and hear on bad networks, measured in namespaces of our own.

    python -m benchmarks.quality                      everything, some eight minutes on two idle cores
    python -m benchmarks.quality --quick              what needs no browser, and the simulation
    python -m benchmarks.quality --only loss_5        one scenario (their names stand in __main__.py)

Where what is:
    netbridge.c, network.py      networks that delay, lose, repeat, reorder and corrupt as a seed says
    server.py                    a true worker and control; only Matrix is a list
    pages.py, client.js          members in real Chromium, without a homeserver and frame encryption
    device.py, sending.py, receiving.py, rtp.py, offers.py       members without a browser
    stage.py                     all of these together, and a record of estimates, deals and rates
    storms.py, synthetic.py, losses.py, bottleneck.py            scenarios
    clicks.py                    the scenario that plays the browser client
    passages.py, rows.py         what figures are made of; plots.py, simulated.py: the pictures

The network is exact even on a loaded machine: the bridge goes before everything else, and half of all packets
are less than 0.1 ms late. Browsers and encoders share the processors with what they measure: where much else
runs, pictures come later, and estimates are lower, because arrival times in a browser tremble.
"""
