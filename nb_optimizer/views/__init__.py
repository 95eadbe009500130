"""Pictures out: a run as text, as static HTML, as a live panel. All are made from its record."""

from __future__ import annotations

from nb_optimizer.views.compression import Compression
from nb_optimizer.views.compression_live import compression_view
from nb_optimizer.views.frontend import cell_id
from nb_optimizer.views.live import follow, view_for
from nb_optimizer.views.result import Comparison, Run, RunTable, open_result

__all__ = [
    "Comparison",
    "Compression",
    "Run",
    "RunTable",
    "cell_id",
    "compression_view",
    "follow",
    "open_result",
    "view_for",
]
