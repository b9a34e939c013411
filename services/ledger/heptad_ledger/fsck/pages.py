"""LMDB's file, page by page, read with nothing but `struct`.

LMDB trusts its own pages: a changed bit in a page number or an offset makes it read outside the map
or walk in circles, and then a checker that uses it dies of the damage that it looks for. So before
a table is read at all, this walks its tree: each page says its own number and type, offsets stay in
the page, keys ascend, no page is reached twice or is free at the same time, and each tree has as
many pages and entries as its head says. What a row's value holds is for others to check.

The layout is LMDB 0.9's on 64-bit little-endian machines, which is what py-lmdb writes here:

    page    pgno u64 | pad u16 | flags u16 | lower u16 | upper u16, then one u16 for each node;
            an overflow page has its number of pages as u32 in place of lower and upper
    node    lo u16 | hi u16 | flags u16 | key size u16 | key | data
            branch: page number = lo | hi << 16 | flags << 32; leaf: data size = lo | hi << 16
    meta    page | magic u32 | version u32 | address u64 | map size u64 | two trees | last page u64
            | transaction u64; the tree of free pages comes first
    tree    pad u32 | flags u16 | depth u16 | branch, leaf and overflow pages, entries, root: u64
"""

import mmap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Final

PAGE_BYTES: Final = 4_096
DEPTH_MAX: Final = 32
_HEADER: Final = Struct("<QHHHH")
_HEADER_BYTES: Final = 16
_NODE: Final = Struct("<HHHH")
_NODE_BYTES: Final = 8
_META: Final = Struct("<IIQQ")
_TREE: Final = Struct("<IHHQQQQQ")
_TREE_BYTES: Final = 48
_TAIL: Final = Struct("<QQ")
_U64: Final = Struct("<Q")
_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8
_BIG, _SUBTREE = 1, 2
_INTEGER_KEY: Final = 8
_NO_PAGE: Final = (1 << 64) - 1

_Node = tuple[int, int, int, int, bytes, int]
"""A node's three numbers, where in the page its data begin, its key, and its offset."""

_Bounded = tuple[int, bytes, bytes | None]
"""A page's number, and the keys between which its own lie; None for no upper bound."""

Tell = Callable[[str, str], None]
"""Takes a table's name and what is wrong with it."""


class _PageDamagedError(Exception):
    """A page that cannot be followed any further."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree's head."""

    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


@dataclass(slots=True)
class _Count:
    """What a walk has met."""

    branch_pages: int = 0
    leaf_pages: int = 0
    overflow_pages: int = 0
    entries: int = 0
    subtrees: list[tuple[bytes, _Tree]] = field(default_factory=list)


def check_pages(path: Path, tell: Tell, *, without: Collection[str] = ()) -> None:
    """Walk all that the newest meta page of this file leads to; `tell` hears what is wrong.

    Tables named in `without` are left out. Raises: OSError.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if size < 2 * PAGE_BYTES:
            tell("file", f"{size} bytes hold no database")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Walk(data, tell, without).run()


class _Walk:
    """One walk over one file."""

    def __init__(self, data: mmap.mmap, tell: Tell, without: Collection[str]) -> None:
        self._without = without
        self._data = data
        self._tell = tell
        self._met: set[int] = set()
        self._last_page = 0

    def run(self) -> None:
        """Check everything."""
        try:
            free, main = self._newest()
        except _PageDamagedError as error:
            self._tell("meta", str(error))
            return
        trees = [("free pages", free), ("tables", main)]
        freed: set[int] = set()
        while trees:
            name, tree = trees.pop(0)
            count = self._checked(name, tree, freed if tree is free else None)
            named = [(key.decode("ascii", "replace"), below) for key, below in count.subtrees]
            trees += [(table, below) for table, below in named if table not in self._without]
        for page in sorted(freed & self._met)[:10]:
            self._tell("free pages", f"page {page} is free and in use")

    def _newest(self) -> tuple[_Tree, _Tree]:
        """The trees of the newest meta page, and where the file ends."""
        metas = [self._meta(number) for number in (0, 1)]
        if abs(metas[0][3] - metas[1][3]) > 1:
            raise _PageDamagedError(
                f"the two meta pages are of transactions {metas[0][3]} and {metas[1][3]}, which do"
                " not follow each other"
            )
        free, main, self._last_page, _ = max(metas, key=lambda meta: meta[3])
        if (self._last_page + 1) * PAGE_BYTES > len(self._data):
            raise _PageDamagedError(
                f"the file ends before its last page, {self._last_page}: it was cut short"
            )
        return free, main

    def _meta(self, number: int) -> tuple[_Tree, _Tree, int, int]:
        at = number * PAGE_BYTES
        page, _, flags, _, _ = _HEADER.unpack_from(self._data, at)
        magic, version, _, _ = _META.unpack_from(self._data, at + _HEADER_BYTES)
        if (page, flags, magic, version) != (number, _META_PAGE, _MAGIC, _VERSION):
            raise _PageDamagedError(f"page {number} is no meta page of LMDB {_VERSION}")
        at += _HEADER_BYTES + _META.size
        free_pad = _TREE.unpack_from(self._data, at)[0]
        if free_pad != PAGE_BYTES:
            raise _PageDamagedError(f"page {number}: pages of {free_pad} bytes")
        free, main = self._tree(at), self._tree(at + _TREE_BYTES)
        last_page, transaction = _TAIL.unpack_from(self._data, at + 2 * _TREE_BYTES)
        return free, main, last_page, transaction

    def _tree(self, at: int) -> _Tree:
        _, flags, depth, branch, leaf, overflow, entries, root = _TREE.unpack_from(self._data, at)
        return _Tree(flags, depth, branch, leaf, overflow, entries, root)

    def _checked(self, name: str, tree: _Tree, freed: set[int] | None) -> _Count:
        count = _Count()
        if tree.root == _NO_PAGE:
            if tree.entries or tree.depth:
                self._tell(name, f"no root, but {tree.entries} entries are told")
            return count
        try:
            self._walk(tree, count, freed)
        except _PageDamagedError as error:
            self._tell(name, str(error))
            return count
        told = (tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries)
        found = (count.branch_pages, count.leaf_pages, count.overflow_pages, count.entries)
        if told != found:
            self._tell(name, f"branch, leaf, overflow pages and entries: told {told}, met {found}")
        return count

    def _walk(self, tree: _Tree, count: _Count, freed: set[int] | None) -> None:
        if not 1 <= tree.depth <= DEPTH_MAX:
            raise _PageDamagedError(f"a tree of depth {tree.depth}")
        is_integer = bool(tree.flags & _INTEGER_KEY)
        level: list[_Bounded] = [(tree.root, b"", None)]
        for below in reversed(range(tree.depth)):
            children: list[_Bounded] = []
            for page, low, high in level:
                at = self._reach(page, _BRANCH if below else _LEAF)
                nodes = list(self._nodes(page, at))
                self._check_keys(page, nodes, low, high, is_branch=below > 0, swap=is_integer)
                if below:
                    count.branch_pages += 1
                    children += self._children(nodes, low, high)
                else:
                    count.leaf_pages += 1
                    count.entries += len(nodes)
                    self._check_leaf(page, nodes, count, freed)
            level = children

    def _reach(self, page: int, kind: int) -> int:
        """A page's offset; it is of that kind, and nobody was there before."""
        self._claim(page)
        at = page * PAGE_BYTES
        number, _, flags, lower, upper = _HEADER.unpack_from(self._data, at)
        if number != page or flags != kind:
            raise _PageDamagedError(f"page {page} says it is page {number} with flags {flags:#x}")
        if not _HEADER_BYTES <= lower <= upper <= PAGE_BYTES or lower % 2:
            raise _PageDamagedError(f"page {page}: free space from {lower} to {upper}")
        return at

    def _claim(self, page: int) -> None:
        if not 2 <= page <= self._last_page:
            raise _PageDamagedError(f"page {page} is outside of the file")
        if page in self._met:
            raise _PageDamagedError(f"page {page} is reached twice")
        self._met.add(page)

    def _nodes(self, page: int, at: int) -> Iterator[_Node]:
        """The nodes of a page."""
        _, _, _, lower, upper = _HEADER.unpack_from(self._data, at)
        count = (lower - _HEADER_BYTES) // 2
        if not count:
            raise _PageDamagedError(f"page {page} is empty")
        data, node_bytes = self._data, _NODE_BYTES
        for offset in Struct(f"<{count}H").unpack_from(data, at + _HEADER_BYTES):
            if not upper <= offset <= PAGE_BYTES - node_bytes:
                raise _PageDamagedError(f"page {page}: a node at {offset}")
            lo, hi, flags, key_size = _NODE.unpack_from(data, at + offset)
            data_at = offset + node_bytes + key_size
            if data_at > PAGE_BYTES:
                raise _PageDamagedError(f"page {page}: a key of {key_size} bytes at {offset}")
            yield lo, hi, flags, data_at, data[at + offset + node_bytes : at + data_at], offset

    def _check_keys(
        self,
        page: int,
        nodes: list[_Node],
        low: bytes,
        high: bytes | None,
        *,
        is_branch: bool,
        swap: bool,
    ) -> None:
        """They ascend, and lie between the bounds that the page above gives."""
        keys = [node[4] for node in nodes[is_branch:]]
        ordered = [key[::-1] for key in keys] if swap else keys
        low, high = (low[::-1], high[::-1] if high else high) if swap else (low, high)
        if any(left >= right for left, right in pairwise(ordered)):
            raise _PageDamagedError(f"page {page}: its keys do not ascend")
        if ordered and (ordered[0] < low or (high is not None and ordered[-1] >= high)):
            raise _PageDamagedError(f"page {page}: its keys are not those that the page above says")

    def _children(self, nodes: list[_Node], low: bytes, high: bytes | None) -> Iterator[_Bounded]:
        for place, (lo, hi, flags, _, key, _) in enumerate(nodes):
            until = nodes[place + 1][4] if place + 1 < len(nodes) else high
            yield lo | hi << 16 | flags << 32, key if place else low, until

    def _check_leaf(
        self,
        page: int,
        nodes: list[_Node],
        count: _Count,
        freed: set[int] | None,
    ) -> None:
        for lo, hi, flags, data_at, key, _ in nodes:
            size = lo | hi << 16
            at = page * PAGE_BYTES + data_at
            if flags == _BIG:
                at = self._big(_U64.unpack_from(self._data, at)[0], size, count)
            elif flags not in (0, _SUBTREE):
                raise _PageDamagedError(f"page {page}: a node with flags {flags:#x}")
            elif data_at + size > PAGE_BYTES:
                raise _PageDamagedError(f"page {page}: {size} bytes of data at {data_at}")
            if flags == _SUBTREE:
                if size != _TREE_BYTES:
                    raise _PageDamagedError(f"page {page}: a table's head of {size} bytes")
                count.subtrees.append((key, self._tree(at)))
            elif freed is not None:
                self._read_freed(page, at, size, freed)

    def _big(self, page: int, size: int, count: _Count) -> int:
        """Where a value begins that has pages of its own."""
        if not 2 <= page <= self._last_page:
            raise _PageDamagedError(f"page {page} is outside of the file")
        at = page * PAGE_BYTES
        number, _, flags, low, high = _HEADER.unpack_from(self._data, at)
        pages = low | high << 16
        if (number, flags) != (page, _OVERFLOW) or pages != _pages_of(size):
            raise _PageDamagedError(
                f"page {page} is no value of {size} bytes: number {number}, flags {flags:#x},"
                f" {pages} pages"
            )
        for each in range(page, page + pages):
            self._claim(each)
        count.overflow_pages += pages
        return at + _HEADER_BYTES

    def _read_freed(self, page: int, at: int, size: int, freed: set[int]) -> None:
        words = size // 8
        numbers = Struct(f"<{words}Q").unpack_from(self._data, at) if words else ()
        if size % 8 or not numbers or numbers[0] != words - 1:
            raise _PageDamagedError(f"page {page}: a list of free pages of {size} bytes")
        if any(not 2 <= number <= self._last_page for number in numbers[1:]):
            raise _PageDamagedError(f"page {page}: a free page outside of the file")
        if freed.intersection(numbers[1:]) or len(set(numbers[1:])) != len(numbers) - 1:
            raise _PageDamagedError(f"page {page}: a page is free twice")
        freed.update(numbers[1:])


def _pages_of(size: int) -> int:
    return (_HEADER_BYTES - 1 + size) // PAGE_BYTES + 1
