"""Google's own description of its APIs, as gcloud's library carries it: which fields of a body does Google not know?

Where gcloud is not installed there is nothing to ask, and AVAILABLE is False. Nothing here opens a connection.
"""

import importlib
import os
import shutil
import sys
import warnings

_program = shutil.which("gcloud")
_library = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(_program))), "lib") if _program else ""
sys.path += [path for path in (_library, os.path.join(_library, "third_party")) if _library]  # last: ours come first
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apitools.base.py import encoding
    AVAILABLE = bool(_library)
except ImportError:
    AVAILABLE = False


def unknown_fields(api, version, message, body):
    """Paths of what Google's `message` does not have; values of a wrong type are an exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"googlecloudsdk.generated_clients.apis.{api}.{version}.{api}_{version}_messages")
        decoded = encoding.PyValueToMessage(getattr(module, message), body)
    return [".".join([str(edge.field) for edge in edges] + [name])
            for edges, names in encoding.UnrecognizedFieldIter(decoded) for name in names]
