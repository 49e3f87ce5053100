"""The formats of charts as files. Another format that matplotlib writes is one more line here."""

from collections.abc import Mapping

# Format, which is also the ending of the file -> the metadata to leave out: dates and versions would make equal charts
# differ in their bytes.
FORMATS: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
DEFAULT_FORMATS = ("png", "svg")
