"""The sections: what one of them takes by itself."""

import pytest
from pydantic import ValidationError

from connector.settings import KafkaSettings, RegistrySettings


@pytest.mark.parametrize("given", [{"resource": "kafka", "tenant": "a=b"}, "resource=kafka, tenant=a=b"])
def test_extra_parameters(given):
    """Parameters are a mapping in the file, or a text in a variable."""
    assert KafkaSettings(oauth_extra=given).oauth_extra == {"resource": "kafka", "tenant": "a=b"}


@pytest.mark.parametrize(
    "given",
    [
        {"client_secret": "canary"},
        {"a b": "x"},
        ["a"],
        "canary\n=1",
        {f"n{n}": "1" for n in range(21)},
        {"a": "x" * 1001},
    ],
)
def test_extra_parameters_are_bounded(given):
    """No parameter has a setting of its own, a name with blanks, or too long a value."""
    with pytest.raises(ValidationError) as refused:
        KafkaSettings(oauth_extra=given)
    assert "canary" not in str(refused.value)


def test_several_registries():
    """Several URLs lose the slash at their end, and blanks between them."""
    assert RegistrySettings(url="https://a/, https://b/path/").url == "https://a,https://b/path"
