"""Pairs of sentences: read out of packages, cleaned, split so that nothing leaks."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import polib
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import catalogues  # noqa: E402  (the examples are scripts, not a package)
import pairs  # noqa: E402
from catalogues import Pair  # noqa: E402
from folder import RequestError  # noqa: E402

PO = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

msgid "Save"
msgstr "Enregistrer"

#, fuzzy
msgid "Open"
msgstr "Ouvrir ?"

#~ msgid "Old"
#~ msgstr "Vieux"

#. Default: "Say \"yes\""
msgid "label_yes"
msgstr "Dites « oui »"

msgid "%(n)d file"
msgid_plural "%(n)d files"
msgstr[0] "%(n)d fichier"
msgstr[1] "%(n)d fichiers (rare)"
msgstr[2] "%(n)d fichiers"
"""
FOUND = [
    ("Save", "Enregistrer", "Save"),
    ('Say "yes"', "Dites « oui »", 'Say "yes"'),
    ("%(n)d file", "%(n)d fichier", "%(n)d file"),
    ("%(n)d files", "%(n)d fichiers", "%(n)d file"),
]


def other(text):
    """A catalogue of one message, as gettext compiles it."""
    file = polib.POFile()
    file.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    file.append(polib.POEntry(msgid="Close", msgstr=text))
    return file.to_binary()


def files():
    return {
        "a/locale/fr_FR/LC_MESSAGES/a.po": PO.encode(),
        "a/locale/fr_FR/LC_MESSAGES/a.mo": other("of the same messages"),
        "a/locale/fr/LC_MESSAGES/b.mo": other("Fermer"),
        "a/locale/fr_CA/LC_MESSAGES/a.po": b"of another country",
        "a/locale/de/LC_MESSAGES/a.mo": other("Schließen"),
    }


def as_wheel(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files().items():
            archive.writestr(name, content)


def as_sdist(path):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files().items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def as_folder(path):
    for name, content in files().items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("some_app-1.0-py3-none-any.whl", as_wheel),
        ("some_app-1.0.tar.gz", as_sdist),
        ("some_app", as_folder),
    ],
)
def test_messages_of_a_package(tmp_path, name, make):
    make(tmp_path / name)
    found = catalogues.read_package(tmp_path / name, "fr")
    close = ("Close", "Fermer", "Close")
    assert sorted(found) == sorted(
        Pair(source, target, "some_app", message)
        for source, target, message in [*FOUND, close]
    )
    german = catalogues.read_package(tmp_path / name, "de")
    assert [pair.target for pair in german] == ["Schließen"]


def test_a_damaged_package_and_none_are_told_of(tmp_path):
    (tmp_path / "a-1.whl").write_bytes(b"PK\x03\x04 not all of it")
    with pytest.raises(RequestError, match=r"a-1\.whl cannot be read .*delete it"):
        catalogues.read_folder(tmp_path, "fr")
    (tmp_path / "a-1.whl").unlink()
    as_wheel(tmp_path / "b-1.whl")
    with pytest.raises(RequestError, match="Got 1 packages and no message: run make"):
        catalogues.read_folder(tmp_path, "es")
    with pytest.raises(RequestError, match="Got 0 packages"):
        catalogues.read_folder(tmp_path / "nowhere", "fr")


def test_a_table_of_ones_own(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("Go.\tVa !\tfrom somewhere\n\nRun!\tCours !\n", "utf-8")
    found = [(pair.source, pair.target) for pair in catalogues.read_table(file)]
    assert found == [("Go.", "Va !"), ("Run!", "Cours !")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\tb\nno tab here\n", "Got none in line 2: 'no tab here'"),
        (b"\xff\xfe\x00", "wants a text file in UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_is_none(tmp_path, content, said):
    file = tmp_path / "pairs.tsv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RequestError, match=said):
        catalogues.read_table(file)


def pair(source, target, message=None):
    return Pair(source, target, "app", message or source)


def test_what_teaches_nothing_is_left_out_and_counted():
    kept, left_out = pairs.cleaned(
        [
            pair("Save", "Enregistrer"),
            pair("&Save ", "Sauver"),
            pair(" Save", "Sauver"),
            pair("Sa&ve", "Sauver"),  # three say so
            pair("Open", " "),
            pair("%(n)s: {x} <b>1</b>", "%(n)s : {x}"),
            pair("label_save_as", "Enregistrer sous"),
            pair("Python", "Python"),
            pair("word " * 50, "mot"),
            pair("a", "un, mais en beaucoup plus de mots"),
        ]
    )
    assert kept == [pair("Save", "Sauver")]
    assert left_out == {
        "there already": 3,
        "no translation": 1,
        "no word in it": 1,
        "a name, not a text": 1,
        "not translated": 1,
        "longer than 200 characters": 1,
        "one four times as long as the other": 1,
    }


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("&File", "File"),
        ("Sa&ve as...", "Save as..."),
        ("Q&A", "Q&A"),
        ("this & that", "this & that"),
        ("a &nbsp; b", "a &nbsp; b"),
        ("http://x/?a=1&b=2", "http://x/?a=1&b=2"),
        ("a\n  b", "a b"),
    ],
)
def test_accelerator_keys(text, without):
    assert pairs.tidy(text) == without


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%(name)s has %(n)02d", ["%(name)s", "%(n)02d"]),
        ("{count} of {0:.2f}, {} and ${user}", ["{count}", "{0:.2f}", "{}", "${user}"]),
        ("%s, %d, %1$s and %2.", ["%s", "%d", "%1$s", "%2"]),
        ("100% sure, 50%rebate", []),
    ],
)
def test_placeholders(text, found):
    assert pairs.placeholders(text) == dict.fromkeys(found, 1)


def some_pairs():
    """Messages in several spellings, and in both forms of a plural."""
    found = []
    for n in range(400):
        word = f"word{'abcdefghij'[n % 10]}{n}"
        found += [pair(f"Save {word}", "1"), pair(f"&save {word}...", "2")]
        found += [
            pair(f"%(n)d {word} here", "3", f"%(n)d {word} here"),
            pair(f"%(n)d {word}s here", "4", f"%(n)d {word} here"),
            pair(f"{{count}} {word}S here", "5"),
        ]
    return found


def test_no_message_is_on_two_sides():
    given = some_pairs()
    sides = pairs.split(given, valid=0.1, test=0.2)
    assert sorted(each for side in sides for each in side) == sorted(given)
    keys = [{pairs.key_of(p.source) for p in side} for side in sides]
    messages = [{pairs.key_of(p.message) for p in side} for side in sides]
    for one in range(3):
        for two in range(one):
            assert not (keys[one] | messages[one]) & (keys[two] | messages[two])
    train, valid, test = (len(side) for side in sides)
    assert train > valid > 100
    assert 0.15 < test / len(given) < 0.25
    # More messages move none.
    more = pairs.split([*given, pair("Another", "6")], valid=0.1, test=0.2)
    for before, after in zip(sides, more, strict=True):
        assert set(before) <= set(after)


def test_real_catalogue():
    """What the package of Jupyter's French has, which is installed for the tests."""
    package = pytest.importorskip("jupyterlab_language_pack_fr_FR")
    raw = catalogues.read_package(Path(package.__path__[0]), "fr")
    kept, _ = pairs.cleaned(raw)
    assert len(kept) > 2500
    said = {pair.source: pair.target for pair in kept}
    assert said["Save your work"] == "Enregistrer votre travail"
