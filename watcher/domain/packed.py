"""Lists of numbers, and of tuples of numbers, in eight bytes a number: thousands of jobs keep hundreds each."""

import struct
from array import array
from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, ClassVar, Self, TypeVar, cast, overload

T = TypeVar("T", bound=tuple[float, ...])


class Floats(array):  # type: ignore[type-arg] # array[float], which Python 3.11 can't say
    """As a list of floats, which takes five times as much; a part of it is a plain array."""

    __slots__ = ()
    ITEM: ClassVar = float

    def __new__(cls, values: Iterable[float] = ()) -> Self:
        return cast("Self", super().__new__(cls, "d", values))


class Ints(array):  # type: ignore[type-arg]
    """The same for whole numbers of 64 bits."""

    __slots__ = ()
    ITEM: ClassVar = int

    def __new__(cls, values: Iterable[int] = ()) -> Self:
        return cast("Self", super().__new__(cls, "q", values))


class Packed(MutableSequence[T]):
    """As a list of such tuples, which takes four times as much; what is taken out is made anew each time.

    A subclass says what its tuples are. Whole numbers are of 64 bits, as in the store. The codec stores it as a list.
    """

    __slots__ = ("_bytes",)
    ITEM: ClassVar[Any]
    """The type of a tuple, for the codec; a named one is made of what was packed."""
    FORM: ClassVar[struct.Struct]

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._bytes = self._joined(items)

    def __len__(self) -> int:
        return len(self._bytes) // self.FORM.size

    def __iter__(self) -> Iterator[T]:
        return map(self._made, self.FORM.iter_unpack(self._bytes))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        if isinstance(index, slice):
            part = type(self)()
            part._bytes = self._bytes[self._span(index)]  # noqa: SLF001 - of the same class
            return part
        return self._made(self.FORM.unpack_from(self._bytes, self._place(index)))

    @overload
    def __setitem__(self, index: int, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            self._bytes[self._span(index)] = self._joined(value)
        else:
            self.FORM.pack_into(self._bytes, self._place(index), *value)

    def __delitem__(self, index: int | slice) -> None:
        if isinstance(index, int):
            place = self._place(index)
            del self._bytes[place : place + self.FORM.size]
        else:
            del self._bytes[self._span(index)]

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, type(self)) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def plain(self) -> list[tuple[Any, ...]]:
        """Everything as plain tuples: where a named one is made into JSON, it takes 15 times as long."""
        return list(self.FORM.iter_unpack(self._bytes))

    def append(self, value: T) -> None:
        self._bytes += self.FORM.pack(*value)

    def extend(self, values: Iterable[T]) -> None:
        self._bytes += self._joined(values)

    def insert(self, index: int, value: T) -> None:
        self[index:index] = [value]

    def _joined(self, items: Iterable[T]) -> bytearray:
        pack = self.FORM.pack
        try:
            return bytearray().join([pack(*item) for item in items])
        except struct.error as exc:
            raise ValueError(f"tuples of numbers of 64 bits are expected: {exc}") from exc

    def _made(self, numbers: tuple[Any, ...]) -> T:
        return cast("T", getattr(self.ITEM, "_make", tuple)(numbers))

    def _place(self, index: int) -> int:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"there are {count}")
        return index % count * self.FORM.size

    def _span(self, index: slice) -> slice:
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError("only neighbours can be taken together")
        return slice(start * self.FORM.size, max(start, stop) * self.FORM.size)
