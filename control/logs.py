"""How every process writes its log: lines for people or JSON objects for collectors, on standard error.

No identifier, address or SDP belongs into any message; a call is named by numbers of ours.
"""

import json
import logging
import os
import time

LEVEL, FORMAT = "SOTTO_LOG_LEVEL", "SOTTO_LOG_FORMAT"
"""Environment variables that children inherit."""


class _Json(logging.Formatter):
    """One object a line. Values given as `extra={"fields": {...}}` become members of it."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "role": self._role,
            "process": record.process,
            "module": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def begin(role: str) -> None:
    """Sets logging up for this process, by the environment."""
    handler = logging.StreamHandler()
    if os.environ.get(FORMAT) == "json":
        handler.setFormatter(_Json(role))
    else:
        handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {role} %(name)s: %(message)s"))
    logging.basicConfig(level=os.environ.get(LEVEL, "INFO"), handlers=[handler])


def set_level(level: str, module: str = "") -> None:
    """Of one module and what is below it, or of all, from now on. ValueError for no such level."""
    logging.getLogger(module or None).setLevel(level.upper())
