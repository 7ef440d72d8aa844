"""What a release holds, and what it must not hold."""

import hashlib
import zipfile

import pytest
from packaging.version import Version

from release.__main__ import audit, missing
from release.advisories import Advisories, affected, read
from release.licences import PAGE, ROOT, page, refused, spdx
from release.locked import Package, locked
from release.sbom import bill
from release.secret_scan import scan, secrets_in

RUNTIME = locked(ROOT / "requirements" / "runtime.txt")


def test_every_licence_is_allowed_and_listed():
    """Each package of the image has an allowed licence, and docs/licences.md lists it."""
    assert refused(RUNTIME) == []
    assert len(RUNTIME) > 20
    assert PAGE.read_text() == page(RUNTIME), "run `make licences`"


@pytest.mark.parametrize(
    ("licence", "is_allowed"),
    [
        ("MIT", True),
        ("Apache 2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("Apache-2.0 AND BSD-3-Clause", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_by_name(licence, is_allowed):
    """One allowed choice is enough, all parts of a combination are needed, silence is refused."""
    assert (refused([Package("a", "1", licence)]) == []) is is_allowed


def test_the_tree_has_no_secret():
    """Nothing outside the tests looks like an app key, a private key or a token."""
    assert scan(ROOT) == []


@pytest.mark.parametrize(
    "text",
    [
        "appkey: PS" + "k3Jx9Qw7Zp" * 3 + "a1b2",
        "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8",
        "AKIA" + "Q3Z7K9X1P5M2W8R4",
        "https://kafka:" + "tR7xK2mQ9" + "@registry.bank.kr/",
        "-----BEGIN " + "PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj",
    ],
)
def test_a_secret_is_found(text):
    """Each kind of secret is found with its line, and not shown."""
    (found,) = secrets_in(f"first\n{text}\n")
    assert found.startswith("2: ")
    assert text[-8:] not in found


def test_an_invented_key_is_no_secret():
    """A key that says it is invented may be shown."""
    assert secrets_in("PSnotARealAppKey0000000000000000000000") == []


def test_a_bill_names_the_artifact_and_what_it_needs(tmp_path):
    """A bill has the artifact's SHA-256 and each package with its URL and licence."""
    artifact = tmp_path / "a.whl"
    artifact.write_bytes(b"wheel")
    made = bill(artifact, "1.2.3", RUNTIME)
    assert made["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(b"wheel").hexdigest()
    assert {each["purl"] for each in made["components"]} == set(made["dependencies"][0]["dependsOn"])
    assert [each["licenses"] for each in made["components"]] == [
        [{"expression": spdx(package.licence)}] for package in RUNTIME
    ]
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")


def test_no_locked_package_has_a_known_advisory():
    """The versions of the image are those that no advisory of the file names."""
    assert affected(RUNTIME, read()) == []
    assert {str(record["package"]).lower() for record in read().records} <= {each.name.lower() for each in RUNTIME}


def test_each_advisory_is_there_once_with_versions_that_it_can_name():
    """A record that names no version, or is there twice, would be a mistake in the file."""
    records = read().records
    assert len({record["id"] for record in records}) == len(records)
    spans = [span for record in records for span in record["ranges"] or [{"introduced": "0", "fixed": "0"}]]
    assert [span for span in spans if Version(span["introduced"]) >= Version(span["fixed"])] == []


def test_a_release_says_as_of_when_its_advisories_are():
    """Nobody takes the comparison for one with today's advisories."""
    known = Advisories("those of a database", "2026-01-01", [])
    assert "the 0 advisories of release/advisories.json, as of 2026-01-01; no later one" in audit(known)
    assert "those of a database." in audit(known)


@pytest.mark.parametrize(("version", "is_affected"), [("1.9", False), ("2.0", True), ("2.10", True), ("3.0rc1", True)])
def test_an_advisory_counts_from_its_first_version_to_its_fix(version, is_affected):
    """Versions are compared as versions, and the refusal names the advisory and the fix."""
    spans = [{"introduced": "2.0", "fixed": "3.0"}]
    record = {"id": "GHSA-1", "package": "Some_Thing", "summary": "it breaks", "ranges": spans}
    known = Advisories("a database", "2026-01-01", [record])
    found = affected([Package("some-thing", version, "MIT")], known)
    assert found == ([f"some-thing {version} has GHSA-1 (it breaks): take 3.0 or later"] if is_affected else [])


def test_a_package_of_the_base_has_its_own_kind_of_url(tmp_path):
    """Debian's packages and the chart's image are told apart from Python's, without a licence."""
    artifact = tmp_path / "image.tar"
    artifact.write_bytes(b"image")
    made = bill(artifact, "1", [Package("libc6", "2.36-9+deb12u1", "", "deb/debian"), Package("a", "1", "", "oci")])
    assert [(each["purl"], each["type"], "licenses" in each) for each in made["components"]] == [
        ("pkg:deb/debian/libc6@2.36-9%2Bdeb12u1", "library", False),
        ("pkg:oci/a@1", "container", False),
    ]


def test_an_incomplete_wheel_is_refused(tmp_path):
    """A wheel without its schemas or its type marker is named, with what it lacks."""
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("connector/__init__.py", "")
        wheel.writestr("simulator/__init__.py", "")
    assert missing(tmp_path / "a.whl") == ["a.whl has no connector/py.typed", "a.whl has no connector/schemas/"]
