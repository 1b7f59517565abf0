"""A study as the server knows it: its design, its pictures by name, and the key that signs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from mien.study.answers import Refused
from mien.study.design import Design
from mien.study.store import Store, pictures, studies


class Study:
    """One study in a database.

    key: signs links and tokens. secret: path of the researcher's pages. side: pixels of a picture.
    names: of pictures by id. masks: names of masks. practice: ids of practice pictures by set.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.reading() as connection:
            study = connection.execute(select(studies)).one()
            columns = (pictures.c.id, pictures.c.name, pictures.c.set, pictures.c.role)
            found = connection.execute(select(*columns).order_by(pictures.c.id)).all()
        self.design = Design.model_validate_json(study.design)
        self.secret: str = study.secret
        self.side: int = study.side
        self.key = bytes.fromhex(study.key)
        self.names = {row.id: row.name for row in found}
        self.masks = [row.name for row in found if row.role == "mask"]
        self.practice = self._by_set(found, "practice")

    def _by_set(self, found: Sequence[Any], role: str) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {one.name: [] for one in self.design.sets}
        for row in found:
            if row.role == role:
                groups[row.set].append(row.id)
        return groups

    def check_open(self) -> None:
        """Raise Refused where the study takes nobody any more."""
        closes = self.design.closes
        if closes is not None and datetime.now(UTC) >= closes:
            raise Refused(410, "closed", "This study has ended. Thank you for your interest.")
