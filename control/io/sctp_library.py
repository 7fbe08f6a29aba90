"""aiortc's SCTP without the rest of aiortc.

`import aiortc` also loads PyAV with all of FFmpeg, and libsrtp. Measured: 150 to 330 ms and 25 MB that way,
9 ms and 1.3 MB this way; and no codec library comes into the process that holds hop keys. SCTP needs only
RTCDataChannel, RTCSctpTransport and, for a type annotation, the name RTCDtlsTransport. So they are loaded
into a bare package, and sys.modules is put back as it was: who imports aiortc afterwards gets all of it.
"""

import importlib
import importlib.util
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiortc.rtcsctptransport import DataChunk, RTCSctpCapabilities, RTCSctpTransport
else:
    _PACKAGE = "aiortc"
    if _PACKAGE not in sys.modules:
        spec = importlib.util.find_spec(_PACKAGE)  # finds the package without running it
        package = types.ModuleType(_PACKAGE)
        package.__path__ = list(spec.submodule_search_locations)
        dtls = types.ModuleType(f"{_PACKAGE}.rtcdtlstransport")
        dtls.RTCDtlsTransport = object
        sys.modules[package.__name__], sys.modules[dtls.__name__] = package, dtls
        try:
            # This order: the two modules import each other and only one of them can begin.
            importlib.import_module(f"{_PACKAGE}.rtcdatachannel")
            sctp = importlib.import_module(f"{_PACKAGE}.rtcsctptransport")
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
                del sys.modules[name]
    else:
        sctp = importlib.import_module(f"{_PACKAGE}.rtcsctptransport")
    RTCSctpCapabilities, RTCSctpTransport = sctp.RTCSctpCapabilities, sctp.RTCSctpTransport
    DataChunk = sctp.DataChunk

__all__ = ["DataChunk", "RTCSctpCapabilities", "RTCSctpTransport"]
