import json

import pytest

from lightly_core.download import fetch
from lightly_core.errors import ConfigError


def interrupt(site, after=40_000):
    """Let a download fail for good after so many bytes."""
    site.cuts = [after]
    site.statuses = [200, 403]
    with pytest.raises(ConfigError, match="403"):
        fetch(site.url(), what="weights")
    site.statuses = []
    site.requests.clear()
    site.sent = 0


def fetched(site, **options):
    return fetch(site.url(), what="weights", **options).read_bytes()


def test_a_cut_connection_is_continued(site, cache, caplog):
    site.cuts = [30_000, 20_000]
    assert fetched(site, sha256=site.sha256) == site.content
    asked = [headers.get("Range") for _, headers in site.requests]
    assert asked == [None, "bytes=30000-", "bytes=50000-"]
    assert site.sent == len(site.content)
    assert "trying again" in caplog.text


def test_a_download_that_comes_nearer_is_not_given_up(site, cache):
    site.cuts = [10_000] * 10
    assert fetched(site) == site.content
    assert len(site.requests) == 11


def test_the_next_call_goes_on(site, cache, caplog):
    interrupt(site)
    assert (cache / ".net.pth.part").stat().st_size == 40_000
    assert not (cache / "net.pth").exists()
    assert fetched(site, sha256=site.sha256) == site.content
    assert site.sent == len(site.content) - 40_000
    assert site.requests[0][1]["If-Range"] == '"one"'
    assert "(102.4 kB, resumed after 40.0 kB)" in caplog.text


def test_a_new_signature_goes_on_too(site, cache):
    interrupt(site)
    fetch(site.url() + "?signature=new", what="weights")
    assert site.sent == len(site.content) - 40_000


def test_the_date_is_the_condition_where_the_mark_is_weak(site, cache):
    site.etag, site.modified = 'W/"weak"', "Mon, 06 Jul 2020 00:00:00 GMT"
    interrupt(site)
    assert fetched(site) == site.content
    assert site.requests[0][1]["If-Range"] == site.modified
    assert site.sent == len(site.content) - 40_000


def test_a_server_without_ranges_sends_all(site, cache):
    interrupt(site)
    site.takes_ranges = False
    assert fetched(site, sha256=site.sha256) == site.content
    assert site.sent == len(site.content)
    assert len(site.requests) == 1


@pytest.mark.parametrize("takes_conditions", [True, False])
@pytest.mark.parametrize("what", ["etag", "modified", "size"])
def test_a_file_that_changed_is_downloaded_anew(site, cache, takes_conditions, what):
    if what != "etag":
        site.etag = None
    if what == "modified":
        site.modified = "Mon, 06 Jul 2020 00:00:00 GMT"
    interrupt(site)
    site.takes_conditions = takes_conditions
    site.content = site.content[::-1]
    if what == "etag":
        site.etag = '"two"'
    elif what == "modified":
        site.modified = "Tue, 07 Jul 2020 00:00:00 GMT"
    else:
        site.content += b"more"
    assert fetched(site) == site.content


def test_a_file_that_shrank_is_downloaded_anew(site, cache):
    site.etag = None
    interrupt(site)
    site.content = b"short"
    assert fetched(site) == b"short"


def test_a_change_that_nothing_tells_is_found_by_the_digest(site, cache, caplog):
    site.etag = None
    interrupt(site)
    site.content = site.content[::-1]
    assert fetched(site, sha256=site.sha256) == site.content
    assert "does not fit; downloading it again" in caplog.text


def test_the_part_of_another_file_is_not_continued(site, another_site, cache):
    interrupt(site)
    file = fetch(another_site.url(), what="weights")
    assert file.read_bytes() == another_site.content
    assert fetched(site) == site.content
    assert site.sent == len(site.content) - 40_000


def test_a_part_without_a_note_is_not_trusted(site, cache):
    interrupt(site)
    (cache / ".net.pth.json").write_text("{}")
    assert fetched(site) == site.content
    assert site.sent == len(site.content)


def test_a_part_that_is_whole_needs_no_request(site, cache):
    interrupt(site, after=len(site.content) - 1)
    with (cache / ".net.pth.part").open("ab") as part:
        part.write(site.content[-1:])
    assert fetched(site, sha256=site.sha256) == site.content
    assert site.requests == []


def test_a_damaged_file_is_removed(site, cache):
    with pytest.raises(ConfigError) as error:
        fetch(site.url(), sha256="0" * 64, what="weights of net")
    assert "weights of net" in str(error.value)
    assert f"begins with {site.sha256}, expected {'0' * 64}; it was removed" in str(error.value)
    left = [path.name for path in cache.iterdir() if path.suffix != ".lock"]
    assert left == [".net.pth.json"]
    assert json.loads((cache / left[0]).read_text())["sha256"] is None
    assert fetched(site, sha256=site.sha256) == site.content
