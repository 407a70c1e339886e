"""What a visitor is looking at, carried between the tabs and in the address bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from longclip.registry import HUB_PREFIX, available

TO_PICTURES, TO_CAPTIONS, BY_SUM = "pictures", "captions", "sum"
PICTURE_BOOK = "picturebook"
# An address longer than about 2,000 characters is cut by some programs that pass it on.
LONGEST_IN_ADDRESS = 1500


def is_shared(model: str) -> bool:
    """Whether a model's name means the same on every machine: a listed one or one of the hub, not a file or folder."""
    return model.startswith(HUB_PREFIX) or any(model == spec.name for spec in available())


@dataclass(frozen=True)
class Selection:
    """One visitor's choice: two models, a gallery, the picture that answers the caption, and the caption.

    `gallery`, `own` (the visitor's own pictures) and `upload` (one picture of the visitor's, used as query) are keys of
    `demos.context.Context`. `search` says what is looked for: `TO_PICTURES` by the caption, `TO_CAPTIONS` by the
    picture, or pictures `BY_SUM` of weighted terms.
    """

    left: str = "picturebook-clip"
    right: str = "picturebook-longclip"
    gallery: str = PICTURE_BOOK
    picture: str | None = None
    caption: str = ""
    search: str = TO_PICTURES
    own: str | None = None
    upload: str | None = None
    sent: str = ""
    """The tab that a hit's button took this to; the next change forgets it."""

    @property
    def models(self) -> tuple[str, str]:
        return self.left, self.right

    def changed(self, **fields: object) -> Selection:
        """The selection with other values for some fields."""
        return replace(self, **{"sent": ""} | fields)  # type: ignore[arg-type]

    def address(self, tab: str, own_caption: str | None = None) -> str:
        """The query part of a link, "?tab=…": what `from_address` reads back.

        `own_caption` is the caption that belongs to the picture and need not be spelled out. Pictures and models of the
        visitor's own stay out: they are on no other machine.
        """
        models = {side: name for side, name in (("left", self.left), ("right", self.right)) if is_shared(name)}
        fields = {"tab": tab, **models, "search": self.search}
        if self.gallery == PICTURE_BOOK and self.picture:
            fields["picture"] = self.picture
        if self.caption != own_caption and 0 < len(self.caption) <= LONGEST_IN_ADDRESS:
            fields["caption"] = self.caption
        return "?" + urlencode(fields, errors="replace")

    @classmethod
    def from_address(cls, query: Mapping[str, str], models: tuple[str, ...]) -> Selection:
        """The selection of a link. What is missing, unknown or too long is as in a fresh one."""
        fresh = cls()
        left, right = (query.get(side, "") for side in ("left", "right"))
        search = query.get("search", "")
        caption = query.get("caption", "")
        return cls(
            left=left if left in models else fresh.left,
            right=right if right in models else fresh.right,
            picture=query.get("picture") or None,
            caption=caption if len(caption) <= LONGEST_IN_ADDRESS else "",
            search=search if search in (TO_PICTURES, TO_CAPTIONS, BY_SUM) else TO_PICTURES,
        )
