import pytest

from lightly_core.config.auto.secrets import without_secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/a/b.pth?Policy=SECRET&x=1", "https://host/a/b.pth?..."),
        ("https://user:SECRET@host:8080/b.pth", "https://host:8080/b.pth"),
        ("file:///tmp/b.pth?key=SECRET#SECRET", "file:///tmp/b.pth?..."),
        ("s3://bucket/b.pth#SECRET", "s3://bucket/b.pth?..."),
        ("a=1 url=https://h/b.pth?SECRET 'http://u:SECRET@g/c?d'", "a=1 url=https://h/b.pth?... 'http://g/c?...'"),
        ("https://host/plain.pth", "https://host/plain.pth"),
        ("images/*.jpg?", "images/*.jpg?"),
        ("user@host", "user@host"),
    ],
)  # fmt: skip
def test_addresses_lose_their_keys_and_nothing_else(text, expected):
    assert without_secrets(text) == expected


def test_nested_data_is_searched_and_not_changed():
    data = {"model_args": {"weights": ["https://h/b?SECRET", 3, None]}, "out": "out"}
    assert without_secrets(data) == {
        "model_args": {"weights": ["https://h/b?...", 3, None]},
        "out": "out",
    }
    assert data["model_args"]["weights"][0] == "https://h/b?SECRET"
