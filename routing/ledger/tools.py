"""sqlite-utils, without what it looks for beside itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

__all__ = ["database"]


def database(conn: sqlite3.Connection) -> Database:
    """Return sqlite-utils' view of a connection.

    It imports pandas where that is installed, with pyarrow: half a second, and threads, which the resident process
    cannot be forked with. Nothing here hands it a frame.
    """
    if "sqlite_utils" not in sys.modules and "pandas" not in sys.modules:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # import says ImportError to that
        try:
            import sqlite_utils
        finally:
            del sys.modules["pandas"]
    import sqlite_utils

    return sqlite_utils.Database(conn, execute_plugins=False)
