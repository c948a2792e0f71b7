"""Which files could run code when they are read? For the tests of storage and of whole runs."""

import zipfile


def looks_like_code(path):
    """A pickle, also inside a zip as torch and joblib write it, or a NumPy file that may hold one."""
    content = path.read_bytes()
    if content.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x93NUMPY")):
        return True
    return zipfile.is_zipfile(path)
