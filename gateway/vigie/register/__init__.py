"""The register: what a person knows of sites, devices, meters and bins, and who said so, when and why (docs/register.md)."""

from .desk import Report, correct, import_sheet, withdraw
from .sheets import KINDS, Kind, kind_named, render, to_cells
from .store import Audit, Entry, Register

__all__ = [
    "KINDS",
    "Audit",
    "Entry",
    "Kind",
    "Register",
    "Report",
    "correct",
    "import_sheet",
    "kind_named",
    "render",
    "to_cells",
    "withdraw",
]
