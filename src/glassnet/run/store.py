"""The analyses of a run: each an entry of its own, written whole or not at all, and never changed afterwards.

    analyses/<kind>/<name>/
      analysis.json   settings as resolved, what it was made of, versions, code, seconds, the result with every measure,
                      and the words of its figures
      arrays.npz      the result's arrays, by the keys that stand in analysis.json
      *.npy           arrays too large for memory
      *.png *.svg     figures
      *.csv           tables for other programs

The explorer makes entries without figures, and with "browsed": true; `complete` adds figures and takes the mark away.

An entry is made under a temporary name and renamed, so that a process that is killed leaves no half of one. Asked for
again with the same settings it is found; with other settings another one is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from glassnet.errors import InputError, unknown_name
from glassnet.files import may_write, scratch_folder, write_json
from glassnet.run.entry import ENTRY_VERSION, FILE, Draft, Entry, FigureWords, Plot, full_name, read_entry
from glassnet.run.legacy import old_entries, remove_old

__all__ = ["Draft", "Entry", "FigureWords", "Plot", "Store", "slug"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,@-]*")
LONGEST_NAME = 100


class Store:
    """The analyses below one folder, by kind and name."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of a run, which holds analyses/."""
        self.folder = folder
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    @property
    def root(self) -> Path:
        """Where the kinds' folders are."""
        return self.folder / "analyses"

    @property
    def writable(self) -> bool:
        """Whether entries can be made: whether the folder, or the one that it will lie in, may be written to."""
        return may_write(self.root)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """List the entries, of one kind or of all, the oldest first; also those that an earlier version made.

        Raises:
            InputError: The analysis.json of one is damaged.
        """
        entries = [entry for place in self.places(kind) if (entry := read_entry(place)) is not None]
        entries += old_entries(self.folder, kind)
        return sorted(entries, key=lambda one: (one.made, one.kind, one.name))

    def places(self, kind: str | None = None) -> list[Path]:
        """List the entries' folders, unread, so that a damaged one can be named and removed."""
        files = self.root.glob(f"{kind or '*'}/*/{FILE}")
        return sorted(file.parent for file in files if not file.parent.name.startswith("."))

    def find(
        self, kind: str, settings: Mapping[str, Any], made_of: Mapping[str, Any], *, earlier: bool = True
    ) -> Entry | None:
        """Return the entry of these settings, made of these things; None where there is none.

        What an entry of an earlier version was made of is not known: it is taken where the run's weights are no newer,
        unless `earlier` is false.
        """
        wanted, parts = _canonical(without_open(settings)), _canonical(made_of)
        fitting = [
            entry
            for entry in old_entries(self.folder, kind)
            if (earlier and entry.elsewhere is not None and entry.elsewhere.current)
            and _canonical(without_open(entry.settings)) == wanted
        ]
        digest = _digest(settings, made_of)
        alike = [
            entry for place in self.places(kind) if self._digest_of(place) == digest and (entry := read_entry(place))
        ]
        fitting += [
            one
            for one in alike
            if _canonical(without_open(one.settings)) == wanted and _canonical(one.made_of) == parts
        ]
        return min(fitting, key=lambda one: (one.made, one.kind, one.name), default=None)

    def _digest_of(self, place: Path) -> str:
        """Return the digest of an entry's settings and what it was made of, read anew where its file has changed.

        Of a thousand entries, as an hour in the explorer makes, one has to be read to find one, not all.
        """
        try:
            status = (place / FILE).stat()
        except OSError:
            return ""
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(place)
        if known is None or known[0] != version:
            entry = read_entry(place)
            known = (version, "" if entry is None else _digest(entry.settings, entry.made_of))
            self._known[place] = known
        return known[1]

    def entry(self, name: str) -> Entry:
        """Return the entry of a name as `glassnet analyses` lists it: KIND/NAME, or NAME where it is the only one.

        Raises:
            InputError: There is no such entry, several kinds have one, or it is damaged.
        """
        place = self._place(name)
        entry = place if isinstance(place, Entry) else read_entry(place)
        if entry is None:
            raise InputError(f"{place} was removed by another process.")
        return entry

    def _place(self, name: str) -> Path | Entry:
        """Return the folder of an entry, or the entry where an earlier version made it and it has none."""
        places: dict[str, Path | Entry] = {f"{one.kind}/{one.name}": one for one in old_entries(self.folder)}
        places |= {full_name(place): place for place in self.places()}
        fitting = [full for full in places if name in (full, full.partition("/")[2])]
        if len(fitting) == 1:
            return places[fitting[0]]
        if fitting:
            raise InputError(f"'{name}' could mean {' or '.join(fitting)}; give one of them.")
        raise unknown_name("analysis", name, places, where=f" in {self.folder}", noun="analyses")

    def check_free(self, kind: str, name: str) -> None:
        """Refuse a name that an entry cannot have, before any work is done for it.

        Raises:
            InputError: It is taken, or cannot be that of a folder.
        """
        _check_name(name)
        if (self.root / kind / name).exists():
            raise InputError(
                f"{self.folder} already has an analysis {kind}/{name} with other settings; choose another --name, or "
                f"remove it with `glassnet analyses {self.folder} --remove {kind}/{name}`."
            )

    @contextlib.contextmanager
    def draft(self, kind: str, name: str, *, chosen: bool) -> Iterator[Draft]:
        """Yield the draft of an entry, which takes its name when the block ends well, and vanishes if not.

        Args:
            kind: Kind of the analysis.
            name: Its name.
            chosen: Whether the user chose the name, which must then be free; else it is numbered on.

        Raises:
            InputError: The name is taken or cannot be that of a folder, or the disk refuses.
        """
        self.check_free(kind, name) if chosen else _check_name(name)
        try:
            with scratch_folder(self.root / kind, name) as folder:
                draft = Draft(kind, folder)
                yield draft
                figures = {"figures": draft.document.pop("figures", [])}  # last: the result is read more often
                write_json(folder / FILE, {"entry_version": ENTRY_VERSION, "kind": kind, **draft.document, **figures})
                _rename(folder, self, kind, name, chosen=chosen)
        except OSError as error:
            raise InputError(
                f"cannot write the analysis {kind}/{name} in {self.folder} ({error.strerror or error}); free some "
                "space, or use a folder that you may write to."
            ) from None

    @contextlib.contextmanager
    def complete(self, entry: Entry) -> Iterator[Draft]:
        """Yield a draft of what is added to a browsed entry, which is browsed no longer when the block ends well.

        The files go into the entry one by one, each whole, and what names them last: killed in between, the entry is
        browsed as before, and asked for again it is completed.

        Raises:
            InputError: The entry was removed meanwhile, or the disk refuses.
        """
        try:
            with scratch_folder(entry.path.parent, entry.name) as folder:
                draft = Draft(entry.kind, folder)
                yield draft
                for path in sorted(folder.iterdir()):
                    path.replace(entry.path / path.name)
                document = {key: value for key, value in entry.document.items() if key not in ("browsed", "figures")}
                write_json(entry.path / FILE, {**document, "figures": draft.document.get("figures", [])})
        except OSError as error:
            raise InputError(
                f"cannot write to {entry.path} ({error.strerror or error}); free some space, or check whether the "
                "folder was removed."
            ) from None

    def remove_browsed(self) -> int:
        """Remove all entries that the explorer made and no command asked for, and return how many there were.

        Raises:
            InputError: One is damaged, or the disk refuses.
        """
        browsed = [one for one in self.entries() if one.browsed]
        for one in browsed:
            self.remove(f"{one.kind}/{one.name}")
        return len(browsed)

    def remove(self, name: str) -> Entry:
        """Remove an entry, also a damaged one, and return what it was, without its document.

        Raises:
            InputError: There is no such entry, others lie in its files, or the disk refuses.
        """
        place = self._place(name)
        if isinstance(place, Entry):
            remove_old(place)
            return place
        try:
            with scratch_folder(place.parent, place.name) as folder:
                place.rename(folder / place.name)  # at once, so that no reader sees half of it
        except OSError as error:
            raise InputError(f"cannot remove {place} ({error.strerror or error}).") from None
        return Entry(place.parent.name, place.name, place, {})

    def rename(self, name: str, new: str) -> Entry:
        """Give an entry another name.

        Raises:
            InputError: There is no such entry, the new name is taken or no name of a folder, or the disk refuses.
        """
        place = self._place(name)
        if isinstance(place, Entry):
            raise InputError(
                f"{place.kind}/{place.name} was made by an earlier version of glassnet and cannot be renamed."
            )
        _check_name(new)
        target = place.with_name(new)
        if target.exists():
            raise InputError(f"{full_name(target)} already exists in {self.folder}; choose another name.")
        try:
            place.rename(target)
        except OSError as error:
            raise InputError(f"cannot rename {place} to {new} ({error.strerror or error}).") from None
        return self.entry(full_name(target))


def _rename(folder: Path, store: Store, kind: str, name: str, *, chosen: bool) -> None:
    """Give the finished folder its name; another process may have taken it meanwhile."""
    for path in folder.rglob("*.np[yz]"):  # on the disk before the name is, should the power fail
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for number in itertools.count(1):
        target = store.root / kind / (name if number == 1 else f"{name}-{number}")
        try:
            folder.rename(target)
        except OSError:
            if not target.exists():
                raise
            if chosen:
                store.check_free(kind, name)
        else:
            return


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"'{name}' cannot name an analysis, expected up to {LONGEST_NAME} letters, digits and . _ + = , @ -, "
            "beginning with a letter or a digit."
        )


def slug(words: Sequence[str]) -> str:
    """Join words to a name that `draft` takes: short, and different for different words."""
    plain = [re.sub(r"[^A-Za-z0-9._+=,@]+", "-", word).strip("-._") for word in words]
    joined = "-".join(word for word in plain if word) or "analysis"
    joined = joined if joined[0].isalnum() else f"a{joined}"
    if len(joined) <= 60:
        return joined
    return f"{joined[:50].rstrip('-._')}-{hashlib.sha256(joined.encode()).hexdigest()[:6]}"


def _digest(settings: Mapping[str, Any], made_of: Mapping[str, Any]) -> str:
    both = f"{_canonical(without_open(settings))}\n{_canonical(made_of)}"
    return hashlib.sha256(both.encode(errors="surrogatepass")).hexdigest()


def without_open(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None: a setting that a later version has, and leaves open, makes no other analysis."""
    return {key: value for key, value in settings.items() if value is not None}


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
