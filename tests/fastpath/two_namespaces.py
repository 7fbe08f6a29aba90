"""A program in a network namespace that has a link, 10.9.0.1 to 10.9.0.2 over `sotto0`, to a second one."""

import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


def play(scene: str, namespace: str) -> None:
    """Runs Python text in `namespace` to its end; its one argument is the name of the namespace across."""
    across = namespace + "m"
    subprocess.run(["ip", "netns", "add", across], check=True)
    try:
        link = ["link", "add", "sotto0", "type", "veth", "peer", "name", "sotto0", "netns", across]
        subprocess.run(["ip", "-n", namespace, *link], check=True)
        for name, address in ((namespace, "10.9.0.1/24"), (across, "10.9.0.2/24")):
            subprocess.run(["ip", "-n", name, "address", "add", address, "dev", "sotto0"], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "sotto0", "up"], check=True)
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", scene, across]
        subprocess.run(command, cwd=ROOT, check=True, timeout=5 * PATIENCE_S)
    finally:
        subprocess.run(["ip", "netns", "delete", across], check=False)
