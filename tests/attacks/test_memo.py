"""What attacks on different victims share."""

from __future__ import annotations

import multiprocessing

import pytest

from kdbench.attacks.memo import Memo

SETTINGS = {"what": "similarity", "window": 15}


def fill(folder, numbers):
    memo = Memo(folder)
    table = memo.table(SETTINGS)
    for number in numbers:
        table[Memo.key(str(number))] = str(number).encode()
    memo.save()


def known_value(content):
    """The one value a file holds."""
    return next(value for value in (b"1", b"2") if b"\x01\x00\x00\x00" + value in content)


def known(folder, settings=SETTINGS):
    return sorted(int(value) for value in Memo(folder).table(settings).values())


def test_what_is_saved_is_found_again(tmp_path):
    fill(tmp_path, [1, 2])
    table = Memo(tmp_path).table(SETTINGS)
    assert table[Memo.key("2")] == b"2"
    assert Memo.key("3") not in table
    assert known(tmp_path, {**SETTINGS, "window": 16}) == []


def test_keys_tell_texts_apart():
    texts = [("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab"), ("abc", "")]
    assert len({Memo.key(*parts) for parts in texts}) == len(texts)
    assert {len(Memo.key(*parts)) for parts in texts} == {16}
    assert Memo.key("\udcff") != Memo.key("\udcfe")  # what decoding broken bytes may leave


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(None, [1])
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_new_is_written(tmp_path):
    fill(tmp_path, [1])
    fill(tmp_path, [1])
    assert len(list(tmp_path.glob("*/*.parquet"))) == 1
    memo = Memo(tmp_path)
    memo.table(SETTINGS)[Memo.key("2")] = b"2"
    memo.save()
    memo.save()
    assert len(list(tmp_path.glob("*/*.parquet"))) == 2


def test_many_files_become_one(tmp_path):
    for number in range(40):
        fill(tmp_path, [number])
    assert known(tmp_path) == list(range(40))
    assert len(list(tmp_path.glob("*/*"))) <= 17


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path):
    parts = [range(start, start + 5) for start in range(0, 40, 5)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(fill, [(tmp_path, part) for part in parts])
    assert known(tmp_path) == list(range(40))


def test_a_damaged_file_is_as_good_as_none(tmp_path):
    fill(tmp_path, [1])
    fill(tmp_path, [2])
    first, second = sorted(tmp_path.glob("*/*.parquet"))
    first.write_bytes(first.read_bytes()[:50])
    assert len(known(tmp_path)) == 1
    content = second.read_bytes()
    second.write_bytes(content.replace(known_value(content), b"7", 1))  # which a reader of parquet would not notice
    assert known(tmp_path) == []


def test_a_folder_that_cannot_be_written_loses_the_memo_only(tmp_path):
    (tmp_path / "file").touch()
    fill(tmp_path / "file", [1])


def test_nothing_is_forgotten():
    table = Memo().table(SETTINGS)
    table[b"k" * 16] = b"v"
    with pytest.raises(TypeError, match="not forgotten"):
        del table[b"k" * 16]
