"""Print what pyproject.toml asks for, one requirement per line: the build system's, the package's and the
extras' named as arguments. Standard library only: it runs before anything is installed."""

import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    settings = tomllib.load(file)
project = settings["project"]
wanted = [*settings["build-system"]["requires"], *project["dependencies"]]
for extra in sys.argv[1:]:
    wanted += project["optional-dependencies"][extra]
print("\n".join(dict.fromkeys(wanted)))
