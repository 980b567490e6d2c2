"""The lists of ChirpStack's API: filters, search, order and pages (storage/*.rs, `list` and `get_count`, as built with SQLite)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .store import Store

_FROM = {
    "tenant": "tenant x",
    "application": "application x",
    "device_profile": "device_profile x",
    "gateway": "gateway x LEFT JOIN gateway_stats s ON s.gateway_id = x.gateway_id",
    "device": "device x JOIN device_profile p ON p.id = x.device_profile_id LEFT JOIN radio s ON s.dev_eui = x.dev_eui",
}
# By the API's numbers; what is equal goes by name, then by key, so that pages never overlap.
_ORDER = {
    "gateway": ("x.name", "x.gateway_id", "s.last_seen_ns"),
    "device": ("x.name", "x.dev_eui", "s.last_seen_ns", "p.name"),
}
_KEY = {"gateway": "x.gateway_id", "device": "x.dev_eui"}


class Wanted(NamedTuple):
    """A list request. `where`: columns and their values; `search`: part of the name, in either case; limit 0: the total only."""

    where: Mapping[str, str]
    search: str
    limit: int
    offset: int
    order_by: int = 0
    descending: bool = False
    tags: Mapping[str, str] = {}


def page(store: Store, kind: str, wanted: Wanted) -> tuple[int, list[tuple[bytes, int, int]]]:
    """(number in all, one page of (message, created, updated))."""
    conditions = ["x.name LIKE ?", *(f"x.{column} = ?" for column in wanted.where)]
    values: list[object] = [f"%{wanted.search}%", *wanted.where.values()]
    for name, value in wanted.tags.items():
        conditions.append("EXISTS (SELECT 1 FROM json_each(x.tags) t WHERE t.key = ? AND t.value = ?)")
        values += [name, value]
    sql = f"FROM {_FROM[kind]} WHERE {' AND '.join(conditions)}"
    count = store.rows(f"SELECT count(*) {sql}", *values)[0][0]
    way = "DESC" if wanted.descending else "ASC"
    orders = _ORDER.get(kind, ("x.name",))
    order = orders[wanted.order_by] if wanted.order_by < len(orders) else orders[0]
    rows: list[Any] = store.rows(
        f"SELECT x.message, x.created_ns, x.updated_ns {sql} ORDER BY {order} {way}, x.name, {_KEY.get(kind, 'x.id')} LIMIT ? OFFSET ?",
        *values,
        wanted.limit,
        wanted.offset,
    )
    return int(count), rows
